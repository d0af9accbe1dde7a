//! Joins events into paths.
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use podtrace_ebpf::record::Direction;

use super::{Hop, Outcome, Path, rtt::Requests};
use crate::{
    event::{Event, Places},
    node::discover::{Place, Role},
    packet::{Network, Packet, PacketKey},
};

/// A broadcast that has arrived somewhere is waited for this long, in
/// nanoseconds: a bridge sends its copies at once.
const SETTLE_NS: u64 = 20_000_000;
/// Open paths at most; beyond it the oldest are closed early.
const OPEN_MAX: usize = 262_144;

/// Whose an address is: node number and pod; no pod for the node itself.
pub type Addresses = HashMap<IpAddr, (usize, Option<Arc<str>>)>;

/// What the builder knows of the network.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The interfaces with taps.
    pub places: Places,
    /// The addresses of the traced nodes and their pods.
    pub addresses: Addresses,
}

/// What one event means for its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The packet goes on.
    Onward,
    /// It arrived, but copies may arrive elsewhere.
    Arrived,
    /// Its way ends here.
    End(Outcome),
}

struct Open {
    path: Path,
    key: PacketKey,
    arrived: bool,
}

/// Paths under way.
pub struct Builder {
    timeout_ns: u64,
    next_id: u64,
    /// By id, hence by age.
    open: BTreeMap<u64, Open>,
    by_key: HashMap<PacketKey, Vec<u64>>,
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
            requests: Requests::default(),
            finished: Vec::new(),
        }
    }

    /// Adds an event (in order of time) and returns the number of its packet.
    pub fn push(&mut self, event: &Event, world: &World) -> u64 {
        self.requests.note(event);
        let id = self.path_for(event);
        let step = world
            .places
            .get(event.interface)
            .map_or(Step::Onward, |place| step(event, place, world));
        let mut end = None;
        if let Some(open) = self.open.get_mut(&id) {
            open.path.hops.push(Hop::of(event));
            open.arrived |= step == Step::Arrived;
            if let Step::End(outcome) = step {
                end = Some(outcome);
            }
        }
        if let Some(outcome) = end {
            self.close(id, outcome);
        }
        if self.open.len() > OPEN_MAX
            && let Some((oldest, arrived)) = self.open.iter().next().map(|(id, o)| (*id, o.arrived))
        {
            let outcome = if arrived {
                Outcome::Delivered
            } else {
                Outcome::GivenUp
            };
            self.close(oldest, outcome);
        }
        id
    }

    /// The path that the event continues: the oldest with its key that has
    /// not passed this tap yet; else a new one.
    fn path_for(&mut self, event: &Event) -> u64 {
        let same_key = self.by_key.entry(event.key).or_default();
        let mut candidates = same_key.iter().copied().filter(|id| {
            self.open.get(id).is_some_and(|open| {
                open.path
                    .hops
                    .iter()
                    .all(|hop| hop.interface != event.interface || hop.direction != event.direction)
            })
        });
        if let Some(id) = candidates.next() {
            let others: Vec<_> = candidates.collect();
            if !others.is_empty() {
                for id in others.into_iter().chain([id]) {
                    if let Some(open) = self.open.get_mut(&id) {
                        open.path.ambiguous = true;
                    }
                }
            }
            return id;
        }
        let id = self.next_id;
        self.next_id += 1;
        same_key.push(id);
        let path = Path {
            id,
            packet: event.packet.clone(),
            hops: Vec::with_capacity(8),
            outcome: Outcome::InFlight,
            ambiguous: false,
            round_trip: None,
        };
        let open = Open {
            path,
            key: event.key,
            arrived: false,
        };
        self.open.insert(id, open);
        id
    }

    fn close(&mut self, id: u64, outcome: Outcome) {
        let Some(Open { mut path, key, .. }) = self.open.remove(&id) else {
            return;
        };
        if let Some(ids) = self.by_key.get_mut(&key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_key.remove(&key);
            }
        }
        path.outcome = outcome;
        if let Some((flow, true)) = path.packet.echo_pair() {
            path.round_trip = self.requests.round_trip(&flow, &path.hops);
        }
        self.finished.push(path);
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
        let old: Vec<_> = self
            .open
            .iter()
            .filter_map(|(id, open)| {
                let patience = if open.arrived {
                    SETTLE_NS
                } else {
                    self.timeout_ns
                };
                let (first, last) = (open.path.hops.first()?, open.path.hops.last()?);
                let events_lost = last_loss_ns.is_some_and(|loss| first.ts_ns <= loss);
                let outcome = match (open.arrived, events_lost) {
                    (true, _) => Outcome::Delivered,
                    (false, true) => Outcome::EventsLost,
                    (false, false) => Outcome::NotSeenFurther,
                };
                (now_ns.saturating_sub(last.ts_ns) > patience).then_some((*id, outcome))
            })
            .collect();
        for (id, outcome) in old {
            self.close(id, outcome);
        }
    }

    /// Ends everything: the trace is over.
    pub fn finish(&mut self) {
        while let Some((id, arrived)) = self.open.iter().next().map(|(id, o)| (*id, o.arrived)) {
            let outcome = if arrived {
                Outcome::Delivered
            } else {
                Outcome::InFlight
            };
            self.close(id, outcome);
        }
    }

    /// Takes the paths that have ended since the last call.
    pub fn take_finished(&mut self) -> Vec<Path> {
        std::mem::take(&mut self.finished)
    }
}

fn step(event: &Event, place: &Place, world: &World) -> Step {
    let packet = &event.packet;
    match (place.role, event.direction) {
        (Role::Loopback, Direction::Ingress) => Step::End(Outcome::Delivered),
        (Role::Pod, Direction::Ingress) if is_group(packet) => Step::Arrived,
        (Role::Pod, Direction::Ingress) => Step::End(Outcome::Delivered),
        (Role::Uplink, Direction::Egress) => leaving(packet, place, world),
        (Role::Veth, _) | (_, Direction::Egress) => Step::Onward,
        (_, Direction::Ingress) => arriving(packet, place, world),
    }
}

/// Whether the frame is for a group: broadcast or multicast.
fn is_group(packet: &Packet) -> bool {
    packet
        .link
        .is_some_and(|link| link.destination.0[0] & 1 == 1)
}

/// A packet that leaves by the uplink: its way ends here, unless the node it
/// goes to is traced too.
fn leaving(packet: &Packet, place: &Place, world: &World) -> Step {
    let (next, outcome) = match packet.tunnel {
        Some(tunnel) => (
            Some(tunnel.destination),
            Outcome::LeftForVtep(tunnel.destination),
        ),
        None => (destination(packet), Outcome::LeftNode),
    };
    let traced = next
        .and_then(|address| world.addresses.get(&address))
        .is_some_and(|(node, _)| *node != place.node);
    if traced {
        Step::Onward
    } else {
        Step::End(outcome)
    }
}

/// A packet that one of the node's own interfaces received.
fn arriving(packet: &Packet, place: &Place, world: &World) -> Step {
    // Still in its tunnel, it is not at its inner destination.
    let (None, Some(address)) = (packet.tunnel, destination(packet)) else {
        return Step::Onward;
    };
    if is_group(packet) {
        return Step::Arrived;
    }
    let ours = world
        .addresses
        .get(&address)
        .is_some_and(|(node, pod)| *node == place.node && pod.is_none());
    // A link-local address is not forwarded: a frame for us is for us.
    if ours || is_link_local(address) {
        Step::End(Outcome::Delivered)
    } else {
        Step::Onward
    }
}

/// Whether the address is valid on one link only (RFC 3927, RFC 4291).
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
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
