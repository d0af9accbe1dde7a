//! Packets that were said not to be seen further, and are: slow is not lost.
use super::{Builder, complete, join::index::Slot};
use crate::path::{LateOf, Outcome};

impl Builder {
    /// Whether a packet could be recognised if it went on: it is whole, and no equal one is
    /// known.
    pub(super) fn may_be_late(&self, slot: Slot) -> bool {
        let open = self.open.get(slot);
        open.is_some_and(|open| open.parts.is_none() && self.joins.equal(open.hash) == 1)
    }

    /// Says that a packet was not seen further, and keeps its path in case that it is.
    pub(super) fn report(&mut self, slot: Slot) {
        let Some(open) = self.open.get(slot) else {
            return;
        };
        let mut path = open.path.clone();
        path.outcome = Outcome::NotSeenFurther;
        path.incomplete |= self.may_lack(&path);
        complete(&mut path, &self.requests);
        self.finished.push(path);
        self.open.keep_late(slot);
    }

    /// Takes a late path up again, as a path of its own that corrects the one before.
    pub(super) fn take_up(&mut self, slot: Slot) {
        let Some(open) = self.open.get_mut(slot).filter(|open| open.late) else {
            return;
        };
        open.path.late_of = Some(LateOf {
            id: open.path.id,
            hops: open.path.hops.len(),
        });
        open.path.id = self.next_id;
        self.next_id += 1;
        self.open.take_up(slot);
    }

    /// Ends a late path: all was said.
    pub(super) fn forget(&mut self, slot: Slot) {
        if let Some(open) = self.open.remove(slot) {
            self.joins.ended(slot, &open);
        }
    }
}
