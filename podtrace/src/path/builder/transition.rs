//! The meaning of one event for the path of its packet.
use std::{net::IpAddr, ops::RangeInclusive};

use podtrace_ebpf::record::Direction;

use crate::{
    model::{
        event::Event,
        snapshot::Holder,
        tap_point::{Role, TapPoint},
    },
    packet::{
        IPPROTO_ICMP, IPPROTO_UDP, Network, Packet, TCP_RST, TCP_SYN, Transport, asks_to_connect,
        is_group_address, is_link_local,
    },
    path::Outcome,
    world::World,
};

/// The meaning of one event for its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// The packet continues.
    Onward,
    /// It goes to a port of a bridge.
    ToPort,
    /// A copy of it has reached another receiver.
    Aside,
    /// This event does not show how the packet continues.
    Inconclusive,
    /// The packet may continue; if it does not, it has ended like this and is not missed.
    Optional(Outcome),
    /// It arrived, but copies may arrive elsewhere.
    Arrived,
    /// It arrived, and a watched socket is about to receive it.
    AwaitsSocket,
    /// It arrived where watched sockets may want it: it is for all that do.
    AwaitsMember,
    /// The same where no socket is watched.
    MayHaveMember,
    /// It arrived at a socket that is about to answer it.
    AwaitsAnswer,
    /// Its path ends here.
    End(Outcome),
}

impl Transition {
    /// Whether the packet has reached its receiver.
    pub(super) fn is_arrival(self) -> bool {
        matches!(
            self,
            Self::Arrived
                | Self::AwaitsSocket
                | Self::AwaitsMember
                | Self::MayHaveMember
                | Self::AwaitsAnswer
                | Self::End(Outcome::Delivered)
        )
    }
}

/// `packet`: the packet as it was first observed.
pub(super) fn transition(
    event: &Event,
    point: &TapPoint,
    packet: &Packet,
    world: &World,
) -> Transition {
    match (point.role, event.direction) {
        // A socket sees a SYN before its queue is asked for room, and answers at once if it has.
        (_, Direction::Socket) if point.in_pod && is_only_syn(&event.packet) => {
            Transition::AwaitsAnswer
        }
        (_, Direction::Socket) if has_one_receiver(packet) => Transition::End(Outcome::Delivered),
        (_, Direction::Socket) => Transition::Arrived,
        (Role::Pod, Direction::Ingress) if event.packet.is_for_group() => {
            to_group(event, point, world)
        }
        (Role::Pod, Direction::Ingress) if !is_for(point, &event.packet) => Transition::Aside,
        (Role::Pod, Direction::Ingress) => entering(event, point, world),
        (Role::Loopback, Direction::Ingress) => received(event, point, world),
        (Role::Uplink, Direction::Egress) => leaving(event, point, world),
        (Role::Capture, _) => Transition::Inconclusive,
        (Role::Vxlan, Direction::Egress) if is_for_the_link(&event.packet) => {
            Transition::Optional(Outcome::NoReceiver)
        }
        (Role::Veth, Direction::Egress) => Transition::ToPort,
        (_, Direction::Egress | Direction::Unknown) => Transition::Onward,
        (_, Direction::Ingress) if event.packet.ends_at_cable() => {
            Transition::Optional(Outcome::NoReceiver)
        }
        (_, Direction::Ingress) if goes_up(point, &event.packet) => Transition::Onward,
        (_, Direction::Ingress) => arriving(event, point, world),
    }
}

/// Whether at most one socket receives the packet.
pub(super) fn has_one_receiver(packet: &Packet) -> bool {
    match packet.transport {
        Transport::Tcp { .. } => true,
        Transport::Udp { .. } => !packet.is_for_many(),
        _ => false,
    }
}

/// The transition of a packet that a pod's interface accepts: the pod may be a router.
fn entering(event: &Event, point: &TapPoint, world: &World) -> Transition {
    let packet = &event.packet;
    let (Network::Ip(_), None, Some(address), Some(netns)) = (
        &packet.network,
        packet.tunnel,
        packet.destination(),
        point.pod_netns(),
    ) else {
        return received(event, point, world);
    };
    let identities = &world.identities;
    let holder = identities.likely_holder_at(address, event.ts_ns);
    let is_own = holder.is_some_and(|holder| holder.netns == Some(netns))
        || is_group_address(address)
        || is_link_local(address)
        || address.is_loopback()
        || identities.may_have(address, netns);
    match holder {
        _ if is_own => received(event, point, world),
        Some(_) => Transition::Onward,
        None => Transition::Inconclusive,
    }
}

