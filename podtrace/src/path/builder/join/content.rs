//! Joins by the content that address translation leaves unchanged.
//!
//! The content decides: what neither NAT nor a router changes is the same on both sides of
//! a translation. Where equal packets of several flows are under way, the translations decide
//! between them that were seen before, or that the node's connection tracking knows; where
//! those do not, the packets stay apart and are marked.
use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::RandomState;
use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::{
    EQUAL_MAX, Join, Joined, Observation,
    index::{HashedIndex, Slot},
    known::{Fit, Known, Scope},
};
use crate::{
    model::{event::Event, tap_point::Role},
    packet::{Network, Packet, PacketKey, Transport},
    path::{
        Hop,
        builder::open::{Open, OpenPaths},
    },
    world::World,
};
/// The paths of packets that translation may change, by their content.
#[derive(Default)]
pub(super) struct ByContent {
    hasher: RandomState,
    index: HashedIndex<u64>,
}

/// A path that an event with other ends may continue.
struct Candidate {
    slot: Slot,
    key: PacketKey,
    rank: Rank,
    /// Whether more than its content speaks for it.
    is_sure: bool,
}

/// How likely a candidate is the one, compared field by field.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// What is late is more likely lost than late.
    is_in_time: bool,
    fit: Fit,
    /// No other flow is given the source of this one.
    keeps_source: bool,
    /// How many hops a slow packet has passed: another one would have to be seen first where
    /// the last one waits.
    came: usize,
}

impl ByContent {
    fn hash(&self, key: &PacketKey) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        key.content()
            .into_iter()
            .for_each(|word| hasher.write_u64(word));
        hasher.finish()
    }
}

impl Join for ByContent {
    fn find(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
        known: &Known,
    ) -> Option<Joined> {
        let event = seen.event;
        if !is_translatable(&event.packet) || !shows_translation(event, world) {
            return None;
        }
        let equal = self.index.get(&self.hash(&seen.key)).take(EQUAL_MAX);
        let candidates = equal.filter_map(|slot| {
            let path = open.get(slot)?;
            candidate(slot, path, seen, world, known)
        });
        let candidates: Vec<_> = candidates.collect();
        let best = candidates.iter().map(|candidate| candidate.rank).max()?;
        let mut best = candidates.iter().filter(|candidate| candidate.rank == best);
        let oldest = best.next()?;
        let others: Vec<_> = best.collect();
        if others.is_empty() {
            return oldest.is_sure.then_some(Joined::Translated(oldest.slot));
        }
        for candidate in others.iter().copied().chain([oldest]) {
            if let Some(open) = open.get_mut(candidate.slot) {
                open.path.ambiguous = true;
            }
        }
        // Equal packets of one flow keep their order.
        let is_one_flow = others.iter().all(|other| other.key == oldest.key);
        Some(if is_one_flow && oldest.is_sure {
            Joined::Translated(oldest.slot)
        } else {
            Joined::Undecided
        })
    }

    fn insert(&mut self, slot: Slot, open: &mut OpenPaths, _: &Known) -> Option<Slot> {
        let path = open.get_mut(slot)?;
        if !is_translatable(&path.path.packet) {
            return None;
        }
        let content = self.hash(&path.key);
        path.content = Some(content);
        if self.index.push(content, slot) <= EQUAL_MAX {
            return None;
        }
        // Late packets do not keep a search from those under way.
        let oldest = self.index.get(&content).next()?;
        open.get(oldest).filter(|open| open.late).map(|_| oldest)
    }

    fn remove(&mut self, slot: Slot, open: &Open) {
        if let Some(content) = &open.content {
            self.index.remove(content, slot);
        }
    }
}

/// The path as a candidate for the event, if it is one.
fn candidate(
    slot: Slot,
    open: &Open,
    seen: &Observation<'_>,
    world: &World,
    known: &Known,
) -> Option<Candidate> {
    let event = seen.event;
    if open.key == seen.key || !open.may_go_on(event.ts_ns, seen.timeout_ns) {
        return None;
    }
    let scope = Scope::of(common_netns(open, seen, world)?, &event.packet)?;
    let before = open.path.ends()?;
    let after = event.packet.ends()?;
    if !may_be_forwarded(open, seen) {
        return None;
    }
    let keeps_source = before.from() == after.from();
    let has_same_end = keeps_source || before.to() == after.to();
    if event.direction == Direction::Socket && !has_same_end {
        return None;
    }
    let fit = known.fit(scope, known.flow(&before), known.flow(&after), event.ts_ns);
    let is_slow = open.is_slow(event.ts_ns, seen.timeout_ns);
    Some(Candidate {
        slot,
        key: open.key,
        rank: Rank {
            is_in_time: !is_slow,
            fit,
            keeps_source,
            came: if is_slow { open.path.hops.len() } else { 0 },
        },
        // The known translation may be of an earlier flow, or the other half of a translation
        // in two steps.
        is_sure: fit == Fit::Confirmed || has_same_end || is_distinctive(&event.packet),
    })
}

/// Whether address translation changes such packets.
fn is_translatable(packet: &Packet) -> bool {
    match packet.transport {
        Transport::Tcp { .. } | Transport::Udp { .. } | Transport::Echo { .. } => true,
        Transport::Fragment => true,
        Transport::Icmp { .. } => packet.is_icmp_error(),
        _ => false,
    }
}

/// Whether the event's tap can be the first that shows a translation: what enters a
/// namespace was not translated there yet, unless a bridge asked the firewall.
pub(super) fn shows_translation(event: &Event, world: &World) -> bool {
    let point = world.tap_points.get(event.interface);
    let role = point.map(|point| point.role);
    match event.direction {
        Direction::Ingress => matches!(role, Some(Role::Bridge | Role::Capture)),
        Direction::Egress => role != Some(Role::Pod) || event.cgroup == CGROUP_NONE,
        Direction::Socket | Direction::Unknown => true,
    }
}

/// Whether hardly another packet has the same content.
fn is_distinctive(packet: &Packet) -> bool {
    let has_id = match &packet.network {
        Network::Ip(ip) => ip.source.is_ipv4() && ip.id != 0,
        _ => false,
    };
    match packet.transport {
        Transport::Tcp { .. } => true,
        _ => has_id || packet.payload_hash != 0,
    }
}

/// The network namespace in which the packet was seen last and the event happened: nothing
/// is translated on the way from one to another, nor once an interface sends the packet. But
/// a bridge may ask the firewall again.
pub(super) fn common_netns(
    open: &Open,
    seen: &Observation<'_>,
    world: &World,
) -> Option<(usize, u64)> {
    let event = seen.event;
    let last = open.path.hops.last()?;
    let here = world.tap_points.get(event.interface)?.netns();
    let there = world.tap_points.get(last.interface)?;
    let is_inside = matches!(there.role, Role::Loopback | Role::Bridge);
    let is_sent = last.direction == Direction::Egress && !is_inside;
    if there.netns() != here || is_sent {
        return None;
    }
    (!open.has_passed(event)).then_some(here)
}

/// Whether the event may show the path's packet on its way through a namespace, and not
/// one that a process sends there after it has read that one.
pub(super) fn may_be_forwarded(open: &Open, seen: &Observation<'_>) -> bool {
    let event = seen.event;
    if event.direction == Direction::Socket {
        return open.arrived;
    }
    let hops = &open.path.hops;
    let is_of_its_socket =
        event.cgroup == CGROUP_NONE || hops.iter().any(|hop| hop.cgroup == event.cgroup);
    let ttl = Hop::ttl_of(&event.packet);
    is_of_its_socket && ttl <= hops.last().and_then(|hop| hop.ttl)
}
