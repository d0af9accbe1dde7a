//! The meaning of one event for the path of its packet.
use std::net::IpAddr;

use podtrace_ebpf::record::Direction;

use crate::{
    model::{
        event::Event,
        tap_point::{Role, TapPoint},
    },
    packet::{Network, Packet, TCP_RST, TCP_SYN, Transport, is_link_local},
    path::Outcome,
    world::World,
};

/// The operation of an ARP request (RFC 826).
const ARP_REQUEST: u16 = 1;

/// The meaning of one event for its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// The packet goes on.
    Onward,
    /// Nothing here shows how it goes on.
    Inconclusive,
    /// It may go on; if it does not, nobody misses it.
    Optional,
    /// It arrived, but copies may arrive elsewhere.
    Arrived,
    /// It arrived, and a socket that is watched is to take it.
    AwaitsSocket,
    /// Its way ends here.
    End(Outcome),
}

impl Transition {
    /// Whether the packet has reached who it is for.
    pub(super) fn is_arrival(self) -> bool {
        matches!(
            self,
            Self::Arrived | Self::AwaitsSocket | Self::End(Outcome::Delivered)
        )
    }
}

/// `packet`: the packet as it was first seen.
pub(super) fn transition(
    event: &Event,
    point: &TapPoint,
    packet: &Packet,
    world: &World,
) -> Transition {
    match (point.role, event.direction) {
        (_, Direction::Socket) if has_one_receiver(packet) => Transition::End(Outcome::Delivered),
        (_, Direction::Socket) => Transition::Arrived,
        (Role::Pod, Direction::Ingress) if is_group(&event.packet) => to_group(event, point, world),
        (Role::Pod, Direction::Ingress) if !is_for(point, &event.packet) => Transition::Onward,
        (Role::Pod | Role::Loopback, Direction::Ingress) => received(event, point, world),
        (Role::Uplink, Direction::Egress) => leaving(event, point, world),
        (Role::Capture, _) => Transition::Inconclusive,
        (Role::Vxlan, Direction::Egress) if is_for_the_link(&event.packet) => Transition::Optional,
        (Role::Veth, _) | (_, Direction::Egress | Direction::Unknown) => Transition::Onward,
        (_, Direction::Ingress) if goes_up(point, &event.packet) => Transition::Onward,
        (_, Direction::Ingress) => arriving(event, point, world),
    }
}

/// Whether at most one socket receives the packet.
pub(super) fn has_one_receiver(packet: &Packet) -> bool {
    match packet.transport {
        Transport::Tcp { .. } => true,
        Transport::Udp { .. } => !is_group(packet),
        _ => false,
    }
}

/// The transition of a packet that reached its network namespace: a socket may follow.
fn received(event: &Event, point: &TapPoint, world: &World) -> Transition {
    let packet = &event.packet;
    let netns = point.pod_netns();
    let is_watched = |netns| world.identities.was_watched(netns, event.ts_ns);
    if netns.is_some_and(is_watched) && is_for_a_socket(packet) {
        return Transition::AwaitsSocket;
    }
    let is_ip = matches!(packet.network, Network::Ip(_));
    if !world.watching.is_empty() && is_ip {
        Transition::Arrived
    } else {
        Transition::End(Outcome::Delivered)
    }
}

/// Whether such a packet is for a socket, as long as that lives: a connection that has
/// ended, or a handshake, is the kernel's.
fn is_for_a_socket(packet: &Packet) -> bool {
    match packet.transport {
        Transport::Tcp { flags, payload, .. } => {
            flags & TCP_RST == 0 && (payload > 0 || flags & TCP_SYN != 0)
        }
        Transport::Udp { .. } | Transport::Echo { reply: true, .. } => true,
        _ => false,
    }
}

