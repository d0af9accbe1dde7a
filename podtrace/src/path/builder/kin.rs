//! What belongs to a packet though its key differs: fragments of a datagram, and
//! what a socket gets behind a translation.
use std::net::IpAddr;

use super::{Builder, EQUAL_MAX, lists::Slot};
use crate::{
    model::event::Event,
    packet::{Network, Packet, PacketKey},
    world::World,
};

/// Source, destination, protocol and, of IPv4, the identification: what all
/// fragments of a datagram and the datagram itself have in common.
pub(super) type Datagram = (IpAddr, IpAddr, u8, u32);

impl Builder {
    /// The path that a socket's event continues although the packet's ends
    /// are not the same any more: translated in the pod, as a service mesh
    /// does, one of them is.
    pub(super) fn translated(&self, event: &Event, key: &PacketKey) -> Option<Slot> {
        let arrival = self.arrival(event.interface, key);
        let mut arrived = self.by_arrival.get(&arrival).take(EQUAL_MAX);
        arrived.find(|slot| {
            let open = self.open.get(*slot);
            open.is_some_and(|open| has_same_end(&open.path.packet, &event.packet))
        })
    }

    /// Remembers by which interface a packet came to its namespace first.
    pub(super) fn note_arrival(&mut self, slot: Slot, interface: u32) {
        let Some(open) = self.open.get(slot).filter(|open| open.arrival.is_none()) else {
            return;
        };
        let arrival = self.arrival(interface, &open.key);
        self.by_arrival.push(arrival, slot);
        if let Some(open) = self.open.get_mut(slot) {
            open.arrival = Some(arrival);
        }
    }

    /// Adds what a socket gets whole to the paths of all fragments of that
    /// datagram; returns the number of the first.
    pub(super) fn add_to_fragments(&mut self, event: &Event, world: &World) -> Option<u64> {
        let slots: Vec<_> = self.by_datagram.get(&datagram(&event.packet)?).collect();
        let first = self.open.get(*slots.first()?).map(|open| open.path.id);
        for slot in slots {
            self.add_hop(slot, event, world);
        }
        first
    }
}

/// The datagram that the packet is a fragment of.
pub(super) fn fragment_of(packet: &Packet) -> Option<Datagram> {
    match &packet.network {
        Network::Ip(ip) if ip.fragment.is_some() => datagram(packet),
        _ => None,
    }
}

fn datagram(packet: &Packet) -> Option<Datagram> {
    let Network::Ip(ip) = &packet.network else {
        return None;
    };
    // IPv6 has its identification in the fragment header, which goes.
    let id = if ip.source.is_ipv4() { ip.id } else { 0 };
    Some((ip.source, ip.destination, ip.protocol, id))
}

/// Whether source or destination, with its port, is the same in both.
fn has_same_end(one: &Packet, other: &Packet) -> bool {
    let ends = |packet: &Packet| {
        let (from, to) = packet.ports().unwrap_or_default();
        ((packet.source(), from), (packet.destination(), to))
    };
    let (one, other) = (ends(one), ends(other));
    one.0 == other.0 || one.1 == other.1
}
