//! Finds the open path that an event continues.
//!
//! Each [`Join`] finds it by an index of its own. A new join is a file here, a line of
//! `joins!`, and a place in [`Joins::find`].
mod content;
mod crossing;
mod datagrams;
pub(super) mod flow;
pub(super) mod fragments;
pub(super) mod index;
mod key;
mod known;
mod passed;
pub(super) mod sequence;

use std::ops::Range;

use podtrace_ebpf::record::Direction;

use super::open::{Open, OpenPaths};
use crate::{
    model::{event::Event, tap_point::TapPoint, translation::FlowChanges},
    packet::{Ends, PacketKey},
    world::World,
};
use content::ByContent;
use datagrams::ByDatagrams;
use fragments::{ByFragment, Datagram};
use index::{List, Slot};
use key::ByKey;
pub(super) use key::{can_come_from, is_in};
#[cfg(test)]
pub(crate) use known::{BYTES as TRANSLATION_BYTES, KNOWN_MAX as TRANSLATIONS_MAX};
use known::{Known, Scope};
use sequence::BySequence;
#[cfg(test)]
pub(crate) use sequence::{ENDED_BYTES, ENDED_FLOW, ENDED_MAX};

/// Upper bound of the equal packets, or fragments of one datagram, that are followed at the
/// same time; beyond it the oldest is given up, which keeps every search short.
pub(super) const EQUAL_MAX: usize = 64;
/// Upper bound of the equal packets among which a slow one is looked for: each event of a
/// flood would be compared with all that were lost in 10 s. As new ones follow the others, a
/// late one stands among so many oldest.
pub(super) const LATE_EQUAL_MAX: usize = 16;

/// An event, with what the joins need to find its path.
pub(super) struct Observation<'a> {
    pub(super) event: &'a Event,
    /// The key of its packet.
    pub(super) key: PacketKey,
    /// The key's hash.
    pub(super) hash: u64,
    /// How long a packet may stay between two hops, in nanoseconds.
    pub(super) timeout_ns: u64,
    /// Whether its packet may have passed taps unseen.
    pub(super) may_skip_taps: bool,
}

/// The bytes of an event that belong to a path.
pub(super) struct Piece {
    pub(super) slot: Slot,
    /// In the payload of the path's packet.
    pub(super) bytes: Range<u32>,
    /// Whether the ends of the path's packet were translated to those of the event.
    pub(super) is_translated: bool,
}

/// The paths that an event continues.
pub(super) enum Joined {
    /// One.
    One(Slot),
    /// One that has passed the tap before, in the same direction: it goes in a circle.
    Again(Slot),
    /// One, with other ends: they were translated.
    Translated(Slot),
    /// One of several of different flows; nothing shows which.
    Undecided,
    /// One that all its bytes belong to.
    Piece(Piece),
    /// Those that its bytes belong to; at least one. What is `left` of its payload belongs to
    /// none.
    Pieces {
        pieces: Vec<Piece>,
        left: Vec<Range<u32>>,
    },
    /// Those of the fragments of one datagram; at least one, the oldest first.
    Each(Vec<Slot>),
    /// The same, with other ends: they were translated where the datagram was put together.
    EachTranslated(Vec<Slot>),
}

/// A way to find the open path that an event continues.
trait Join {
    /// The paths that the event continues, if this way finds any. Marks them as ambiguous
    /// if the event may belong to each of them.
    fn find(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
        known: &Known,
    ) -> Option<Joined>;

    /// Adds a new path; returns the one to give up for it.
    fn insert(&mut self, slot: Slot, open: &mut OpenPaths, known: &Known) -> Option<Slot>;

    /// Removes a finished path.
    fn remove(&mut self, slot: Slot, open: &Open);
}

/// Defines all joins, by the field that each has.
macro_rules! joins {
    ($($join:ident: $type:ty,)+) => {
        /// All joins.
        #[derive(Default)]
        pub(super) struct Joins {
            /// The translations of flows.
            known: Known,
            $($join: $type,)+
        }

        impl Joins {
            /// The number of joins.
            pub(super) const COUNT: usize = [$(stringify!($join)),+].len();

            /// [`Join::insert`] of the join of this number.
            pub(super) fn insert(
                &mut self,
                number: usize,
                slot: Slot,
                open: &mut OpenPaths,
            ) -> Option<Slot> {
                let mut others = 0..number;
                $(if others.next().is_none() {
                    return self.$join.insert(slot, open, &self.known);
                })+
                None
            }

            /// [`Join::remove`] of each.
            pub(super) fn remove(&mut self, slot: Slot, open: &Open) {
                $(self.$join.remove(slot, open);)+
            }
        }
    };
}

joins! {
    key: ByKey,
    fragments: ByFragment,
    sequence: BySequence,
    datagrams: ByDatagrams,
    content: ByContent,
}

impl Joins {
    /// The path with its key that the event continues, if it is in time, as of most events;
    /// else those that have the key's hash.
    #[inline(always)]
    pub(super) fn find_in_time(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
    ) -> Result<Slot, Option<List>> {
        self.key.find_in_time(seen, open, world)
    }

