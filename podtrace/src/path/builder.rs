//! Joins events into paths.
mod continues;
mod lists;
mod open;
mod step;

use std::net::IpAddr;

use podtrace_ebpf::record::Direction;

use super::{Hop, Outcome, Path, rtt::Requests};
pub use crate::world::World;
use crate::{
    event::Event,
    packet::{Network, Packet, PacketKey},
};
use lists::{Index, Slot};
use open::{Open, OpenPaths};
use step::{Step, step};

/// A packet that has arrived may have more to come for this long, in
/// nanoseconds: a bridge sends the copies of a broadcast, and the kernel looks
/// for the receiving sockets, at once.
const SETTLE_NS: u64 = 20_000_000;
/// Equal packets, or fragments of one datagram, that are followed at once; beyond
/// it the oldest is given up, so that none has to be looked for among many.
const EQUAL_MAX: usize = 64;
/// Open paths at most; beyond it the oldest are closed early.
const OPEN_MAX: usize = 262_144;
/// Hops that a path has room for at first: from a pod to a socket of another node.
const HOPS: usize = 11;

/// Interface by which a packet came to its namespace, and its key without
/// addresses and ports: those a socket sees may be translated there.
type Arrival = (u32, PacketKey);

/// Paths under way.
pub struct Builder {
    timeout_ns: u64,
    /// Whether only some of the usual interfaces are watched.
    sees_part: bool,
    next_id: u64,
    open: OpenPaths,
    by_key: Index<PacketKey>,
    /// The open paths of fragments.
    by_datagram: Index<Datagram>,
    /// The paths of packets that have come to their namespace.
    by_arrival: Index<Arrival>,
    requests: Requests,
    finished: Vec<Path>,
}

impl Builder {
    /// `timeout_ns`: how long a packet may stay between two hops.
    #[must_use]
    pub fn new(timeout_ns: u64) -> Self {
        Self {
            timeout_ns,
            sees_part: false,
            next_id: 1,
            open: OpenPaths::default(),
            by_key: Index::default(),
            by_datagram: Index::default(),
            by_arrival: Index::default(),
            requests: Requests::default(),
            finished: Vec::new(),
        }
    }

    /// Only some of the usual interfaces are watched: that a packet is not seen
    /// again tells nothing.
    pub fn see_part(&mut self) {
        self.sees_part = true;
    }

    /// Adds an event (in order of time) and returns the number of its packet.
    pub fn push(&mut self, event: &Event, world: &World) -> u64 {
        self.requests.note(event);
        let mut known = None;
        if event.direction == Direction::Socket && !self.by_key.contains(&event.key) {
            if let Some(first) = self.add_to_fragments(event, world) {
                return first;
            }
            known = self.translated(event);
        }
        let slot = known
            .or_else(|| self.continued(event, world))
            .unwrap_or_else(|| self.begin(event));
        let id = self.open.get(slot).map_or(0, |open| open.path.id);
        self.add_hop(slot, event, world);
        if self.open.len() > OPEN_MAX {
            self.give_up(self.open.oldest());
        }
        id
    }

    fn add_hop(&mut self, slot: Slot, event: &Event, world: &World) {
        let place = world.places.get(event.interface);
        let step = self.open.change(slot, event.ts_ns, |open| {
            let hop = Hop::of(event);
            let mut others = open.path.hops.iter();
            if !others.any(|other| is_same_owner(other, &hop)) {
                open.path.hops.push(hop);
            }
            let step = place.map_or(Step::Onward, |place| {
                step(event, place, &open.path.packet, world)
            });
            open.arrived |= step == Step::Arrived;
            open.untold = step == Step::Untold;
            step
        });
        match step {
            Some(Step::End(outcome)) => self.close(slot, outcome),
            Some(Step::Arrived) if event.direction == Direction::Ingress => {
                self.note_arrival(slot, event.interface);
            }
            _ => {}
        }
    }

    /// Remembers by which interface a packet came to its namespace first.
    fn note_arrival(&mut self, slot: Slot, interface: u32) {
        if let Some(open) = self.open.get_mut(slot)
            && open.arrival.is_none()
        {
            open.arrival = Some(interface);
            let arrival = (interface, open.key.without_ends());
            self.by_arrival.push(arrival, slot);
        }
    }

    /// The path that a socket's event continues although the packet's ends
    /// are not the same any more: translated in the pod, as a service mesh
    /// does, one of them is.
    fn translated(&self, event: &Event) -> Option<Slot> {
        let arrival = (event.interface, event.key.without_ends());
        let mut arrived = self.by_arrival.get(&arrival).take(EQUAL_MAX);
        arrived.find(|slot| {
            let open = self.open.get(*slot);
            open.is_some_and(|open| has_same_end(&open.path.packet, &event.packet))
        })
    }

    /// Ends a path for want of room.
    fn give_up(&mut self, slot: Option<Slot>) {
        if let Some(slot) = slot {
            self.cut_short(slot, Outcome::GivenUp);
        }
    }

    /// Ends a path of which more may come.
    fn cut_short(&mut self, slot: Slot, otherwise: Outcome) {
        let Some(open) = self.open.get_mut(slot) else {
            return;
        };
        open.path.incomplete = true;
        let outcome = match (open.arrived, open.untold) {
            (true, _) => Outcome::Delivered,
            (false, true) => Outcome::Unknown,
            (false, false) => otherwise,
        };
        self.close(slot, outcome);
    }

    /// Adds what a socket gets whole to the paths of all fragments of that
    /// datagram; returns the number of the first.
    fn add_to_fragments(&mut self, event: &Event, world: &World) -> Option<u64> {
        let slots: Vec<_> = self.by_datagram.get(&datagram(&event.packet)?).collect();
        let first = self.open.get(*slots.first()?).map(|open| open.path.id);
        for slot in slots {
            self.add_hop(slot, event, world);
        }
        first
    }

