//! Joins events into paths.
mod join;
mod late;
mod open;
mod parts;
mod pieces;
mod transition;

use std::{collections::BTreeMap, hash::BuildHasher as _, vec::Drain};

use foldhash::fast::RandomState;
use podtrace_ebpf::record::Direction;

use super::{Outcome, Path, Translation, losses::Losses, rtt::Requests};
use crate::{model::event::Event, packet::Packet, world::World};
use join::{Joined, Joins, Sighting, index::Slot};
use open::{Open, OpenPaths};
use parts::Bytes;
use transition::{Transition, transition};

/// How long hops may follow the arrival of a packet, in nanoseconds: a bridge sends the
/// copies of a broadcast, and the kernel looks for the receiving sockets, at once.
const SETTLE_NS: u64 = 20_000_000;
/// Upper bound of the bytes of open paths; beyond it the oldest is given up.
pub(crate) const OPEN_BYTES: usize = 14 << 20;
/// Upper bound of the hops of a path; beyond it the path is given up: copies of a broadcast
/// go to each interface of a node.
const HOPS_MAX: usize = 4096;
/// Initial room for hops in a path: from pod to socket on one node.
const HOPS: usize = 5;

/// Paths under way.
pub struct Builder {
    timeout_ns: u64,
    /// Whether only some of the usual interfaces are watched.
    is_partial: bool,
    /// Since when a session has had a partial view, in nanoseconds.
    partial_from: BTreeMap<usize, u64>,
    /// Earlier times with a partial view.
    partial_before: Losses,
    next_id: u64,
    open: OpenPaths,
    /// Hashes the packets' keys.
    hasher: RandomState,
    joins: Joins,
    requests: Requests,
    losses: Losses,
    #[expect(clippy::vec_box, reason = "a path is not moved while it waits")]
    finished: Vec<Box<Path>>,
}

impl Builder {
    /// `timeout_ns`: how long a packet may stay between two hops.
    #[must_use]
    pub fn new(timeout_ns: u64) -> Self {
        Self {
            timeout_ns,
            is_partial: false,
            partial_from: BTreeMap::new(),
            partial_before: Losses::default(),
            next_id: 1,
            open: OpenPaths::default(),
            hasher: RandomState::default(),
            joins: Joins::default(),
            requests: Requests::default(),
            losses: Losses::default(),
            finished: Vec::new(),
        }
    }

    /// Notes that only some of the usual interfaces are watched: a packet not seen again
    /// may have gone on.
    pub fn set_partial_view(&mut self) {
        self.is_partial = true;
    }

    /// Notes that a session watches only some of the interfaces from then on, in
    /// nanoseconds.
    pub fn begin_partial_view(&mut self, session: usize, from_ns: u64) {
        let known = self.partial_from.entry(session).or_insert(from_ns);
        *known = from_ns.min(*known);
    }

    /// Notes that a session watches all interfaces from then on, in nanoseconds.
    pub fn end_partial_view(&mut self, session: usize, from_ns: u64) {
        if let Some(begin_ns) = self.partial_from.remove(&session) {
            self.partial_before.note(begin_ns, from_ns);
        }
    }

    /// Notes an event that came too late to be put in order of time, for example because a
    /// hypervisor stopped a CPU in the middle of a program: nothing shows for sure which
    /// packet it belongs to. Both times in nanoseconds, on the clock of the events.
    pub fn note_late(&mut self, from_ns: u64, to_ns: u64) {
        self.partial_before.note(from_ns, to_ns);
    }

    /// Whether a packet under way at that time may have passed unwatched interfaces.
    fn may_pass_unseen(&self, first_ns: u64, last_ns: u64) -> bool {
        let mut begins = self.partial_from.values();
        let is_now = begins.any(|begin_ns| *begin_ns <= last_ns);
        is_now || self.partial_before.overlap(first_ns, last_ns)
    }

    /// Notes that some or all events of that time were lost. Both in nanoseconds, on the
    /// clock of the events.
    pub fn note_loss(&mut self, from_ns: u64, to_ns: u64) {
        self.losses.note(from_ns, to_ns);
    }

    /// Whether hops of a finished path may be missing, as far as losses and unwatched
    /// interfaces are known by now.
    #[must_use]
    pub fn may_lack(&self, path: &Path) -> bool {
        let (first, last) = (path.hops.first(), path.hops.last());
        first.zip(last).is_some_and(|(first, last)| {
            self.losses.may_concern(first.ts_ns, last.ts_ns)
                || self.may_pass_unseen(first.ts_ns, last.ts_ns)
        })
    }

