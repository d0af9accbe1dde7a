//! Finds the open path that an event continues.
//!
//! Each way to find it is a [`Join`] with an index of its own. Another way is another file
//! here, another line of `joins!`, and a place in [`Joins::find`].
mod content;
mod fragments;
pub(super) mod index;
mod key;
pub(super) mod sequence;

use std::ops::Range;

use podtrace_ebpf::record::Direction;

use super::open::{Open, OpenPaths};
use crate::{
    model::{event::Event, tap_point::TapPoint},
    packet::{Ends, PacketKey},
    world::World,
};
use content::ByContent;
use fragments::ByDatagram;
use index::Slot;
use key::ByKey;
use sequence::BySequence;

/// Upper bound of the equal packets, or fragments of one datagram, that are followed at the
/// same time; beyond it the oldest is given up, which keeps every search short.
pub(super) const EQUAL_MAX: usize = 64;

/// An event, with what the joins need to find its path.
pub(super) struct Sighting<'a> {
    pub(super) event: &'a Event,
    /// The key of its packet.
    pub(super) key: PacketKey,
    /// The key's hash.
    pub(super) hash: u64,
    /// How long a packet may stay between two hops, in nanoseconds.
    pub(super) timeout_ns: u64,
}

/// The bytes of an event that belong to a path.
pub(super) struct Piece {
    pub(super) slot: Slot,
    /// In the payload of the path's packet.
    pub(super) bytes: Range<u32>,
}

/// The paths that an event continues.
pub(super) enum Joined {
    /// One.
    One(Slot),
    /// One, with other ends: they were translated.
    Translated(Slot),
    /// One of several of different flows; nothing shows which.
    Undecided,
    /// Those that its bytes belong to; at least one. What is `left` of its payload belongs to
    /// none.
    Pieces {
        pieces: Vec<Piece>,
        left: Vec<Range<u32>>,
    },
    /// Those of the fragments of one datagram; at least one, the oldest first.
    Each(Vec<Slot>),
}

/// A way to find the open path that an event continues.
pub(super) trait Join {
    /// The paths that the event continues, if this way finds any. Marks them as ambiguous
    /// if the event may belong to each of them.
    fn find(&self, seen: &Sighting<'_>, open: &mut OpenPaths, world: &World) -> Option<Joined>;

    /// Adds a new path; returns the one to give up for it.
    fn begun(&mut self, _slot: Slot, _open: &mut OpenPaths) -> Option<Slot> {
        None
    }

    /// Removes a finished path.
    fn ended(&mut self, slot: Slot, open: &Open);
}

/// Defines all joins, by the field that each has.
macro_rules! joins {
    ($($join:ident: $type:ty,)+) => {
        /// All joins.
        #[derive(Default)]
        pub(super) struct Joins {
            $($join: $type,)+
        }

        impl Joins {
            /// The number of joins.
            pub(super) const COUNT: usize = [$(stringify!($join)),+].len();

            /// [`Join::begun`] of the join of this number.
            pub(super) fn begun(
                &mut self,
                number: usize,
                slot: Slot,
                open: &mut OpenPaths,
            ) -> Option<Slot> {
                let mut others = 0..number;
                $(if others.next().is_none() {
                    return self.$join.begun(slot, open);
                })+
                None
            }

            /// [`Join::ended`] of each.
            pub(super) fn ended(&mut self, slot: Slot, open: &Open) {
                $(self.$join.ended(slot, open);)+
            }
        }
    };
}

joins! {
    key: ByKey,
    fragments: ByDatagram,
    sequence: BySequence,
    content: ByContent,
}

impl Joins {
    /// The paths that the event continues.
    #[inline]
    pub(super) fn find(
        &self,
        seen: &Sighting<'_>,
        open: &mut OpenPaths,
        world: &World,
    ) -> Option<Joined> {
        if let Some(joined) = self.key.find(seen, open, world) {
            return Some(joined);
        }
        if let Some(joined) = self.sequence.find(seen, open, world) {
            return Some(joined);
        }
        // A socket may receive a packet in another shape than the interfaces saw.
        if seen.event.direction == Direction::Socket && !self.key.has(seen.hash) {
            let fragments = self.fragments.find(seen, open, world);
            return fragments.or_else(|| self.content.find(seen, open, world));
        }
        self.content.find(seen, open, world)
    }

    /// Remembers a translation, at the tap point that shows it.
    pub(super) fn learn(&mut self, point: &TapPoint, before: Ends, after: Ends) {
        self.content.learn(point, before, after);
    }

    /// Whether such packets were translated before where this one has come in, and went on.
    pub(super) fn goes_on(&self, event: &Event, world: &World) -> bool {
        self.content.goes_on(event, world)
    }

    /// How many paths have a key of that hash.
    pub(super) fn equal(&self, hash: u64) -> usize {
        self.key.equal(hash)
    }
}