    /// The paths that an event continues which continues none with its key in time. `equal`: the
    /// paths that have the key's hash.
    pub(super) fn find(
        &self,
        seen: &Observation<'_>,
        equal: Option<List>,
        open: &mut OpenPaths,
        world: &World,
    ) -> Option<Joined> {
        let joined = equal.and_then(|equal| self.key.find_slow(seen, equal, open, world));
        joined.or_else(|| self.find_without_key(seen, open, world))
    }

    /// The paths that an event continues, by the paths as they are now.
    pub(super) fn find_anew(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
    ) -> Option<Joined> {
        let joined = self.key.find(seen, open, world, &self.known);
        joined.or_else(|| self.find_without_key(seen, open, world))
    }

    fn find_without_key(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
    ) -> Option<Joined> {
        if seen.event.direction == Direction::Socket {
            return self.find_at_socket(seen, open, world);
        }
        if let Some(joined) = self.fragments.find_on_its_way(seen, open, world) {
            return Some(joined);
        }
        let translated = self.content.find(seen, open, world, &self.known);
        // A whole packet with other ends is not made of the bytes of others.
        if matches!(translated, Some(Joined::Translated(_))) {
            return translated;
        }
        if let Some(slot) = self.key.circling(seen, open, world) {
            return Some(Joined::Again(slot));
        }
        self.in_pieces(seen, open, world).or(translated)
    }

    /// The same where no path has the key and waits for the socket: it may receive a packet
    /// in another shape than the interfaces saw.
    fn find_at_socket(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
    ) -> Option<Joined> {
        if let Some(joined) = self.in_pieces(seen, open, world) {
            return Some(joined);
        }
        let fragments = if self.key.has(seen.hash) {
            None
        } else {
            self.fragments.find(seen, open, world, &self.known)
        };
        fragments.or_else(|| self.content.find(seen, open, world, &self.known))
    }

    /// The paths of packets that the event is a part of.
    fn in_pieces(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
    ) -> Option<Joined> {
        let segments = self.sequence.find(seen, open, world, &self.known);
        segments.or_else(|| self.datagrams.find(seen, open, world, &self.known))
    }

    /// Remembers a translation, at the tap point that shows it.
    pub(super) fn learn(&mut self, event: &Event, point: &TapPoint, before: Ends, after: Ends) {
        if let Some(scope) = Scope::of(point.netns(), &event.packet) {
            let (before, after) = (self.known.flow(&before), self.known.flow(&after));
            self.known.learn(scope, before, after, event.ts_ns);
        }
    }

    /// Takes over what the connection tracking of a namespace knows.
    pub(super) fn track(&mut self, netns: (usize, u64), changes: &FlowChanges, ts_ns: u64) {
        for flow in &changes.gone {
            self.known.untrack(netns, flow);
        }
        for flow in &changes.new {
            self.known.track(netns, flow, ts_ns);
        }
    }

    /// Records that a socket has taken a packet as it is, if the event says so.
    #[inline]
    pub(super) fn taken(&mut self, event: &Event, world: &World) {
        if event.direction == Direction::Socket && !self.known.is_empty() {
            self.known.refute(event, world);
        }
    }

    /// Whether packets with these ends were translated before in this namespace, and went on.
    pub(super) fn goes_on(&self, event: &Event, world: &World) -> bool {
        event.direction == Direction::Ingress
            && !self.known.is_empty()
            && self.known.went_on(event, world)
    }

    /// Removes a path that has ended.
    pub(super) fn end(&mut self, slot: Slot, open: &Open) {
        self.remove(slot, open);
        self.sequence.note_end(open, &self.known);
    }

    /// Links a path that begins with the event to the one that it is a copy of, if that has ended.
    #[inline]
    pub(super) fn link(&self, slot: Slot, event: &Event, open: &mut OpenPaths) {
        if let Some(open) = open.get_mut(slot) {
            self.sequence.link(open, event);
        }
    }

    /// The paths of fragments of these ends, protocol and identification, the oldest first.
    pub(super) fn fragments_of(&self, datagram: &Datagram) -> impl Iterator<Item = Slot> + '_ {
        self.fragments.of(datagram)
    }

    /// The fragments of which a whole packet with other ends was put together, by the first of them.
    pub(super) fn translated_parts(
        &self,
        first: &Open,
        seen: &Observation<'_>,
        open: &OpenPaths,
        world: &World,
    ) -> Option<Vec<Slot>> {
        self.fragments.translated_parts(first, seen, open, world)
    }

    /// How many paths have a key of that hash.
    pub(super) fn equal(&self, hash: u64) -> usize {
        self.key.equal(hash)
    }

    /// Marks packets that nothing tells apart from that of a path, of which none has gone on.
    pub(super) fn mark_indistinguishable(&self, slot: Slot, open: &mut OpenPaths) {
        self.key.mark_indistinguishable(slot, open);
    }
}