/// The transition of a frame for a group that a namespace gets: who asks for an address
/// asks one, and the others look on.
fn to_group(event: &Event, point: &TapPoint, world: &World) -> Transition {
    let Some(question) = question(&event.packet) else {
        return Transition::Arrived;
    };
    let holder = world
        .identities
        .likely_holder_at(question.about, event.ts_ns);
    let netns = point.pod_netns();
    match holder {
        Some(holder) if (holder.node, holder.netns) == (point.node, netns) => Transition::Arrived,
        _ if question.is_probe => Transition::Optional,
        // Not all such addresses are known.
        None if is_link_local(question.about) => Transition::Arrived,
        _ => Transition::Onward,
    }
}

/// A question for the holder of an address.
struct Question {
    about: IpAddr,
    /// Whether it is asked to learn that nobody has the address (RFC 5227, RFC 4862).
    is_probe: bool,
}

fn question(packet: &Packet) -> Option<Question> {
    match (&packet.network, packet.transport) {
        (Network::Arp(arp), _) if arp.operation == ARP_REQUEST && arp.sender != arp.target => {
            Some(Question {
                about: arp.target.into(),
                is_probe: arp.sender.is_unspecified(),
            })
        }
        (
            Network::Ip(ip),
            Transport::Neighbor {
                advertisement: false,
                target,
                ..
            },
        ) => Some(Question {
            about: target.into(),
            is_probe: ip.source.is_unspecified(),
        }),
        _ => None,
    }
}

/// Whether the frame is for a group: broadcast or multicast.
fn is_group(packet: &Packet) -> bool {
    packet
        .link
        .is_some_and(|link| link.destination.0[0] & 1 == 1)
}

/// Whether the packet tells a link's neighbours of groups and routers, which a tunnel has
/// none of: flannel's knows the other nodes, and floods nothing. Who asks for a neighbour's
/// address waits for an answer.
fn is_for_the_link(packet: &Packet) -> bool {
    let asks = matches!(packet.transport, Transport::Neighbor { .. });
    !asks && packet.destination().is_some_and(is_group_of_link)
}

/// Whether an address is of a group on one link only (RFC 5771, RFC 4291).
fn is_group_of_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(v6) => v6.is_multicast() && v6.octets()[1] & 0x0f == 2,
    }
}

/// Whether a pod's interface accepts the frame: a bridge sends a frame for an unknown MAC
/// address to all its ports.
fn is_for(point: &TapPoint, packet: &Packet) -> bool {
    match (point.mac, packet.link, packet.tunnel) {
        (Some(mac), Some(link), None) => link.destination == mac,
        // In a tunnel, the address is the inner frame's.
        _ => true,
    }
}

/// Whether another interface of the node receives the packet next: the bridge
/// that this one is a port of, or the VLAN's. The tag 0 is only a priority.
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
    let traced = next
        .and_then(|address| world.identities.likely_holder_at(address, event.ts_ns))
        .is_some_and(|holder| holder.node != point.node && !world.silent.contains(&holder.node));
    if traced {
        Transition::Onward
    } else {
        Transition::End(outcome)
    }
}

/// The transition of a packet that one of the node's own interfaces received.
fn arriving(event: &Event, point: &TapPoint, world: &World) -> Transition {
    let packet = &event.packet;
    // A packet still in its tunnel is not at its inner destination.
    let (None, Some(address)) = (packet.tunnel, packet.destination()) else {
        return Transition::Onward;
    };
    if is_group(packet) {
        return to_group(event, point, world);
    }
    let holder = world.identities.holder_at(address, event.ts_ns);
    let ours = holder.is_some_and(|holder| holder.node == point.node && holder.netns.is_none());
    // Nobody forwards a link-local address: a frame for this node is for this node.
    if is_link_local(address) {
        received(event, point, world)
    } else if ours {
        // Unless the address is translated: the node's stands for those behind it.
        match received(event, point, world) {
            Transition::End(_) if packet.ends().is_some() => Transition::Arrived,
            transition => transition,
        }
    } else {
        Transition::Onward
    }
}
