//! How paths end.
use super::{
    Builder, complete,
    join::{LATE_EQUAL_MAX, index::Slot},
    open::{Members, Open},
    refused::unless_known,
};
use crate::path::Outcome;

impl Builder {
    /// Ends the paths whose packets were last seen too long before `now_ns`. All losses until
    /// then have to be recorded.
    pub fn expire(&mut self, now_ns: u64) {
        let over = self.open.over(now_ns, self.timeout_ns);
        self.expire_each(over, now_ns);
        let oldest = self.open.oldest().and_then(|slot| self.open.get(slot));
        let oldest = oldest.and_then(|open| open.path.hops.first());
        let oldest_ns = oldest.map_or(u64::MAX, |hop| hop.ts_ns);
        self.losses.forget(oldest_ns, now_ns);
        self.partial.forget(oldest_ns, now_ns);
        self.shares.forget(oldest_ns, now_ns);
        self.unordered.forget(oldest_ns, now_ns);
        self.blind.forget(oldest_ns, now_ns);
    }

    /// Ends these paths, whose packets were last seen too long before `now_ns`.
    pub(super) fn expire_each(&mut self, over: impl IntoIterator<Item = Slot>, now_ns: u64) {
        for slot in over {
            if self.open.get(slot).is_some_and(|open| open.late) {
                self.forget(slot);
                continue;
            }
            let Some(first_ns) = self.open.get(slot).map(|open| open.path.first_ns()) else {
                continue;
            };
            let may_pass_unseen = self.may_pass_unseen(first_ns, now_ns);
            let is_partial = self.is_partial || may_pass_unseen;
            let is_blind = self.blind.overlap(first_ns, now_ns);
            let lacks_others = self.lacks_others(slot);
            let wants_socket = self.wants_socket(slot);
            let Some(open) = self.open.get_mut(slot) else {
                continue;
            };
            open.path.incomplete = self.losses.may_concern(first_ns, now_ns);
            let outcome = match (open.arrived, open.path.incomplete) {
                _ if let Some(left) = open.left() => left,
                (true, is_lossy) if open.members != Members::NotAsked => {
                    among_members(open, || match (is_lossy, is_blind) {
                        (true, _) => Outcome::EventsLost,
                        (false, true) => Outcome::Unknown,
                        (false, false) => Outcome::NoReceiver,
                    })
                }
                (true, false) if wants_socket && is_blind => Outcome::Unknown,
                (true, false) if wants_socket => Outcome::NoSocket,
                (true, true) if wants_socket => Outcome::EventsLost,
                (true, false) if open.wants_answer && !is_partial && !self.is_sampled => {
                    Outcome::Unanswered
                }
                (true, _) => Outcome::Delivered,
                (false, true) => Outcome::EventsLost,
                (false, false) if open.inconclusive || is_partial => Outcome::Unknown,
                (false, false) => match open.optional {
                    Some(outcome) => outcome,
                    None => self.answers.outcome(&open.path),
                },
            };
            let outcome = match (lacks_others, outcome) {
                // Who puts it together waits for others of its fragments.
                (
                    Some(is_mixed),
                    Outcome::NotSeenFurther | Outcome::NoSocket | Outcome::Delivered,
                ) => {
                    open.path.lacks_fragments = true;
                    open.path.mixes_fragments = is_mixed;
                    open.path.ambiguous |= is_mixed;
                    Outcome::Unknown
                }
                _ => outcome,
            };
            let outcome = match unless_known(&open.path, outcome) {
                // It would not be known again if it came late.
                Outcome::NotSeenFurther
                    if open.is_cut() && self.joins.equal(open.hash) > LATE_EQUAL_MAX =>
                {
                    open.path.ambiguous = true;
                    Outcome::Unknown
                }
                Outcome::NotSeenFurther
                    if self.fragments.have(&open.path.packet, first_ns)
                        || self.datagrams.may_have(&open.path) =>
                {
                    open.path.is_reassembled = true;
                    Outcome::Unknown
                }
                outcome => outcome,
            };
            let is_undecided = outcome == Outcome::Unknown && !open.inconclusive;
            let may_go_on = is_undecided
                && !open.path.incomplete
                && !open.arrived
                && !open.path.is_reassembled
                && !open.path.lacks_fragments;
            // For no other reason than that interfaces were unwatched for some time.
            open.path.is_unwatched = may_go_on
                && may_pass_unseen
                && !self.is_partial
                && !self.shares.may_differ(first_ns, now_ns)
                && !self.unordered.overlap(first_ns, now_ns);
            let is_unrecorded = may_go_on && self.is_partial && self.is_selected;
            open.path.is_unrecorded = is_unrecorded && !may_pass_unseen;
            open.path.incomplete |= is_undecided && may_pass_unseen;
            open.path.lacks_fragments &= outcome == Outcome::Unknown;
            open.path.mixes_fragments &= open.path.lacks_fragments;
            let waits = open.path.lacks_fragments;
            if !open.path.is_reassembled && !waits {
                self.fragments.note_end(&mut open.path, outcome);
            }
            if (outcome == Outcome::NotSeenFurther || waits) && self.may_be_late(slot) {
                self.report(slot, outcome);
                continue;
            }
            let outcome = self.split(slot, outcome);
            self.close(slot, outcome);
        }
    }

