//! Packets that left their node, and that a router sends back to it: their paths go on.
use podtrace_ebpf::record::Direction;

use super::{
    Builder,
    join::{Observation, index::Slot},
    open::Open,
};
use crate::{
    model::tap_point::Role,
    packet::PacketKey,
    path::{Hop, LateOf, Outcome, Path},
    world::World,
};

/// Upper bound of the packets that are known to have left; of two with the same place, the
/// newer is known.
const LEFT_MAX: usize = 512;
/// Upper bound of the bytes of all that is known.
#[cfg(test)]
pub(super) const BYTES: usize = LEFT_MAX * size_of::<Option<Left>>();

/// The packets that left lately, each at a place that its hash gives.
#[derive(Default)]
pub(super) struct Returns(Vec<Option<Left>>);

#[derive(Clone)]
struct Left {
    key: PacketKey,
    id: u64,
    /// Where and when that was, and its TTL.
    interface: u32,
    ts_ns: u64,
    ttl: Option<u8>,
    /// Whether an equal one left shortly before.
    has_equal: bool,
}

impl Left {
    fn is_recent(&self, now_ns: u64, timeout_ns: u64) -> bool {
        now_ns.saturating_sub(self.ts_ns) <= timeout_ns
    }
}

impl Returns {
    fn place(&mut self, hash: u64) -> Option<&mut Option<Left>> {
        self.0.get_mut(hash as usize % LEFT_MAX)
    }
}

impl Builder {
    /// Notes a path that ends, if its packet has left the node. Of one in segments, it would not
    /// be known which of them a hop has seen.
    #[inline]
    pub(super) fn note_left(&mut self, open: &Open, outcome: Outcome) {
        if outcome.has_left() && open.parts.is_none() {
            self.add_left(open);
        }
    }

    fn add_left(&mut self, open: &Open) {
        let Some(last) = open.path.hops.last() else {
            return;
        };
        if self.returns.0.is_empty() {
            self.returns.0.resize(LEFT_MAX, None);
        }
        let timeout_ns = self.timeout_ns;
        if let Some(place) = self.returns.place(open.hash) {
            let is_equal =
                |left: &Left| left.key == open.key && left.is_recent(last.ts_ns, timeout_ns);
            let has_equal = place.as_ref().is_some_and(is_equal);
            *place = Some(Left {
                key: open.key,
                id: open.path.id,
                interface: last.interface,
                ts_ns: last.ts_ns,
                ttl: last.ttl,
                has_equal,
            });
        }
    }

    /// Begins a path with an event that continues none; or resumes that of a packet which has
    /// left the node, if a router has sent it back. `recall`: gives back a path that has ended
    /// and was not shown yet.
    #[inline]
    pub(super) fn begin_or_resume(
        &mut self,
        seen: &Observation<'_>,
        world: &World,
        recall: impl FnOnce(u64) -> Option<Box<Path>>,
    ) -> Slot {
        let point = world.tap_points.get(seen.event.interface);
        let comes_in = seen.event.direction == Direction::Ingress
            && point.is_some_and(|point| point.role == Role::Uplink);
        match point.filter(|_| comes_in && !self.returns.0.is_empty()) {
            Some(point) => self.resume(seen, point.node, world, recall),
            None => self.begin(seen, seen.event.packet.clone(), world),
        }
    }

    /// A path that was shown as one that has left, to be corrected.
    fn correct_left(&mut self, id: u64) -> Option<Box<Path>> {
        let mut path = self.refusals.ended.take_left(id)?;
        path.late_of = Some(LateOf::of(&path));
        path.id = self.next_id;
        self.next_id += 1;
        Some(path)
    }

    fn resume(
        &mut self,
        seen: &Observation<'_>,
        node: usize,
        world: &World,
        recall: impl FnOnce(u64) -> Option<Box<Path>>,
    ) -> Slot {
        let (event, timeout_ns) = (seen.event, self.timeout_ns);
        let ttl = Hop::ttl_of(&event.packet);
        let is_of_node = |interface| {
            let point = world.tap_points.get(interface);
            point.is_some_and(|point| point.node == node)
        };
        let is_it = |left: &mut Left| {
            left.key == seen.key
                && is_of_node(left.interface)
                && ttl < left.ttl
                && !left.has_equal
                && left.is_recent(event.ts_ns, timeout_ns)
        };
        let place = self.returns.place(seen.hash);
        let Some(left) = place.and_then(|place| place.take_if(is_it)) else {
            return self.begin(seen, event.packet.clone(), world);
        };
        let path = recall(left.id).or_else(|| self.correct_left(left.id));
        let slot = match path {
            Some(mut path) => {
                path.outcome = Outcome::InFlight;
                let id = path.id;
                let slot = self.open.add(Open::resumed(path, seen.key, seen.hash));
                self.index(slot);
                self.note_begun(seen.key, slot, id, seen.event.ts_ns);
                slot
            }
            None => self.begin(seen, event.packet.clone(), world),
        };
        if let Some(open) = self.open.get_mut(slot) {
            open.has_returned = true;
        }
        slot
    }
}
