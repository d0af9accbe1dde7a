//! Joins by what address translation leaves of a packet.
//!
//! The content decides: what neither NAT nor a router changes is the same on both sides of
//! a translation. Where equal packets of several flows are under way, the translations seen
//! before decide between them; where those do not, the packets stay apart and are marked.
mod known;

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::{
    EQUAL_MAX, Join, Joined, Sighting,
    index::{Index, Slot},
};
use crate::{
    model::{
        event::Event,
        tap_point::{Role, TapPoint},
    },
    packet::{Ends, Network, Packet, PacketKey, Transport},
    path::{
        Path,
        builder::open::{Open, OpenPaths},
    },
    world::World,
};
use known::Known;

/// The paths of packets that translation may change, by their content.
#[derive(Default)]
pub(super) struct ByContent {
    hasher: RandomState,
    index: Index<u64>,
    known: Known,
}

/// How well a path fits an event with other ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// Its flow was translated otherwise before.
    Contradicted,
    /// Nothing speaks against it.
    Possible,
    /// Its flow was translated so before.
    Confirmed,
}

impl ByContent {
    fn hash(&self, key: &PacketKey) -> u64 {
        self.hasher.hash_one(key.without_ends())
    }

    /// Remembers a translation.
    pub(super) fn learn(&mut self, point: &TapPoint, before: Ends, after: Ends) {
        self.known.learn(netns_of(point), before, after);
    }

    /// Whether such packets were translated before where this one has come in, and went on.
    pub(super) fn goes_on(&self, event: &Event, world: &World) -> bool {
        if self.known.is_empty() || event.direction != Direction::Ingress {
            return false;
        }
        let point = world.tap_points.get(event.interface);
        let point = point.filter(|point| !point.in_pod);
        point
            .zip(event.packet.ends())
            .is_some_and(|(point, ends)| self.known.get(netns_of(point), ends).is_some())
    }

    /// How well the path fits the event, if it does at all.
    fn fit(&self, open: &Open, seen: &Sighting<'_>, world: &World) -> Option<Fit> {
        let event = seen.event;
        if open.key == seen.key || open.is_over(event.ts_ns, seen.timeout_ns) {
            return None;
        }
        let netns = common_netns(&open.path, seen, world)?;
        let before = open.path.ends()?;
        let after = event.packet.ends()?;
        if !may_be_forwarded(open, seen) {
            return None;
        }
        let has_same_end = before.from() == after.from() || before.to() == after.to();
        if event.direction == Direction::Socket && !has_same_end {
            return None;
        }
        let fit = self.known.fit(netns, before, after);
        // What is known may be old, or the other half of a translation in two steps.
        let is_sure = fit == Fit::Confirmed || has_same_end || tells_apart(&event.packet);
        is_sure.then_some(fit)
    }
}

impl Join for ByContent {
    fn find(&self, seen: &Sighting<'_>, open: &mut OpenPaths, world: &World) -> Option<Joined> {
        let event = seen.event;
        if !is_translatable(&event.packet) || !shows_translation(event, world) {
            return None;
        }
        let equal = self.index.get(&self.hash(&seen.key)).take(EQUAL_MAX);
        let fitting = equal.filter_map(|slot| {
            let path = open.get(slot)?;
            // What is late is more likely lost than late.
            let rank = (!path.late, self.fit(path, seen, world)?);
            Some((rank, slot, path.key))
        });
        let fitting: Vec<_> = fitting.collect();
        let best = fitting.iter().map(|(rank, ..)| *rank).max()?;
        let mut best = fitting.iter().filter(|(rank, ..)| *rank == best);
        let (_, oldest, key) = best.next()?;
        let others: Vec<_> = best.collect();
        if others.is_empty() {
            return Some(Joined::Translated(*oldest));
        }
        for slot in others.iter().map(|(_, slot, _)| slot).chain([oldest]) {
            if let Some(open) = open.get_mut(*slot) {
                open.path.ambiguous = true;
            }
        }
        // Equal packets of one flow keep their order.
        let is_one_flow = others.iter().all(|(_, _, other)| other == key);
        Some(if is_one_flow {
            Joined::Translated(*oldest)
        } else {
            Joined::Undecided
        })
    }

    fn begun(&mut self, slot: Slot, open: &mut OpenPaths) -> Option<Slot> {
        let open = open.get_mut(slot)?;
        if is_translatable(&open.path.packet) {
            let content = self.hash(&open.key);
            self.index.push(content, slot);
            open.content = Some(content);
        }
        None
    }

    fn ended(&mut self, slot: Slot, open: &Open) {
        if let Some(content) = &open.content {
            self.index.remove(content, slot);
        }
    }
}

/// Whether address translation changes such packets.
fn is_translatable(packet: &Packet) -> bool {
    match packet.transport {
        Transport::Tcp { .. } | Transport::Udp { .. } | Transport::Echo { .. } => true,
        Transport::Fragment => true,
        Transport::Icmp { kind, .. } => is_icmp_error(packet, kind),
        _ => false,
    }
}

/// Whether the event's tap can be the first that shows a translation: what enters a
/// namespace was not translated there yet, unless a bridge asked the firewall.
fn shows_translation(event: &Event, world: &World) -> bool {
    let point = world.tap_points.get(event.interface);
    let role = point.map(|point| point.role);
    match event.direction {
        Direction::Ingress => matches!(role, Some(Role::Bridge | Role::Capture)),
        Direction::Egress => role != Some(Role::Pod) || event.cgroup == CGROUP_NONE,
        Direction::Socket | Direction::Unknown => true,
    }
}

/// Whether the message quotes a packet (RFC 792, RFC 4443).
fn is_icmp_error(packet: &Packet, kind: u8) -> bool {
    match &packet.network {
        Network::Ip(ip) if ip.source.is_ipv4() => matches!(kind, 3 | 4 | 5 | 11 | 12),
        _ => kind < 128,
    }
}

/// Whether hardly another packet has the same content.
fn tells_apart(packet: &Packet) -> bool {
    let has_id = match &packet.network {
        Network::Ip(ip) => ip.source.is_ipv4() && ip.id != 0,
        _ => false,
    };
    match packet.transport {
        Transport::Tcp { .. } => true,
        _ => has_id || packet.payload_hash != 0,
    }
}

/// The node and the namespace of a tap point.
fn netns_of(point: &TapPoint) -> (usize, u64) {
    (point.node, point.netns_id)
}

/// The network namespace in which the packet was seen last and the event happened: nothing
/// is translated on the way from one to another.
fn common_netns(path: &Path, seen: &Sighting<'_>, world: &World) -> Option<(usize, u64)> {
    let event = seen.event;
    let last = path.hops.last()?;
    let here = netns_of(world.tap_points.get(event.interface)?);
    if netns_of(world.tap_points.get(last.interface)?) != here {
        return None;
    }
    (!path.has_passed(event)).then_some(here)
}

/// Whether the event may show the path's packet on its way through a namespace, and not
/// one that a process sends there after it has read that one.
fn may_be_forwarded(open: &Open, seen: &Sighting<'_>) -> bool {
    let event = seen.event;
    if event.direction == Direction::Socket {
        return open.arrived;
    }
    let hops = &open.path.hops;
    let is_of_its_socket =
        event.cgroup == CGROUP_NONE || hops.iter().any(|hop| hop.cgroup == event.cgroup);
    let ttl = match &event.packet.network {
        Network::Ip(ip) => Some(ip.ttl),
        _ => None,
    };
    is_of_its_socket && ttl <= hops.last().and_then(|hop| hop.ttl)
}
