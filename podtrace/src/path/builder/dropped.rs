//! Joins what a kernel says of dropped packets to their paths.
//!
//! A packet was dropped only if its path ends there: kernels drop copies of healthy packets,
//! too. What is said waits until all events of its time were joined.
use std::collections::VecDeque;

use super::{Builder, join::index::Slot, open::Open, recent::Begun};
use crate::{
    model::{drop::KernelDrop, origin::Origin},
    packet::{Network, Packet, PacketKey, is_group_address},
    path::{Outcome, dropped::Dropped},
    world::World,
};

/// Upper bound of the dropped packets that wait; beyond it the oldest is forgotten.
pub(crate) const WAITING_MAX: usize = 4096;

/// Dropped packets whose paths are still to be found.
#[derive(Default)]
pub(super) struct Drops(VecDeque<Waiting>);

struct Waiting {
    origin: Origin,
    drop: Box<KernelDrop>,
    key: PacketKey,
}

/// How well a path fits a dropped packet, the best last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// It has other ends: they were translated since it was seen.
    Translated,
    /// It has the same ends.
    Equal,
}

impl Builder {
    /// Takes over that a kernel has dropped a packet, as a session of this origin says.
    pub fn drop_packet(&mut self, origin: &Origin, drop: &KernelDrop, packet: &Packet) {
        // Of what goes to many, and of questions that are asked of all, copies are dropped.
        let is_for_one = matches!(packet.network, Network::Ip(_))
            && !packet.destination().is_some_and(is_group_address);
        if !is_for_one {
            return;
        }
        let waiting = &mut self.drops.0;
        if waiting.len() >= WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(Waiting {
            origin: origin.clone(),
            drop: Box::new(drop.clone()),
            key: packet.key(),
        });
    }

    /// Joins what was dropped until `now_ns` to its paths; all events until then were joined.
    /// Returns what has found its path.
    #[inline]
    pub fn join_drops(&mut self, now_ns: u64, world: &World) -> Vec<(Origin, KernelDrop)> {
        let mut joined = Vec::new();
        while let Some(next) = self.drops.0.front()
            && next.drop.ts_ns <= now_ns
            && let Some(Waiting { origin, drop, key }) = self.drops.0.pop_front()
        {
            if self.join_drop(&drop, &key, world) {
                joined.push((origin, *drop));
            }
        }
        joined
    }

    /// Joins a drop to its path; returns false if there is none.
    fn join_drop(&mut self, drop: &KernelDrop, key: &PacketKey, world: &World) -> bool {
        let Some(slot) = self.dropped(drop, key, world) else {
            let ended = self.ended_like(key).filter(|_| !drop.is_by_transport());
            let ended = ended.filter(|_| is_here(drop, world));
            if let Some(id) = ended {
                self.drop_ended(id, drop.without_bytes(), world);
            }
            return ended.is_some();
        };
        if !is_here(drop, world) {
            return false;
        }
        self.take_up(slot);
        self.open.change(slot, drop.ts_ns, |open| {
            let (by, hops) = (drop.without_bytes(), open.path.hops.len());
            open.path.dropped = Some(Box::new(Dropped { by, hops }));
        });
        true
    }

    /// The newest packet with that key whose path has ended.
    fn ended_like(&self, key: &PacketKey) -> Option<u64> {
        let mut begun = self.refusals.begun.find(key.tag());
        let found = begun.find(|begun| {
            let open = self.open.get(begun.slot);
            let is_open = open.is_some_and(|open| open.path.id == begun.id);
            !is_open && begun.key.quoted() == key.quoted()
        });
        found.map(|begun| begun.id)
    }

    /// The path of a dropped packet: of those that fit best, the one seen last. Among packets
    /// that were translated to other ends, only one that no other is like.
    fn dropped(&self, drop: &KernelDrop, key: &PacketKey, world: &World) -> Option<Slot> {
        let (known, tag) = (&self.refusals, key.tag());
        let begun = known.begun.find(tag).chain(known.late.find(tag));
        let mut fitting: Vec<_> = begun
            .filter_map(|Begun { id, slot, .. }| {
                let open = self.open.get(*slot).filter(|open| open.path.id == *id)?;
                let fit = fits(open, drop, key, world)?;
                Some((fit, open.path.last_ns(), *slot))
            })
            .collect();
        // One that was late stands in both.
        fitting.sort_unstable();
        fitting.dedup();
        match fitting[..] {
            [.., (Fit::Translated, ..), (Fit::Translated, ..)] => None,
            [.., (_, _, slot)] => Some(slot),
            [] => None,
        }
    }
}

/// Whether the namespace of the drop is known, and so of a traced node: one kernel may run several
/// nodes, whose packets may be equal.
fn is_here(drop: &KernelDrop, world: &World) -> bool {
    let is_it = |netns| drop.netns == netns;
    let spaces = || world.facts.values().flat_map(|facts| &facts.spaces);
    drop.netns == 0
        || world.tap_points.iter().any(|point| is_it(point.netns_id))
        || spaces().any(|space| is_it(space.netns))
}

/// How well an open path fits a dropped packet; none if it cannot be its own.
fn fits(open: &Open, drop: &KernelDrop, key: &PacketKey, world: &World) -> Option<Fit> {
    let last = open.path.hops.last()?;
    let point = world.tap_points.get(last.interface)?;
    if last.ts_ns > drop.ts_ns || open.path.dropped.is_some() {
        return None;
    }
    if open.key.quoted() == key.quoted() {
        return Some(Fit::Equal);
    }
    let is_here = drop.netns == point.netns_id;
    let is_like = open.key.quoted_content() == key.quoted_content();
    (is_here && is_like).then_some(Fit::Translated)
}

/// How a path ends that would end so if its kernel had not said that it dropped the packet.
pub(super) fn unless_dropped(is_dropped: bool, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::NotSeenFurther
        | Outcome::NoSocket
        | Outcome::EventsLost
        | Outcome::Unknown
        | Outcome::GivenUp
        | Outcome::InFlight
        | Outcome::Unanswered
            if is_dropped =>
        {
            Outcome::Dropped
        }
        _ => outcome,
    }
}
