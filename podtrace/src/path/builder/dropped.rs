//! Joins what a kernel says of dropped packets to their paths.
//!
//! A packet was dropped only if its path ends there: kernels drop copies of healthy packets,
//! too. What is said waits until all events of its time were joined.
use std::collections::VecDeque;

use super::{Builder, join::index::Slot, open::Open, recent::Begun};
use crate::{
    model::{drop::KernelDrop, origin::Origin},
    packet::{Ends, Network, Packet, PacketKey, is_group_address},
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
    ends: Option<Ends>,
    /// Whether it is told of a packet that had arrived already.
    is_beyond: bool,
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
        if drop.is_by_receiver(packet) || !drop.is_by_transport() {
            self.floods.note(drop, packet);
        }
        let waiting = &mut self.drops.0;
        if waiting.len() >= WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(Waiting {
            origin: origin.clone(),
            drop: Box::new(drop.clone()),
            key: packet.key(),
            ends: packet.ends(),
            is_beyond: drop.is_beyond(packet),
        });
    }

    /// Joins what was dropped until `now_ns` to its paths; all events until then were joined.
    /// Returns what has found its path.
    #[inline]
    pub fn join_drops(&mut self, now_ns: u64, world: &World) -> Vec<(Origin, KernelDrop)> {
        let mut joined = Vec::new();
        while let Some(next) = self.drops.0.front()
            && next.drop.ts_ns <= now_ns
            && let Some(waiting) = self.drops.0.pop_front()
        {
            if self.join_drop(&waiting, world) {
                joined.push((waiting.origin, *waiting.drop));
            }
        }
        joined
    }

    /// Joins a drop to its path; returns false if there is none.
    fn join_drop(&mut self, waiting: &Waiting, world: &World) -> bool {
        let Waiting { drop, key, .. } = waiting;
        let Some((slot, fit)) = self.dropped(drop, key, world) else {
            let may_be = !waiting.is_beyond && is_here(drop, world);
            let ended = may_be.then(|| self.ended_like(key, drop.ts_ns)).flatten();
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
            open.path.dropped = Some(Box::new(Dropped {
                by: drop.without_bytes(),
                hops: open.path.hops.len(),
                translated: waiting.ends.filter(|_| fit == Fit::Translated),
            }));
        });
        true
    }

    /// The newest packet with that key that had begun by then and whose path has ended: equal ones
    /// may have come since.
    fn ended_like(&self, key: &PacketKey, by_ns: u64) -> Option<u64> {
        let mut begun = self.refusals.begun.find(key.tag());
        let found = begun.find(|begun| {
            let open = self.open.get(begun.slot);
            let is_open = open.is_some_and(|open| open.path.id == begun.id);
            !is_open && begun.is_by(by_ns) && begun.key.quoted() == key.quoted()
        });
        found.map(|begun| begun.id)
    }

    /// The path of a dropped packet: of those that fit best, the one seen last. Among packets
    /// that were translated to other ends, only one that no other is like.
    fn dropped(&self, drop: &KernelDrop, key: &PacketKey, world: &World) -> Option<(Slot, Fit)> {
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
            [.., (fit, _, slot)] => Some((slot, fit)),
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
    // What has come after an earlier drop shows that it was of a copy. So does that it has arrived
    // where many are to get it: a kernel does not say of a frame that it was for all.
    if last.ts_ns > drop.ts_ns
        || open.arrived && open.path.packet.is_for_many()
        || open.path.is_dropped()
        || open.arrived && !is_where_it_arrived(open, drop, world)
    {
        return None;
    }
    if open.key.quoted() == key.quoted() {
        return Some(Fit::Equal);
    }
    let is_here = drop.netns == point.netns_id;
    let is_like = open.key.quoted_content() == key.quoted_content();
    (is_here && is_like).then_some(Fit::Translated)
}

/// Whether a drop is in the namespace that the packet has arrived in: copies that a bridge has
/// flooded are dropped in others.
fn is_where_it_arrived(open: &Open, drop: &KernelDrop, world: &World) -> bool {
    let last = open.path.last_own_hop();
    let point = last.and_then(|last| world.tap_points.get(last.interface));
    drop.netns == 0 || point.is_none_or(|point| point.netns_id == drop.netns)
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