    /// Adds an event (in order of time) and returns the number of its packet.
    pub fn push(&mut self, event: &Event, world: &World) -> u64 {
        // Computed here, not stored in the event: moving the event would move the key as
        // well.
        let key = event.packet.key();
        let seen = Sighting {
            event,
            hash: self.hasher.hash_one(key),
            key,
            timeout_ns: self.timeout_ns,
        };
        let slot = match self.joins.find(&seen, &mut self.open, world) {
            Some(Joined::One(slot)) => slot,
            Some(Joined::Translated(slot)) => {
                self.translate(slot, &seen, world);
                slot
            }
            Some(Joined::Undecided) => {
                let slot = self.begin(&seen, event.packet.clone());
                if let Some(open) = self.open.get_mut(slot) {
                    open.path.ambiguous = true;
                }
                slot
            }
            Some(Joined::Each(slots)) => return self.add_to_each(&slots, event, world),
            Some(Joined::Pieces { pieces, left }) => {
                return self.add_pieces(&seen, pieces, left, world);
            }
            None => self.begin(&seen, event.packet.clone()),
        };
        self.take_up(slot);
        self.requests.note(event);
        let id = self.id(slot);
        self.add_hop(slot, event, None, world);
        self.make_room();
        id
    }

    /// Keeps the bytes of open paths within bounds.
    fn make_room(&mut self) {
        while self.open.bytes() > OPEN_BYTES {
            self.give_up(self.open.first_late().or_else(|| self.open.oldest()));
        }
    }

    fn id(&self, slot: Slot) -> u64 {
        self.open.get(slot).map_or(0, |open| open.path.id)
    }

    /// Adds an event to several paths; returns the number of the first.
    fn add_to_each(&mut self, slots: &[Slot], event: &Event, world: &World) -> u64 {
        for slot in slots {
            self.take_up(*slot);
        }
        let first = slots.first().map_or(0, |slot| self.id(*slot));
        for slot in slots {
            self.add_hop(*slot, event, None, world);
        }
        first
    }

    /// Adds a hop to a path, or what a hop has seen. `bytes`: which of the packet's payload
    /// the event has, if not all.
    fn add_hop(&mut self, slot: Slot, event: &Event, bytes: Option<Bytes>, world: &World) {
        let point = world.tap_points.get(event.interface);
        let joins = &self.joins;
        let transition = self.open.change(slot, event.ts_ns, |open| {
            let at = open.add(event, bytes);
            let meaning = point.map(|point| transition(event, point, &open.path.packet, world));
            let transition = match meaning {
                // Whoever has the destination's address, it is not for them.
                Some(arrived) if arrived.is_arrival() && joins.goes_on(event, world) => {
                    Transition::Onward
                }
                Some(transition) => open.unless_in_pieces(at, transition),
                None => Transition::Onward,
            };
            open.arrived |= matches!(transition, Transition::Arrived | Transition::AwaitsSocket);
            open.wants_socket |= transition == Transition::AwaitsSocket;
            open.wants_socket &= event.direction != Direction::Socket;
            open.inconclusive = transition == Transition::Inconclusive;
            open.optional = transition == Transition::Optional;
            (transition, open.path.hops.len())
        });
        if let Some((Transition::Arrived | Transition::AwaitsSocket, _)) = transition
            && let Some(open) = self.open.get_mut(slot)
        {
            complete(&mut open.path, &self.requests);
        }
        match transition {
            Some((Transition::End(outcome), _)) => self.close(slot, outcome),
            Some((_, hops)) if hops > HOPS_MAX => self.give_up(Some(slot)),
            _ => {}
        }
    }

    /// Gives a path up to make room.
    fn give_up(&mut self, slot: Option<Slot>) {
        if let Some(slot) = slot {
            self.cut_short(slot, Outcome::GivenUp);
        }
    }

    /// Ends a path that may have more hops to come.
    fn cut_short(&mut self, slot: Slot, otherwise: Outcome) {
        let Some(open) = self.open.get_mut(slot) else {
            return;
        };
        if open.late {
            return self.forget(slot);
        }
        open.path.incomplete = true;
        let outcome = match (open.arrived, open.inconclusive) {
            (true, _) => Outcome::Delivered,
            (false, true) => Outcome::Unknown,
            (false, false) => otherwise,
        };
        self.close(slot, outcome);
    }

    /// Begins a path with the event's packet, or with what is left of it.
    fn begin(&mut self, seen: &Sighting<'_>, packet: Packet) -> Slot {
        let path = Path {
            id: self.next_id,
            packet,
            hops: Vec::with_capacity(HOPS),
            outcome: Outcome::InFlight,
            ambiguous: false,
            incomplete: false,
            gso_segments: seen.event.gso_segments,
            segments: Vec::new(),
            part_of: None,
            copy_of: None,
            late_of: None,
            translations: Vec::new(),
            round_trip: None,
            asker: None,
        };
        self.next_id += 1;
        let open = Open::new(Box::new(path), seen.key, seen.hash);
        let slot = self.open.add(open);
        self.index(slot);
        slot
    }