    /// Ends all paths at the end of the trace.
    pub fn finish(&mut self) {
        while let Some(slot) = self.open.first_late().or_else(|| self.open.oldest()) {
            self.cut_short(slot, Outcome::InFlight);
        }
    }

    /// Gives a path up to make room.
    pub(super) fn give_up(&mut self, slot: Option<Slot>) {
        if let Some(slot) = slot {
            self.cut_short(slot, Outcome::GivenUp);
        }
    }

    /// Ends a path that may have more hops to come.
    pub(super) fn cut_short(&mut self, slot: Slot, otherwise: Outcome) {
        let wants_socket = self.wants_socket(slot);
        let Some(open) = self.open.get_mut(slot) else {
            return;
        };
        if open.late {
            return match otherwise {
                Outcome::GivenUp => self.give_up_late(slot),
                _ => self.forget(slot),
            };
        }
        let outcome = match (open.arrived, open.inconclusive) {
            (true, _) if open.members != Members::NotAsked => {
                among_members(open, || match otherwise {
                    Outcome::InFlight => Outcome::Unknown,
                    _ => otherwise,
                })
            }
            (true, _) if !wants_socket && !open.wants_answer && !open.lacks_others => {
                Outcome::Delivered
            }
            // It is under way no more, but no socket has taken or answered it yet.
            (true, _) if otherwise == Outcome::InFlight => Outcome::Unknown,
            (false, true) => Outcome::Unknown,
            _ => open.left().unwrap_or(otherwise),
        };
        let outcome = unless_known(&open.path, outcome);
        // The end of the trace takes no hop from a packet that has arrived, left or been
        // answered, nor from one of a capture that shows no end of any packet.
        let is_undecided = matches!(outcome, Outcome::InFlight | Outcome::Unknown)
            && open.members != Members::Unwatched;
        open.path.incomplete |= otherwise == Outcome::GivenUp || is_undecided && !open.inconclusive;
        self.close(slot, outcome);
    }

    /// Whether a socket is to take what has arrived, or the packet that it is a fragment of.
    fn wants_socket(&self, slot: Slot) -> bool {
        let open = self.open.get(slot);
        open.is_some_and(|open| {
            let path = &open.path;
            let is_part = open.arrived && path.packet.is_fragment() && !path.is_taken();
            open.wants_socket || is_part && self.is_of_untaken(path)
        })
    }

    pub(super) fn close(&mut self, slot: Slot, outcome: Outcome) {
        let Some(open) = self.open.remove(slot) else {
            return;
        };
        self.joins.end(slot, &open);
        if open.path.packet.is_fragment() {
            self.note_gone(&open);
        }
        self.note_left(&open, outcome);
        let mut path = open.path;
        if let Some(parts) = &open.parts {
            path.segments = parts.segments(path.hops.len());
        }
        if path.refusal.is_some() && (open.parts.is_some() || !path.is_refused()) {
            path.forget_refusal(outcome);
        }
        path.forget_drop(outcome);
        path.outcome = outcome;
        path.incomplete |= self.may_lack(&path);
        complete(&mut path, &self.requests);
        self.finished.push(path);
    }
}

/// How a packet for many ends that has arrived. `untaken`: the same if no watched socket took it.
/// Where none is watched, nothing shows whether one did.
#[inline(never)]
fn among_members(open: &mut Open, untaken: impl FnOnce() -> Outcome) -> Outcome {
    if open.path.is_taken() {
        return Outcome::Delivered;
    }
    open.path.is_untaken = true;
    match open.members {
        Members::Watched => untaken(),
        Members::NotAsked | Members::Unwatched => Outcome::Unknown,
    }
}