/// The transition of a packet that reached its network namespace: a socket may follow.
fn received(event: &Event, point: &TapPoint, world: &World) -> Transition {
    let packet = &event.packet;
    if packet.is_for_many() {
        return to_members(event, point, world);
    }
    if is_watched(event, point, world) && is_for_a_socket(packet) {
        return Transition::AwaitsSocket;
    }
    let is_ip = matches!(packet.network, Network::Ip(_));
    // A reset may follow a SYN.
    if !world.watching.is_empty() && is_ip || is_syn(packet) {
        Transition::Arrived
    } else {
        Transition::End(Outcome::Delivered)
    }
}

/// Whether the sockets of the containers are watched where the event is.
fn is_watched(event: &Event, point: &TapPoint, world: &World) -> bool {
    let netns = point.pod_netns();
    netns.is_some_and(|netns| world.identities.was_watched(netns, event.ts_ns))
}

/// The transition of a packet for many that reached a namespace. A datagram is for the sockets
/// that want it, and may find none: nothing is wrong with that. A socket gets fragments as one,
/// and none if it lacks one. All else is for the kernel.
fn to_members(event: &Event, point: &TapPoint, world: &World) -> Transition {
    let packet = &event.packet;
    match packet.ip_protocol() {
        Some(IPPROTO_UDP) if packet.is_fragment() => Transition::MayHaveMember,
        Some(IPPROTO_UDP) if is_watched(event, point, world) => Transition::AwaitsMember,
        Some(IPPROTO_UDP) => Transition::MayHaveMember,
        // Kernels ignore such a ping, unless they are told to answer (icmp_echo_ignore_broadcasts).
        Some(IPPROTO_ICMP) if matches!(packet.transport, Transport::Echo { reply: false, .. }) => {
            Transition::MayHaveMember
        }
        _ => Transition::Arrived,
    }
}

/// Whether a socket receives such a packet while the socket exists: the kernel handles
/// handshakes and packets of closed connections.
fn is_for_a_socket(packet: &Packet) -> bool {
    match packet.transport {
        Transport::Tcp { flags, payload, .. } => {
            flags & TCP_RST == 0 && (payload > 0 || flags & TCP_SYN != 0)
        }
        Transport::Udp { .. } | Transport::Echo { reply: true, .. } => true,
        _ => false,
    }
}

/// The ports at which nodes offer Services, by Kubernetes' default.
const NODE_PORTS: RangeInclusive<u16> = 30_000..=32_767;

/// Whether the node may translate the destination of the packet, and then drop it: that it
/// reached the node tells nothing.
fn is_for_a_node_port(packet: &Packet) -> bool {
    match packet.transport {
        Transport::Tcp { destination, .. } | Transport::Udp { destination, .. } => {
            NODE_PORTS.contains(&destination)
        }
        _ => false,
    }
}

/// Whether the packet asks for a TCP connection.
fn is_syn(packet: &Packet) -> bool {
    matches!(packet.transport, Transport::Tcp { flags, .. } if asks_to_connect(flags))
}

/// The same without data, which an answer would acknowledge as well.
fn is_only_syn(packet: &Packet) -> bool {
    is_syn(packet) && packet.payload() == 0
}

/// The transition of a group frame that a namespace receives: a neighbour request is for the
/// holder of the address, all others ignore it.
fn to_group(event: &Event, point: &TapPoint, world: &World) -> Transition {
    let Some(question) = event.packet.question() else {
        return to_members(event, point, world);
    };
    let holder = world
        .identities
        .likely_holder_at(question.about, event.ts_ns);
    let netns = point.pod_netns();
    match holder {
        Some(holder) if (holder.node, holder.netns) == (point.node, netns) => Transition::Arrived,
        // Only the node is at the other end of a veth: it answers for others, or nobody does.
        _ if point.role == Role::Veth => Transition::Arrived,
        _ if question.is_probe => Transition::Optional(Outcome::NoReceiver),
        // Not all link-local addresses are known.
        None if is_link_local(question.about) => Transition::Arrived,
        Some(holder) if holder.node == point.node => Transition::Aside,
        // It is asked on a network that has others than this node.
        _ if point.role == Role::Uplink => Transition::Optional(Outcome::NoReceiver),
        _ => Transition::Aside,
    }
}

