//! The sender and the receiver of a packet.
//!
//! The tap point decides first: a packet that leaves by a pod's eth0 with one of the pod's
//! addresses is the pod's. Otherwise the owner of the address at that time decides. Only
//! the socket's cgroup names the container.
use std::{net::IpAddr, sync::Arc};

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::{
    Hop, Path,
    refusal::{Reason, Refusal},
};
use crate::{
    identity::sockets::SocketOwner,
    model::tap_point::{Role, TapPoint},
    packet::{Network, Packet, TCP_RST, Transport, is_group_address, is_link_local},
    world::World,
};

/// One end of a packet's path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Its address, of an IP packet or an ARP message.
    pub address: Option<IpAddr>,
    /// The owner of the address.
    pub who: Who,
    /// The container of the pod whose socket sends or receives.
    pub container: Option<Arc<str>>,
}

/// The owner of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Who {
    /// A pod, by `namespace/pod`.
    Pod(Arc<str>),
    /// A node.
    Node(Arc<str>),
    /// Some pod on this node.
    On(Arc<str>),
    /// Unknown.
    #[default]
    Unknown,
}

/// The sender and the receiver of a path's packet.
#[must_use]
pub fn ends(path: &Path, world: &World) -> (End, End) {
    (sender(path, world), receiver(path, world))
}

fn sender(path: &Path, world: &World) -> End {
    let mut end = End {
        address: path.packet.source(),
        ..End::default()
    };
    let Some(first) = path.hops.first() else {
        return end;
    };
    let from = world.tap_points.get(first.interface).and_then(|point| {
        match (point.role, first.direction) {
            (Role::Veth, Direction::Ingress) => point.leads_to,
            (_, Direction::Egress) => point.pod_netns(),
            _ => None,
        }
    });
    end.who = who(end.address, from, first.ts_ns, world);
    set_container(&mut end, sending(path, world).into_iter());
    end
}

/// The owner of the socket that sent the packet; none if the packet was first seen where its
/// socket is unknown.
#[must_use]
pub fn sending(path: &Path, world: &World) -> Option<SocketOwner> {
    let first = path.hops.first()?;
    let point = world.tap_points.get(first.interface)?;
    let shows = match first.direction {
        Direction::Egress => point.in_pod || first.cgroup != CGROUP_NONE,
        Direction::Ingress => first.cgroup != CGROUP_NONE,
        Direction::Socket | Direction::Unknown => false,
    };
    let identities = &world.identities;
    shows.then(|| {
        if is_the_kernels(&path.packet) {
            identities.sender_like_the_kernel(first.cgroup)
        } else {
            identities.socket_owner(first.cgroup)
        }
    })
}

/// The end that refused a packet.
///
/// The tap that saw the answer first decides. A firewall resets a connection in the name of who is
/// asked, so the address of a reset tells nobody.
#[must_use]
pub fn refuser(refusal: &Refusal, world: &World) -> End {
    let from = refusing_netns(refusal, world).map(|(netns, point)| match point {
        Some(point) if !point.in_pod => Who::Node(Arc::clone(&point.node_name)),
        _ => Who::Pod(world.identities.pod(netns)),
    });
    let by_address = || match refusal.reason {
        Reason::Reset | Reason::Aborted => Who::Unknown,
        Reason::Icmp(_) => who(Some(refusal.by), None, refusal.ts_ns, world),
    };
    End {
        address: Some(refusal.by),
        who: from.unwrap_or_else(by_address),
        container: None,
    }
}

/// The namespace that sent an answer, if the tap that saw it first tells, and that tap if it is there.
#[must_use]
pub fn refusing_netns<'a>(
    refusal: &Refusal,
    world: &'a World,
) -> Option<(u64, Option<&'a TapPoint>)> {
    let (interface, direction) = refusal.at?;
    let point = world.tap_points.get(interface)?;
    match (point.role, direction) {
        (Role::Veth, Direction::Ingress) => Some((point.leads_to?, None)),
        (_, Direction::Egress) => Some((point.netns_id, Some(point))),
        _ => None,
    }
}

/// Whether the packet is of a kind that the kernel sends on its own.
fn is_the_kernels(packet: &Packet) -> bool {
    match packet.transport {
        Transport::Echo { reply, .. } => reply,
        Transport::Icmp { .. } | Transport::Neighbor { .. } => true,
        Transport::Tcp { flags, .. } => flags & TCP_RST != 0,
        Transport::None => matches!(packet.network, Network::Arp(_)),
        _ => false,
    }
}

