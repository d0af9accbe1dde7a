//! Joins events into paths.
mod answerer;
mod begin;
mod carried;
mod circle;
mod dropped;
mod ended;
mod ending;
mod fragments;
mod gathered;
mod join;
mod late;
mod merged;
mod missing;
mod open;
mod parts;
mod pieces;
mod questions;
mod reassembled;
mod recent;
mod refused;
mod returned;
mod spare;
mod together;
mod transition;
mod untold;

use std::{hash::BuildHasher as _, vec::Drain};

use foldhash::fast::RandomState;
use podtrace_ebpf::record::Direction;

#[cfg(test)]
pub(crate) use join::{ENDED_BYTES, ENDED_FLOW, ENDED_MAX, TRANSLATION_BYTES, TRANSLATIONS_MAX};
#[cfg(test)]
pub(crate) use refused::KNOWN_BYTES;
#[cfg(test)]
pub(crate) use spare::BYTES as SPARE_BYTES;

use super::{Outcome, Path, losses::Losses, rtt::Requests, shares::Shares, views::Views};
use crate::{
    model::{event::Event, tap_point::Role, translation::FlowChanges},
    world::World,
};
use dropped::Drops;
use fragments::Fragments;
use join::{
    Joined, Joins, Observation,
    index::{List, Slot},
};
use open::OpenPaths;
use parts::Bytes;
use questions::Answers;
use reassembled::Datagrams;
use refused::Refusals;
use returned::Returns;
use spare::Spare;
use transition::{Transition, transition};
use untold::Floods;

/// How long hops may follow the arrival of a packet, in nanoseconds: a bridge sends the
/// copies of a broadcast, and the kernel looks for the receiving sockets, at once.
const SETTLE_NS: u64 = 20_000_000;
/// Upper bound of the bytes of open paths; beyond it the oldest path is given up.
pub(crate) const OPEN_BYTES: usize = 25 << 19;
/// Upper bound of the hops of a path; beyond it the path is given up: copies of a broadcast
/// go to each interface of a node.
const HOPS_MAX: usize = 4096;

/// Joins events into paths.
pub struct Builder {
    timeout_ns: u64,
    /// Whether paths keep the bytes of their first hop.
    pub(crate) keeps_frames: bool,
    /// Whether only some of the usual interfaces are watched.
    is_partial: bool,
    /// Whether only some of the packets are traced.
    is_sampled: bool,
    /// Whether only some packets were recorded.
    is_selected: bool,
    /// When interfaces were unwatched.
    partial: Views,
    /// Which share of the packets sessions trace.
    shares: Shares,
    /// Events that came too late to be put in order.
    unordered: Losses,
    /// When sockets may have been unwatched too.
    blind: Views,
    next_id: u64,
    /// The numbers of further packets that the event pushed last belongs to.
    further: Vec<u64>,
    open: OpenPaths,
    /// Hashes the packets' keys.
    hasher: RandomState,
    joins: Joins,
    requests: Requests,
    losses: Losses,
    refusals: Refusals,
    returns: Returns,
    answers: Answers,
    fragments: Fragments,
    gone: gathered::Ended,
    datagrams: Datagrams,
    drops: Drops,
    spare: Spare,
    floods: Floods,
    #[expect(clippy::vec_box, reason = "a path is not moved while it waits")]
    finished: Vec<Box<Path>>,
}

impl Builder {
    /// `timeout_ns`: how long a packet may stay between two hops.
    #[must_use]
    pub fn new(timeout_ns: u64) -> Self {
        Self {
            timeout_ns,
            keeps_frames: false,
            is_partial: false,
            is_sampled: false,
            is_selected: false,
            partial: Views::default(),
            shares: Shares::default(),
            unordered: Losses::default(),
            blind: Views::default(),
            next_id: 1,
            further: Vec::new(),
            open: OpenPaths::default(),
            hasher: RandomState::default(),
            joins: Joins::default(),
            requests: Requests::default(),
            losses: Losses::default(),
            refusals: Refusals::default(),
            returns: Returns::default(),
            answers: Answers::default(),
            fragments: Fragments::default(),
            gone: gathered::Ended::default(),
            datagrams: Datagrams::default(),
            drops: Drops::default(),
            spare: Spare::default(),
            floods: Floods::default(),
            finished: Vec::new(),
        }
    }

    /// Gives the next packet this number, before the first.
    pub(crate) fn number_from(&mut self, id: u64) {
        self.next_id = id;
    }

    /// Takes over what the connection tracking of a node's namespace knows of translations.
    pub fn track(&mut self, netns: (usize, u64), changes: &FlowChanges, ts_ns: u64) {
        self.joins.track(netns, changes, ts_ns);
    }

    /// Adds an event (in order of time) and returns the number of its packet; of several, the
    /// first, and [`Self::further`] has the others.
    pub fn push(&mut self, event: &Event, world: &World) -> u64 {
        self.push_or_recall(event, world, |_| None)
    }

    /// The same. `recall`: gives back the path of this number if it was taken, but not shown yet.
    pub fn push_or_recall(
        &mut self,
        event: &Event,
        world: &World,
        recall: impl FnOnce(u64) -> Option<Box<Path>>,
    ) -> u64 {
        self.further.clear();
        // Computed here, not stored in the event: moving the event would move the key as
        // well.
        let key = event.packet.key();
        let seen = Observation {
            event,
            hash: self.hasher.hash_one(key),
            key,
            timeout_ns: self.timeout_ns,
            may_skip_taps: !world.clocks.is_empty() && self.may_skip_taps(event.ts_ns),
        };
        let slot = match self.joins.find_in_time(&seen, &mut self.open, world) {
            Ok(slot) => slot,
            Err(equal) => match self.find_or_begin(&seen, equal, world, recall) {
                Ok(slot) => slot,
                Err(id) => return id,
            },
        };
        self.requests.record(event);
        let id = self.id(slot);
        self.add_hop(slot, event, None, world);
        self.make_room();
        id
    }

