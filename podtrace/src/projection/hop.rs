//! A packet at one tap.
use std::{net::IpAddr, sync::Arc};

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use crate::{
    field::{TimeNs, object},
    identity::sockets::SocketOwner,
    packet::{Carrier, Tunnel},
    path::{Hop, Path, Translation, service::service_of},
    world::World,
};

object! {
    /// A tap that saw a packet.
    pub(crate) HopObject<'a> as "hop" {
        /// when the hop saw it, nanoseconds since 1970 (UTC)
        time_ns: TimeNs,
        /// nanoseconds since the first hop, on a path
        delta_ns: Option<u64>,
        /// node of the hop
        node: &'a str,
        /// pod of the hop, `namespace/name`; none on the node itself
        pod: Option<Arc<str>>,
        /// interface of the hop
        interface: &'a str,
        /// its index in its network namespace
        ifindex: u32,
        /// `ingress`, `egress` or `socket`
        direction: &'static str,
        /// owner of the socket that the packet belongs to at the hop
        socket: Option<SocketObject>,
        /// length of the frame at the hop, with all headers
        bytes: u32,
        /// the tunnel that it is in at the hop
        tunnel: Option<TunnelObject>,
        /// TTL or hop limit at the hop
        ttl: Option<u8>,
        /// in how many packets the hop saw it, if they were several or not all came
        segments: Option<u32>,
        /// how many of its segments they were, if that is known: several may come in one packet
        wire_segments: Option<u32>,
        /// how many bytes of its payload they had
        segment_bytes: Option<u32>,
        /// whether it is a copy for somebody else, which a bridge has sent to all its ports
        aside: Option<bool>,
        /// the ends that address translation gave the packet before the hop
        translation: Option<TranslationObject>,
    }
}

object! {
    /// The owner of a socket that sends or receives.
    pub(crate) SocketObject as "socket" {
        /// `container`, `kernel`, `process`, `root` (in no cgroup), `none` or `unknown`
        owner: &'static str,
        /// pod of the container, `namespace/name`
        pod: Option<Arc<str>>,
        /// name of the container, or its id
        container: Option<Arc<str>>,
        /// cgroup of the process
        cgroup: Option<Arc<str>>,
        /// systemd unit that the cgroup is named by
        unit: Option<Arc<str>>,
        /// user whose slice the cgroup is in
        user: Option<u32>,
        /// how many processes the cgroup had, a second before at most; with one it is the owner
        processes: Option<u64>,
        /// name of the process, if the cgroup had one
        command: Option<Arc<str>>,
        /// its number
        pid: Option<u32>,
    }
}

object! {
    /// The outer headers of a packet in a tunnel.
    pub(crate) TunnelObject as "tunnel" {
        /// `vxlan`, `geneve`, `gre`, `ipip`, `6in4`, `4in6` or `6in6`
        kind: &'static str,
        /// network identifier of VXLAN or Geneve
        vni: Option<u32>,
        /// key of GRE
        key: Option<u32>,
        /// outer source address
        source: IpAddr,
        /// outer destination address
        destination: IpAddr,
        /// identification of the outer packet, if this is its first fragment
        fragment: Option<u32>,
    }
}

object! {
    /// The ends of a packet, after address translation.
    pub(crate) TranslationObject as "translation" {
        /// `dnat` if the destination has changed, `snat` if the source has, or `both`
        kind: &'static str,
        /// source address
        source: IpAddr,
        /// source port of TCP or UDP
        source_port: Option<u16>,
        /// destination address
        destination: IpAddr,
        /// destination port of TCP or UDP
        destination_port: Option<u16>,
        /// port of the Service that it is for or answers, `namespace/name:port`, by the API; or of
        /// the pod whose `hostPort` it is, by the runtime
        service: Option<Arc<str>>,
        /// name of that port, `hostPort` if it is a pod's
        service_port: Option<Arc<str>>,
    }
}