fn receiver(path: &Path, world: &World) -> End {
    let mut end = End {
        address: path.packet.destination(),
        ..End::default()
    };
    let Some(last) = path.hops.last() else {
        return end;
    };
    if end.address.is_some_and(is_group_address) {
        return end;
    }
    let to =
        world
            .tap_points
            .get(last.interface)
            .and_then(|point| match (point.role, last.direction) {
                (Role::Veth, Direction::Egress) => point.leads_to,
                (_, Direction::Ingress | Direction::Socket) => point.pod_netns(),
                _ => None,
            });
    // The last hop shows the receiver of a translated packet.
    let address = path.ends().map(|ends| ends.destination).or(end.address);
    end.who = who(address, to, last.ts_ns, world);
    set_container(&mut end, receiving(path, world));
    end
}

/// The owners of the sockets that receive the packet. Raw sockets receive copies of all ICMP
/// messages of their namespace; still, a request is for the kernel, and a reply is for the
/// socket that sent the request.
fn receiving<'a>(path: &'a Path, world: &'a World) -> impl Iterator<Item = SocketOwner> + 'a {
    let (is_for_sockets, is_reply) = match path.packet.transport {
        Transport::Tcp { .. } | Transport::Udp { .. } | Transport::Fragment => (true, false),
        Transport::Echo { reply, .. } => (reply, reply),
        _ => (false, false),
    };
    path.sockets()
        .filter(move |hop| is_for_sockets && (!is_reply || path.requester == Some(hop.cgroup)))
        .map(|hop| world.identities.socket_owner(hop.cgroup))
}

/// Names the container if there is exactly one owner and it belongs to the pod or, at an
/// address of the node, to a pod that shares the node's network.
fn set_container(end: &mut End, mut owners: impl Iterator<Item = SocketOwner>) {
    let Some(owner) = owners.next() else {
        return;
    };
    if owners.any(|other| other != owner) {
        return;
    }
    match owner {
        SocketOwner::Container(name) => match &end.who {
            Who::Pod(pod) if *pod == name.pod.full => end.container = Some(name.name),
            Who::Node(_) => {
                end.who = Who::Pod(Arc::clone(&name.pod.full));
                end.container = Some(name.name);
            }
            _ => {}
        },
        SocketOwner::UnnamedContainer(id) => end.container = Some(short_id(&id).into()),
        _ => {}
    }
}

/// The first twelve digits of a container id, as other tools show it.
#[must_use]
pub fn short_id(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// `netns`: the pod's namespace that the packet left or entered.
fn who(address: Option<IpAddr>, netns: Option<u64>, ts_ns: u64, world: &World) -> Who {
    let Some(address) = address else {
        return Who::Unknown;
    };
    let identities = &world.identities;
    if let Some(netns) = netns
        && (is_anybodys(address) || identities.is_of(address, netns))
    {
        return Who::Pod(identities.pod(netns));
    }
    match identities.holder_at(address, ts_ns) {
        Some(holder) => match holder.netns {
            Some(netns) => Who::Pod(identities.pod(netns)),
            None => world.node_name(holder.node).map_or(Who::Unknown, Who::Node),
        },
        None => remote(address, ts_ns, world),
    }
}

/// The owner of an address that no traced node has.
fn remote(address: IpAddr, ts_ns: u64, world: &World) -> Who {
    let identities = &world.identities;
    if let Some(pod) = identities.remote_pod(address, ts_ns) {
        return Who::Pod(Arc::clone(&pod.name));
    }
    if let Some(node) = identities.remote_node(address) {
        return Who::Node(Arc::clone(node));
    }
    if let Some(vtep) = identities.vtep_of(address) {
        let name = node_at(vtep, ts_ns, world);
        return Who::On(name.unwrap_or_else(|| vtep.to_string().into()));
    }
    let by_range = identities.node_of_range(address);
    by_range.map_or(Who::Unknown, |node| Who::On(Arc::clone(node)))
}

/// The name of the node with this address.
#[must_use]
pub fn node_at(address: IpAddr, ts_ns: u64, world: &World) -> Option<Arc<str>> {
    let holder = world.identities.holder_at(address, ts_ns);
    let traced = holder.filter(|holder| holder.netns.is_none());
    traced
        .and_then(|holder| world.node_name(holder.node))
        .or_else(|| world.identities.remote_node(address).cloned())
}

/// Addresses that every namespace has or may use.
fn is_anybodys(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || is_link_local(address)
}

impl Path {
    /// The hops at sockets.
    pub fn sockets(&self) -> impl Iterator<Item = &Hop> {
        self.hops
            .iter()
            .filter(|hop| hop.direction == Direction::Socket)
    }

    /// Where its packet was seen last.
    pub(crate) fn last_point<'a>(&self, world: &'a World) -> Option<&'a TapPoint> {
        world.tap_points.get(self.hops.last()?.interface)
    }

    /// The last hop, those of copies for others not counted.
    pub(crate) fn last_own_hop(&self) -> Option<&Hop> {
        self.hops.iter().rfind(|hop| !hop.aside)
    }

    /// Whether a socket has taken it.
    pub(crate) fn is_taken(&self) -> bool {
        self.sockets().next().is_some()
    }
}