    /// The path under way that the event continues.
    fn continued(&mut self, event: &Event, world: &World) -> Option<Slot> {
        let paths = self
            .by_key
            .get(&event.key)
            .filter_map(|slot| Some((slot, self.open.get(slot)?)))
            .filter(|(_, open)| !open.is_over(event.ts_ns, self.timeout_ns))
            .map(|(slot, open)| (slot, &open.path));
        let (chosen, is_one_of_several) = continues::choose(paths, event, world)?;
        if is_one_of_several {
            self.mark_ambiguous(&event.key);
        }
        Some(chosen)
    }

    /// Of the packets with this key, each may be another.
    fn mark_ambiguous(&mut self, key: &PacketKey) {
        for slot in self.by_key.get(key) {
            if let Some(open) = self.open.get_mut(slot) {
                open.path.ambiguous = true;
            }
        }
    }

    /// Begins a path with the event's packet.
    fn begin(&mut self, event: &Event) -> Slot {
        let path = Path {
            id: self.next_id,
            packet: event.packet.clone(),
            hops: Vec::with_capacity(HOPS),
            outcome: Outcome::InFlight,
            ambiguous: false,
            incomplete: false,
            round_trip: None,
            asker: None,
        };
        self.next_id += 1;
        let slot = self.open.add(Open::new(path, event.key));
        if self.by_key.push(event.key, slot) > EQUAL_MAX {
            // What comes of the oldest will be taken for another's.
            self.mark_ambiguous(&event.key);
            let oldest = self.by_key.get(&event.key).next();
            self.give_up(oldest);
        }
        if let (Some(of), true) = (datagram(&event.packet), is_fragment(&event.packet))
            && self.by_datagram.push(of, slot) > EQUAL_MAX
        {
            let oldest = self.by_datagram.get(&of).next();
            self.give_up(oldest);
        }
        slot
    }

    fn close(&mut self, slot: Slot, outcome: Outcome) {
        let Some(open) = self.open.remove(slot) else {
            return;
        };
        let mut path = open.path;
        if let Some(interface) = open.arrival {
            let arrival = (interface, open.key.without_ends());
            self.by_arrival.remove(&arrival, slot);
        }
        self.by_key.remove(&open.key, slot);
        if let (Some(of), true) = (datagram(&path.packet), is_fragment(&path.packet)) {
            self.by_datagram.remove(&of, slot);
        }
        path.outcome = outcome;
        if let Some((flow, true)) = path.packet.echo_pair() {
            path.round_trip = self.requests.round_trip(&flow, &path.hops);
            path.asker = self.requests.asker(&flow);
        }
        self.finished.push(path);
    }

    /// The id of the oldest path that has not ended.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        let oldest = self.open.get(self.open.oldest()?)?;
        Some(oldest.path.id)
    }

    /// Whether some path waits for a timeout.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.open.len() > 0
    }

    /// Ends the paths whose packets were last seen too long before `now_ns`.
    /// `last_loss_ns`: when an event was last found to be lost; it can be one
    /// of any packet that was under way by then.
    pub fn expire(&mut self, now_ns: u64, last_loss_ns: Option<u64>) {
        for slot in self.open.over(now_ns, self.timeout_ns) {
            let Some(open) = self.open.get_mut(slot) else {
                continue;
            };
            let first_ns = open.path.hops.first().map_or(0, |first| first.ts_ns);
            open.path.incomplete = last_loss_ns.is_some_and(|loss| first_ns <= loss);
            let outcome = match (open.arrived, open.path.incomplete) {
                (true, _) => Outcome::Delivered,
                (false, true) => Outcome::EventsLost,
                (false, false) if open.untold || self.sees_part => Outcome::Unknown,
                (false, false) => Outcome::NotSeenFurther,
            };
            self.close(slot, outcome);
        }
    }

    /// Ends everything: the trace is over.
    pub fn finish(&mut self) {
        while let Some(oldest) = self.open.oldest() {
            self.cut_short(oldest, Outcome::InFlight);
        }
    }

    /// Takes the paths that have ended since the last call.
    pub fn take_finished(&mut self) -> Vec<Path> {
        std::mem::take(&mut self.finished)
    }
}

/// Source, destination, protocol and, of IPv4, the identification: what all
/// fragments of a datagram and the datagram itself have in common.
type Datagram = (IpAddr, IpAddr, u8, u32);

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
        ((source(packet), from), (destination(packet), to))
    };
    let (one, other) = (ends(one), ends(other));
    one.0 == other.0 || one.1 == other.1
}

fn is_fragment(packet: &Packet) -> bool {
    matches!(&packet.network, Network::Ip(ip) if ip.fragment.is_some())
}

/// Whether both are copies for sockets of one owner: one hop tells of them.
fn is_same_owner(one: &Hop, other: &Hop) -> bool {
    let key = |hop: &Hop| (hop.interface, hop.direction, hop.cgroup);
    one.direction == Direction::Socket && key(one) == key(other)
}

/// Whom the packet is for, at the network layer.
#[must_use]
pub fn destination(packet: &Packet) -> Option<IpAddr> {
    match &packet.network {
        Network::Ip(ip) => Some(ip.destination),
        Network::Arp(arp) => Some(arp.target.into()),
        Network::Other | Network::Unreadable => None,
    }
}

/// Whom the packet is from, at the network layer.
#[must_use]
pub fn source(packet: &Packet) -> Option<IpAddr> {
    match &packet.network {
        Network::Ip(ip) => Some(ip.source),
        Network::Arp(arp) => Some(arp.sender.into()),
        Network::Other | Network::Unreadable => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