impl<'a> HopObject<'a> {
    /// `on`: the path that it is a hop of, and its number there from 0.
    pub(crate) fn new(
        hop: &Hop,
        on: Option<(&Path, usize)>,
        world: &'a World,
        epoch_ns: i128,
    ) -> Self {
        let point = world.tap_points.get(hop.interface);
        let first = on.and_then(|(path, _)| path.hops.first());
        let segments = on.and_then(|(path, number)| path.segments_at(number));
        let has_socket = hop.cgroup != CGROUP_NONE || hop.direction == Direction::Socket;
        Self {
            time_ns: TimeNs::new(epoch_ns, hop.ts_ns),
            delta_ns: first.map(|first| hop.ts_ns.saturating_sub(first.ts_ns)),
            node: point.map_or("", |point| point.node_name.as_ref()),
            pod: point.and_then(|point| world.pod_of(point)),
            interface: point.map_or("", |point| point.name.as_ref()),
            ifindex: point.map_or(0, |point| point.ifindex),
            direction: hop.direction.as_str(),
            socket: has_socket.then(|| world.identities.socket_owner(hop.cgroup).into()),
            bytes: hop.wire_len,
            tunnel: hop.tunnel.as_deref().map(Into::into),
            ttl: hop.ttl,
            segments: segments.map(|seen| seen.packets),
            wire_segments: segments.and_then(|seen| seen.segments),
            segment_bytes: segments.map(|seen| seen.bytes),
            aside: hop.aside.then_some(true),
            translation: on.and_then(|(path, number)| {
                let translation = path.translation_at(number)?;
                Some(TranslationObject::new(&translation, path, world))
            }),
        }
    }
}

impl TranslationObject {
    fn new(translation: &Translation, path: &Path, world: &World) -> Self {
        let service = service_of(path, translation, world).map(|service| service.port);
        let (source, source_port) = translation.after.from();
        let (destination, destination_port) = translation.after.to();
        Self {
            kind: match (translation.is_of_source(), translation.is_of_destination()) {
                (true, true) => "both",
                (true, false) => "snat",
                (false, _) => "dnat",
            },
            source,
            source_port,
            destination,
            destination_port,
            service: service.map(|port| Arc::clone(&port.name)),
            service_port: service.and_then(|port| port.port_name.clone()),
        }
    }
}

impl From<&Tunnel> for TunnelObject {
    fn from(tunnel: &Tunnel) -> Self {
        let (vni, key) = match tunnel.carrier {
            Carrier::Vxlan(vni) | Carrier::Geneve(vni) => (Some(vni), None),
            Carrier::Gre(key) => (None, key),
            Carrier::Ip(_) => (None, None),
        };
        Self {
            kind: tunnel.kind().as_str(),
            vni,
            key,
            source: tunnel.source,
            destination: tunnel.destination,
            fragment: tunnel.fragment,
        }
    }
}

impl From<SocketOwner> for SocketObject {
    fn from(owner: SocketOwner) -> Self {
        let bare = |owner| Self {
            owner,
            pod: None,
            container: None,
            cgroup: None,
            unit: None,
            user: None,
            processes: None,
            command: None,
            pid: None,
        };
        match owner {
            SocketOwner::None => bare("none"),
            SocketOwner::Kernel => bare("kernel"),
            SocketOwner::Root => bare("root"),
            SocketOwner::Container(name) => Self {
                pod: Some(Arc::clone(&name.pod.full)),
                container: Some(name.name),
                ..bare("container")
            },
            SocketOwner::UnnamedContainer(id) => Self {
                container: Some(id),
                ..bare("container")
            },
            SocketOwner::Process(process) => {
                let (pid, command) = process.only().cloned().unzip();
                Self {
                    cgroup: Some(Arc::clone(&process.cgroup)),
                    unit: process.unit.clone(),
                    user: process.user,
                    processes: process.processes,
                    command,
                    pid,
                    ..bare("process")
                }
            }
            SocketOwner::Removed(_) | SocketOwner::Unknown(_) => bare("unknown"),
        }
    }
}
