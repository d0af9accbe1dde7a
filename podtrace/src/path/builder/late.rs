//! Packets that were reported as not seen further, but were only slow.
use super::{
    Builder, complete,
    join::{
        Joined, LATE_EQUAL_MAX, Observation,
        index::{List, Slot},
    },
    open::Open,
    recent::Begun,
};
use crate::{
    path::{LateOf, Outcome},
    world::World,
};

impl Builder {
    /// The paths that an event continues which continues none that is in time. Those whose time
    /// was over before the event end first, as they would have at a tick before it. `equal`: the
    /// paths with the key's hash.
    pub(super) fn find(
        &mut self,
        seen: &Observation<'_>,
        equal: Option<List>,
        world: &World,
    ) -> Option<Joined> {
        let joined = self.joins.find(seen, equal, &mut self.open, world);
        let joined = self.or_merged(joined, seen, world);
        let joined = self.or_together(joined, seen, world)?;
        match self.first_overdue(&joined, seen.event.ts_ns) {
            Some(overdue) => self.find_after(overdue, seen, world),
            None => Some(joined),
        }
    }

    /// What was found, or the packets that the event's packet was merged from.
    fn or_merged(
        &mut self,
        joined: Option<Joined>,
        seen: &Observation<'_>,
        world: &World,
    ) -> Option<Joined> {
        let may_be_merged = joined.is_none() && seen.event.gso_segments > 1;
        match may_be_merged {
            true => self.find_merged(seen, world),
            false => joined,
        }
    }

    /// The same once an overdue path has ended.
    #[cold]
    fn find_after(
        &mut self,
        mut overdue: Slot,
        seen: &Observation<'_>,
        world: &World,
    ) -> Option<Joined> {
        loop {
            self.expire_each([overdue], seen.event.ts_ns);
            let joined = self.joins.find_anew(seen, &mut self.open, world);
            let joined = self.or_merged(joined, seen, world);
            let joined = self.or_together(joined, seen, world)?;
            match self.first_overdue(&joined, seen.event.ts_ns) {
                Some(next) => overdue = next,
                None => return Some(joined),
            }
        }
    }

    /// The first of these paths whose time is over, but which has not ended.
    fn first_overdue(&self, joined: &Joined, now_ns: u64) -> Option<Slot> {
        let is_overdue = |slot: &Slot| self.is_overdue(*slot, now_ns);
        match joined {
            Joined::One(slot) | Joined::Translated(slot) => Some(*slot).filter(is_overdue),
            Joined::Piece(piece) => Some(piece.slot).filter(is_overdue),
            Joined::Pieces { pieces, .. } => pieces.iter().map(|piece| piece.slot).find(is_overdue),
            Joined::Each(slots) | Joined::EachTranslated(slots) => {
                slots.iter().copied().find(is_overdue)
            }
            Joined::Again(_) | Joined::Undecided => None,
        }
    }

    fn is_overdue(&self, slot: Slot, now_ns: u64) -> bool {
        let open = self.open.get(slot);
        open.is_some_and(|open| open.is_overdue(now_ns, self.timeout_ns))
    }

    /// Whether a packet could be recognised if it went on: it is whole or in fragments, and one of
    /// few that are equal.
    pub(super) fn may_be_late(&self, slot: Slot) -> bool {
        let open = self.open.get(slot);
        open.is_some_and(|open| {
            (open.parts.is_none() || open.path.in_fragments)
                && self.joins.equal(open.hash) <= LATE_EQUAL_MAX
        })
    }

    /// Reports how a packet ended, and keeps its path in case the packet is seen again.
    pub(super) fn report(&mut self, slot: Slot, outcome: Outcome) {
        let hash = self.open.get(slot).map(|open| open.hash);
        if hash.is_some_and(|hash| self.joins.equal(hash) > 1) {
            self.joins.mark_indistinguishable(slot, &mut self.open);
        }
        let Some(open) = self.open.get(slot) else {
            return;
        };
        let mut path = open.path.clone();
        if let Some(parts) = &open.parts {
            path.segments = parts.segments(path.hops.len());
        }
        path.outcome = outcome;
        path.incomplete |= self.may_lack(&path);
        complete(&mut path, &self.requests);
        let (key, id, ts_ns) = (open.key, path.id, path.first_ns());
        if let Some(open) = self.open.get_mut(slot) {
            open.path.late_of = Some(LateOf::of(&path));
        }
        self.finished.push(path);
        self.refusals
            .late
            .push(key.tag(), Begun::new(key, id, slot, ts_ns));
        self.open.keep_late(slot);
    }

    /// Resumes a path if it is late.
    #[inline]
    pub(super) fn take_up(&mut self, slot: Slot) {
        if self.open.get(slot).is_some_and(|open| open.late) {
            self.take_up_late(slot);
        }
    }

    /// Resumes a late path, as a path of its own that corrects the earlier one.
    #[cold]
    fn take_up_late(&mut self, slot: Slot) {
        let Some(open) = self.open.get_mut(slot) else {
            return;
        };
        let (key, id, ts_ns) = (open.key, self.next_id, open.path.first_ns());
        open.path.id = id;
        open.path.lacks_fragments = false;
        open.path.mixes_fragments = false;
        self.next_id += 1;
        self.note_begun(key, slot, id, ts_ns);
        self.open.take_up(slot);
    }

    /// Ends a late path to make room. What was reported as lost may still go on if its receiver, or
    /// who puts it together, would wait for longer.
    pub(super) fn give_up_late(&mut self, slot: Slot) {
        let is_lost = |open: &Open| {
            open.waits_as_fragment
                && open
                    .path
                    .late_of
                    .is_some_and(|before| before.outcome == Outcome::NotSeenFurther)
        };
        if !self.open.get(slot).is_some_and(is_lost) {
            return self.forget(slot);
        }
        self.take_up_late(slot);
        if let Some(open) = self.open.get_mut(slot) {
            open.path.incomplete = true;
        }
        self.close(slot, Outcome::GivenUp);
    }

    /// Ends a late path, which was reported already.
    pub(super) fn forget(&mut self, slot: Slot) {
        if let Some(open) = self.open.remove(slot) {
            self.joins.end(slot, &open);
        }
    }
}
