//! A row: one hop of a path, with what is the same for all hops of the path.
use std::{net::IpAddr, sync::Arc};

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::ExportError;
use crate::{
    model::place::{Place, Role},
    packet::{Network, Packet, Transport, flag_names},
    path::{
        Hop, Path,
        ends::{End, ends, sending},
    },
    projection::{SocketLine, describe, names},
    world::World,
};

/// One row.
pub(super) struct Row<'a> {
    pub(super) path: &'a Path,
    pub(super) packet: &'a PacketCells,
    pub(super) hop: &'a Hop,
    /// From 1.
    pub(super) number: u32,
    pub(super) place: Option<&'a Place>,
    pub(super) pod: Option<Arc<str>>,
    pub(super) socket: Option<SocketLine>,
    pub(super) tunnel_source: Option<String>,
    pub(super) tunnel_destination: Option<String>,
    /// Nanoseconds since 1970 (UTC).
    pub(super) time_ns: i64,
    /// Nanoseconds since the first hop.
    pub(super) delta_ns: u64,
}

/// What is the same in all rows of a path.
pub(super) struct PacketCells {
    pub(super) what: String,
    pub(super) source: EndCells,
    pub(super) destination: EndCells,
    pub(super) sender: Option<SocketLine>,
    pub(super) ip_protocol: Option<u8>,
    pub(super) tcp_flags: Option<String>,
    pub(super) icmp: Option<(u8, u8)>,
}

/// One end of the packet's way.
pub(super) struct EndCells {
    pub(super) address: Option<String>,
    pub(super) pod: Option<Arc<str>>,
    pub(super) container: Option<Arc<str>>,
    pub(super) node: Option<Arc<str>>,
    pub(super) on: Option<Arc<str>>,
}

impl From<End> for EndCells {
    fn from(end: End) -> Self {
        let [pod, node, on] = names(&end);
        Self {
            address: end.address.map(|address| address.to_string()),
            pod,
            container: end.container,
            node,
            on,
        }
    }
}

impl PacketCells {
    fn of(path: &Path, world: &World) -> Self {
        let (from, to) = ends(path, world);
        let packet = &path.packet;
        Self {
            what: describe(packet),
            source: from.into(),
            destination: to.into(),
            sender: sending(path, world).map(Into::into),
            ip_protocol: match &packet.network {
                Network::Ip(ip) => Some(ip.protocol),
                _ => None,
            },
            tcp_flags: match packet.transport {
                Transport::Tcp { flags, .. } => {
                    let mut names = String::new();
                    flag_names(&mut names, flags);
                    Some(names)
                }
                _ => None,
            },
            icmp: icmp(packet),
        }
    }
}

/// Type and code of an ICMP (RFC 792) or ICMPv6 (RFC 4443, 4861) message.
fn icmp(packet: &Packet) -> Option<(u8, u8)> {
    let is_v4 = matches!(&packet.network, Network::Ip(ip) if ip.source.is_ipv4());
    match packet.transport {
        Transport::Echo { reply, .. } => {
            let kind = match (is_v4, reply) {
                (true, false) => 8,
                (true, true) => 0,
                (false, false) => 128,
                (false, true) => 129,
            };
            Some((kind, 0))
        }
        Transport::Neighbor { advertisement, .. } => Some((135 + u8::from(advertisement), 0)),
        Transport::Icmp { kind, code } => Some((kind, code)),
        _ => None,
    }
}

/// Calls `each` with every row of a path.
pub(super) fn rows(
    path: &Path,
    world: &World,
    epoch_ns: i128,
    mut each: impl FnMut(&Row<'_>) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let Some(first) = path.hops.first() else {
        return Ok(());
    };
    let packet = PacketCells::of(path, world);
    for (number, hop) in (1..).zip(&path.hops) {
        let place = world.places.get(hop.interface);
        let has_socket = hop.cgroup != CGROUP_NONE || hop.direction == Direction::Socket;
        let tunnel_end = |of: fn(&crate::packet::Tunnel) -> IpAddr| {
            hop.tunnel.as_ref().map(|tunnel| of(tunnel).to_string())
        };
        each(&Row {
            path,
            packet: &packet,
            hop,
            number,
            place,
            pod: place.and_then(|place| world.pod_of(place)),
            socket: has_socket.then(|| world.directory.socket_owner(hop.cgroup).into()),
            tunnel_source: tunnel_end(|tunnel| tunnel.source),
            tunnel_destination: tunnel_end(|tunnel| tunnel.destination),
            time_ns: i64::try_from(epoch_ns + i128::from(hop.ts_ns)).unwrap_or(i64::MAX),
            delta_ns: hop.ts_ns.saturating_sub(first.ts_ns),
        })?;
    }
    Ok(())
}

/// The name of a role.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Pod => "pod",
        Role::Loopback => "loopback",
        Role::Veth => "veth",
        Role::Bridge => "bridge",
        Role::Vxlan => "vxlan",
        Role::Uplink => "uplink",
        Role::Other => "other",
        Role::Capture => "capture",
    }
}