    /// Adds an open path to the indices.
    fn index(&mut self, slot: Slot) {
        for number in 0..Joins::COUNT {
            let oldest = self.joins.begun(number, slot, &mut self.open);
            self.give_up(oldest);
        }
    }

    /// Gives a path the ends of the event: those before were translated.
    fn translate(&mut self, slot: Slot, seen: &Sighting<'_>, world: &World) {
        let point = world.tap_points.get(seen.event.interface);
        let (Some(open), Some(point)) = (self.open.get(slot), point) else {
            return;
        };
        let (Some(before), Some(after)) = (open.path.ends(), seen.event.packet.ends()) else {
            return;
        };
        self.joins.ended(slot, open);
        self.joins.learn(point, before, after);
        self.open.change(slot, seen.event.ts_ns, |open| {
            let hop = open.path.hops.len();
            open.path
                .translations
                .push(Translation { hop, before, after });
            open.rekey(seen.key, seen.hash);
        });
        if let Some(open) = self.open.get(slot) {
            self.requests.alias(&open.path.packet, &seen.event.packet);
        }
        self.index(slot);
    }

    fn close(&mut self, slot: Slot, outcome: Outcome) {
        let Some(open) = self.open.remove(slot) else {
            return;
        };
        self.joins.ended(slot, &open);
        let mut path = open.path;
        if let Some(parts) = &open.parts {
            path.segments = parts.segments(path.hops.len());
        }
        path.outcome = outcome;
        path.incomplete |= self.may_lack(&path);
        complete(&mut path, &self.requests);
        self.finished.push(path);
    }

    /// The id of the oldest path that has not ended.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        let oldest = self.open.get(self.open.oldest()?)?;
        Some(oldest.path.id)
    }

    /// Bytes of the open paths.
    #[cfg(test)]
    pub(crate) fn open_bytes(&self) -> usize {
        self.open.bytes()
    }

    /// Whether some path waits for a timeout.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    /// Ends the paths whose packets were last seen too long before `now_ns`. All losses
    /// until then have been noted.
    pub fn expire(&mut self, now_ns: u64) {
        for slot in self.open.over(now_ns, self.timeout_ns) {
            if self.open.get(slot).is_some_and(|open| open.late) {
                self.forget(slot);
                continue;
            }
            let is_partial = self.is_partial
                || self
                    .open
                    .get(slot)
                    .is_some_and(|open| self.may_pass_unseen(first_ns(&open.path), now_ns));
            let Some(open) = self.open.get_mut(slot) else {
                continue;
            };
            let first_ns = first_ns(&open.path);
            open.path.incomplete = self.losses.may_concern(first_ns, now_ns);
            let outcome = match (open.arrived, open.path.incomplete) {
                (true, false) if open.wants_socket => Outcome::NoSocket,
                (true, _) => Outcome::Delivered,
                (false, true) => Outcome::EventsLost,
                (false, false) if open.inconclusive || is_partial => Outcome::Unknown,
                (false, false) if open.optional => Outcome::NoReceiver,
                (false, false) => Outcome::NotSeenFurther,
            };
            if outcome == Outcome::NotSeenFurther && self.may_be_late(slot) {
                self.report(slot);
                continue;
            }
            let outcome = self.split(slot, outcome);
            self.close(slot, outcome);
        }
        let oldest = self.open.oldest().and_then(|slot| self.open.get(slot));
        let oldest = oldest.and_then(|open| open.path.hops.first());
        let oldest_ns = oldest.map_or(u64::MAX, |hop| hop.ts_ns);
        self.losses.forget(oldest_ns, now_ns);
        self.partial_before.forget(oldest_ns, now_ns);
    }

    /// Ends everything: the trace is over.
    pub fn finish(&mut self) {
        while let Some(slot) = self.open.first_late().or_else(|| self.open.oldest()) {
            self.cut_short(slot, Outcome::InFlight);
        }
    }

    /// Whether finished paths are ready to be taken.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Takes the paths that have ended since the last call.
    pub fn take_finished(&mut self) -> Drain<'_, Box<Path>> {
        self.finished.drain(..)
    }

    /// Takes the finished path if it is the only one.
    pub fn take_only_finished(&mut self) -> Option<Box<Path>> {
        match self.finished[..] {
            [_] => self.finished.pop(),
            _ => None,
        }
    }
}

/// Adds to an echo reply what is known of the request, when it arrives: another request may
/// have the same numbers.
fn complete(path: &mut Path, requests: &Requests) {
    if path.round_trip.is_none()
        && let Some((flow, true)) = path.packet.echo_pair()
    {
        path.round_trip = requests.round_trip(&flow, &path.hops);
        path.asker = requests.asker(&flow);
    }
}

fn first_ns(path: &Path) -> u64 {
    path.hops.first().map_or(0, |first| first.ts_ns)
}

#[cfg(test)]
pub(crate) mod tests;
