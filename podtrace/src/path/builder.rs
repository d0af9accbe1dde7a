//! Joins events into paths.
mod continues;
mod step;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use podtrace_ebpf::record::Direction;

use super::{Hop, Outcome, Path, rtt::Requests};
use crate::{
    event::{Event, Places},
    identity::directory::Directory,
    packet::{Network, Packet, PacketKey, Transport},
};
use step::{Step, step};

/// A packet that has arrived may have more to come for this long, in
/// nanoseconds: a bridge sends the copies of a broadcast, and the kernel looks
/// for the receiving sockets, at once.
const SETTLE_NS: u64 = 20_000_000;
/// Open paths at most; beyond it the oldest are closed early.
const OPEN_MAX: usize = 262_144;

/// What the builder knows of the network.
#[derive(Debug, Default)]
pub struct World {
    /// The names of the traced nodes.
    pub nodes: Vec<Arc<str>>,
    /// The interfaces with taps.
    pub places: Places,
    /// Who is who.
    pub directory: Directory,
    /// Whether the sockets of pods are watched.
    pub watches_sockets: bool,
}

impl World {
    /// The name of a traced node.
    #[must_use]
    pub fn node_name(&self, number: usize) -> Option<Arc<str>> {
        self.nodes.get(number).cloned()
    }
}

struct Open {
    path: Path,
    key: PacketKey,
    arrived: bool,
    /// Where it came to its namespace, while a socket may follow.
    arrival: Option<Arrival>,
}

/// Interface by which a packet came to its namespace, and its key without
/// addresses and ports: those a socket sees may be translated there.
type Arrival = (u32, PacketKey);

impl Open {
    /// Whether the packet has not been seen for so long that its way has ended.
    fn is_over(&self, now_ns: u64, timeout_ns: u64) -> bool {
        let patience_ns = if self.arrived { SETTLE_NS } else { timeout_ns };
        let last = self.path.hops.last();
        last.is_some_and(|last| now_ns.saturating_sub(last.ts_ns) > patience_ns)
    }
}

/// Paths under way.
pub struct Builder {
    timeout_ns: u64,
    next_id: u64,
    /// By id, hence by age.
    open: BTreeMap<u64, Open>,
    by_key: HashMap<PacketKey, Vec<u64>>,
    /// The open paths of fragments.
    by_datagram: HashMap<Datagram, Vec<u64>>,
    /// The paths of packets that have come to their namespace.
    by_arrival: HashMap<Arrival, Vec<u64>>,
    requests: Requests,
    finished: Vec<Path>,
}

impl Builder {
    /// `timeout_ns`: how long a packet may stay between two hops.
    #[must_use]
    pub fn new(timeout_ns: u64) -> Self {
        Self {
            timeout_ns,
            next_id: 1,
            open: BTreeMap::new(),
            by_key: HashMap::new(),
            by_datagram: HashMap::new(),
            by_arrival: HashMap::new(),
            requests: Requests::default(),
            finished: Vec::new(),
        }
    }

    /// Adds an event (in order of time) and returns the number of its packet.
    pub fn push(&mut self, event: &Event, world: &World) -> u64 {
        self.requests.note(event);
        if let Some(ids) = self.fragments_of(event) {
            for id in &ids {
                self.add_hop(*id, event, world);
            }
            return ids.first().copied().unwrap_or_default();
        }
        let translated = self.translated(event);
        let id = translated.unwrap_or_else(|| self.path_for(event, world));
        self.add_hop(id, event, world);
        if self.open.len() > OPEN_MAX {
            self.give_up_oldest();
        }
        id
    }