    /// The path that an event goes on with which continues none that is in time, or which begins
    /// with it; or the number of its packet if it was added to its paths already. `equal`: the
    /// paths with the key's hash.
    #[inline(never)]
    fn find_or_begin(
        &mut self,
        seen: &Observation<'_>,
        equal: Option<List>,
        world: &World,
        recall: impl FnOnce(u64) -> Option<Box<Path>>,
    ) -> Result<Slot, u64> {
        let event = seen.event;
        let slot = match self.find(seen, equal, world) {
            Some(Joined::One(slot)) => slot,
            Some(Joined::Again(slot)) if !self.may_be_equal(slot, event) => {
                return Err(self.come_again(slot, event, world));
            }
            Some(Joined::Translated(slot)) => {
                self.translate(slot, seen, seen.key, world);
                slot
            }
            Some(Joined::Undecided) => {
                let slot = self.begin(seen, event.packet.clone(), world);
                if let Some(open) = self.open.get_mut(slot) {
                    open.path.ambiguous = true;
                }
                slot
            }
            Some(Joined::EachTranslated(slots)) => {
                self.translate_each(&slots, seen, world);
                return Err(self.add_to_each(&slots, event, world));
            }
            Some(Joined::Each(slots)) => return Err(self.add_to_each(&slots, event, world)),
            Some(Joined::Piece(piece)) => return Err(self.add_piece(seen, piece, world)),
            Some(Joined::Pieces { pieces, left }) => {
                return Err(self.add_pieces(seen, pieces, left, world));
            }
            Some(Joined::Again(_)) | None => self.begin_or_resume(seen, world, recall),
        };
        self.take_up(slot);
        Ok(slot)
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
            self.let_go(*slot, event.ts_ns);
        }
        let first = slots.first().map_or(0, |slot| self.id(*slot));
        for slot in slots.iter().skip(1) {
            self.further.push(self.id(*slot));
        }
        for slot in slots {
            self.add_hop(*slot, event, None, world);
        }
        first
    }

    /// The numbers of further packets that the event pushed last belongs to: of fragments that a
    /// socket receives as one, of segments that were merged.
    #[must_use]
    pub fn further(&self) -> &[u64] {
        &self.further
    }

    /// Adds a hop to a path, or bytes to a hop. `bytes`: the part of the packet's payload that
    /// the event has, if not all.
    fn add_hop(&mut self, slot: Slot, event: &Event, bytes: Option<Bytes>, world: &World) {
        let point = world.tap_points.get(event.interface);
        self.joins.taken(event, world);
        let joins = &self.joins;
        let is_doubtful = point.is_some_and(|point| point.role == Role::Uplink)
            && world.doubts.contains(|| event.packet.key());
        let turn = self.open.change(slot, event.ts_ns, |open| {
            let at = open.add(event, bytes);
            let meaning = point.map(|point| transition(event, point, &open.path.packet, world));
            let transition = match meaning {
                // The packet is not for the holder of its destination address.
                Some(arrived) if arrived.is_arrival() && joins.goes_on(event, world) => {
                    Transition::Onward
                }
                Some(Transition::End(Outcome::Delivered)) if open.is_flooded => Transition::Arrived,
                Some(Transition::End(left)) if open.has_returned && left.has_left() => {
                    Transition::Optional(left)
                }
                Some(transition) => open.unless_in_pieces(at, transition),
                None => Transition::Onward,
            };
            open.wants_socket &= event.direction != Direction::Socket;
            // Equal packets that the clocks do not tell apart: it may be any of them.
            open.inconclusive = is_doubtful;
            open.optional = None;
            let goes_on = matches!(transition, Transition::Onward) && !is_doubtful;
            if !goes_on {
                open.path.ambiguous |= is_doubtful;
                open.take(transition, at);
            }
            let is_usual = goes_on && open.path.hops.len() <= HOPS_MAX;
            (!is_usual).then_some(transition)
        });
        if event.packet.tunnel.is_some() {
            self.note_tunnel(slot, event);
        }
        if let Some(Some(transition)) = turn {
            self.turn(slot, transition, event);
        }
    }

    /// Does what follows from a hop by which a path does not simply go on.
    #[inline(never)]
    fn turn(&mut self, slot: Slot, transition: Transition, event: &Event) {
        if transition.is_arrival() && self.waits_for_others(slot, event) {
            return;
        }
        let Some(open) = self.open.get_mut(slot) else {
            return;
        };
        if let Transition::Arrived | Transition::AwaitsSocket = transition {
            complete(&mut open.path, &self.requests);
        }
        match transition {
            Transition::End(outcome) => self.close(slot, outcome),
            _ if open.path.hops.len() > HOPS_MAX => self.give_up(Some(slot)),
            _ => {}
        }
    }

    /// Notes a packet in a tunnel.
    #[inline(never)]
    fn note_tunnel(&mut self, slot: Slot, event: &Event) {
        self.note_outer_fragment(slot, event);
        self.note_carried(slot, event);
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

    /// Whether finished paths are ready to be taken.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Takes the paths that have ended since the last call.
    #[inline]
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
        path.requester = requests.requester(&flow);
    }
}

#[cfg(test)]
pub(crate) mod tests;