/// Whether the packet is about groups and routers of a link. A tunnel has none: flannel's
/// knows the other nodes and floods nothing. A request for a neighbour's address waits for a
/// reply, though.
fn is_for_the_link(packet: &Packet) -> bool {
    let asks = matches!(packet.transport, Transport::Neighbor { .. });
    !asks && packet.destination().is_some_and(is_group_of_link)
}

/// Whether the address is a group address of one link (RFC 5771, RFC 4291).
fn is_group_of_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(v6) => v6.is_multicast() && v6.octets()[1] & 0x0f == 2,
    }
}

/// Whether an interface accepts the frame: a bridge sends a frame for an unknown MAC
/// address to all its ports.
fn is_for(point: &TapPoint, packet: &Packet) -> bool {
    match (point.mac, packet.link, packet.tunnel) {
        (Some(mac), Some(link), None) => link.destination == mac,
        // In a tunnel, the address is that of the inner frame.
        _ => true,
    }
}

/// Whether another interface of the node receives the packet next: the bridge or bond of this
/// port, or the interface of the VLAN. Tag 0 is only a priority.
fn goes_up(point: &TapPoint, packet: &Packet) -> bool {
    point.is_port || packet.vlan.is_some_and(|vlan| vlan != 0)
}

/// The transition of a packet that leaves by the uplink: its path ends here, unless the
/// node it goes to is traced too.
fn leaving(event: &Event, point: &TapPoint, world: &World) -> Transition {
    let packet = &event.packet;
    let (next, outcome) = match packet.tunnel {
        Some(tunnel) => (
            Some(tunnel.destination),
            Outcome::LeftForVtep(tunnel.destination),
        ),
        None => (packet.destination(), Outcome::LeftNode),
    };
    let holder = next.and_then(|next| world.identities.likely_holder_at(next, event.ts_ns));
    let has_station = || {
        let frame = packet.link.filter(|_| packet.tunnel.is_none());
        let station = frame.and_then(|frame| world.station(frame.destination));
        station.is_some_and(|node| world.is_seen_beside(point.node, node))
    };
    let has_holder = holder.is_some_and(|holder| world.is_seen_beside(point.node, holder.node));
    if has_holder || has_station() {
        Transition::Onward
    } else if packet.tunnel.is_none() && packet.is_for_group() && world.sees_beside(point.node) {
        Transition::Optional(outcome)
    } else {
        Transition::End(outcome)
    }
}

/// The transition of a packet that one of the node's own interfaces received.
fn arriving(event: &Event, point: &TapPoint, world: &World) -> Transition {
    let packet = &event.packet;
    // A packet still in its tunnel is not at its inner destination.
    if packet.tunnel.is_some() {
        return Transition::Onward;
    }
    let Some(address) = packet.destination() else {
        return Transition::Inconclusive;
    };
    if packet.is_for_group() {
        return to_group(event, point, world);
    }
    let node = Holder {
        node: point.node,
        netns: None,
    };
    let ours = world.identities.is_held(address, node, event.ts_ns) || is_link_local(address);
    match (point.role, is_for(point, packet)) {
        // Nobody accepts it: only the node is behind a veth.
        (Role::Veth, false) => return Transition::Onward,
        // It is for a neighbour, or for an interface on top of this one.
        (Role::Uplink, false) => return Transition::Inconclusive,
        (Role::Bridge, false) if ours => return Transition::Inconclusive,
        _ => {}
    }
    // Link-local packets are not forwarded: a frame for this node is for this node.
    if is_link_local(address) {
        received(event, point, world)
    } else if ours {
        // Unless the address is translated: the node's address stands for those behind it.
        match received(event, point, world) {
            Transition::End(_) | Transition::Arrived if is_for_a_node_port(packet) => {
                Transition::Optional(Outcome::Unknown)
            }
            Transition::End(_) if packet.ends().is_some() => Transition::Arrived,
            transition => transition,
        }
    } else {
        Transition::Onward
    }
}