    fn add_hop(&mut self, id: u64, event: &Event, world: &World) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        let hop = Hop::of(event);
        if !open
            .path
            .hops
            .iter()
            .any(|other| is_same_owner(other, &hop))
        {
            open.path.hops.push(hop);
        }
        let place = world.places.get(event.interface);
        match place.map(|place| step(event, place, &open.path.packet, world)) {
            Some(Step::End(outcome)) => self.close(id, outcome),
            Some(Step::Arrived) => {
                open.arrived = true;
                if event.direction == Direction::Ingress && open.arrival.is_none() {
                    let arrival = (event.interface, event.key.without_ends());
                    open.arrival = Some(arrival);
                    self.by_arrival.entry(arrival).or_default().push(id);
                }
            }
            Some(Step::Onward) | None => {}
        }
    }

    /// The path that a socket's event continues although the packet's ends
    /// are not the same any more: translated in the pod, as a service mesh
    /// does, one of them is.
    fn translated(&self, event: &Event) -> Option<u64> {
        if event.direction != Direction::Socket || self.by_key.contains_key(&event.key) {
            return None;
        }
        let arrival = (event.interface, event.key.without_ends());
        let ids = self.by_arrival.get(&arrival)?;
        ids.iter().copied().find(|id| {
            self.open
                .get(id)
                .is_some_and(|open| has_same_end(&open.path.packet, &event.packet))
        })
    }

    fn give_up_oldest(&mut self) {
        if let Some(oldest) = self.oldest() {
            self.cut_short(oldest, Outcome::GivenUp);
        }
    }

    /// Ends a path of which more may come.
    fn cut_short(&mut self, id: u64, otherwise: Outcome) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        open.path.incomplete = true;
        let outcome = if open.arrived {
            Outcome::Delivered
        } else {
            otherwise
        };
        self.close(id, outcome);
    }

    /// The paths of all fragments of a datagram that a socket gets whole.
    fn fragments_of(&self, event: &Event) -> Option<Vec<u64>> {
        if event.direction != Direction::Socket || self.by_key.contains_key(&event.key) {
            return None;
        }
        self.by_datagram.get(&datagram(&event.packet)?).cloned()
    }

    /// The path that the event continues; else a new one.
    fn path_for(&mut self, event: &Event, world: &World) -> u64 {
        let same_key = self.by_key.entry(event.key).or_default();
        let paths = same_key
            .iter()
            .filter_map(|id| self.open.get(id))
            .filter(|open| !open.is_over(event.ts_ns, self.timeout_ns))
            .map(|open| &open.path);
        if let Some((id, is_one_of_several)) = continues::choose(paths, event, world) {
            if is_one_of_several {
                for id in same_key {
                    if let Some(open) = self.open.get_mut(id) {
                        open.path.ambiguous = true;
                    }
                }
            }
            return id;
        }
        let id = self.next_id;
        self.next_id += 1;
        same_key.push(id);
        if let (Some(of), true) = (datagram(&event.packet), is_fragment(&event.packet)) {
            self.by_datagram.entry(of).or_default().push(id);
        }
        let path = Path {
            id,
            packet: event.packet.clone(),
            hops: Vec::with_capacity(8),
            outcome: Outcome::InFlight,
            ambiguous: false,
            incomplete: false,
            round_trip: None,
            asker: None,
        };
        let open = Open {
            path,
            key: event.key,
            arrived: false,
            arrival: None,
        };
        self.open.insert(id, open);
        id
    }

    fn close(&mut self, id: u64, outcome: Outcome) {
        let Some(Open {
            mut path,
            key,
            arrival,
            arrived: _,
        }) = self.open.remove(&id)
        else {
            return;
        };
        if let Some(arrival) = arrival {
            remove_id(&mut self.by_arrival, arrival, id);
        }
        remove_id(&mut self.by_key, key, id);
        if let (Some(of), true) = (datagram(&path.packet), is_fragment(&path.packet)) {
            remove_id(&mut self.by_datagram, of, id);
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
        self.open.keys().next().copied()
    }

    /// Whether some path waits for a timeout.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    /// Ends the paths whose packets were last seen too long before `now_ns`.
    /// `last_loss_ns`: when an event was last found to be lost; it can be one
    /// of any packet that was under way by then.
    pub fn expire(&mut self, now_ns: u64, last_loss_ns: Option<u64>) {
        let mut old = Vec::new();
        for (id, open) in &mut self.open {
            let Some(first) = open.path.hops.first() else {
                continue;
            };
            if !open.is_over(now_ns, self.timeout_ns) {
                continue;
            }
            open.path.incomplete = last_loss_ns.is_some_and(|loss| first.ts_ns <= loss);
            let outcome = match (open.arrived, open.path.incomplete) {
                (true, _) => Outcome::Delivered,
                (false, true) => Outcome::EventsLost,
                (false, false) => Outcome::NotSeenFurther,
            };
            old.push((*id, outcome));
        }
        for (id, outcome) in old {
            self.close(id, outcome);
        }
    }

    /// Ends everything: the trace is over.
    pub fn finish(&mut self) {
        while let Some(oldest) = self.oldest() {
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
        let (from, to) = match packet.transport {
            Transport::Tcp {
                source,
                destination,
                ..
            }
            | Transport::Udp {
                source,
                destination,
                ..
            } => (source, destination),
            _ => (0, 0),
        };
        ((source(packet), from), (destination(packet), to))
    };
    let (one, other) = (ends(one), ends(other));
    one.0 == other.0 || one.1 == other.1
}

fn is_fragment(packet: &Packet) -> bool {
    matches!(&packet.network, Network::Ip(ip) if ip.fragment.is_some())
}

fn remove_id<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Vec<u64>>, key: K, id: u64) {
    if let Some(ids) = map.get_mut(&key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            map.remove(&key);
        }
    }
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
