//! Finds the open path that an event continues.
//!
//! Each way to find it is a [`Join`] with an index of its own. Another way, such as by a
//! translated connection, is another file here, another line of `joins!`, and a place in
//! [`Joins::find`].
mod arrival;
mod fragments;
pub(super) mod index;
mod key;

use podtrace_ebpf::record::Direction;

use super::open::{Open, OpenPaths};
use crate::{model::event::Event, packet::PacketKey, world::World};
use arrival::ByArrival;
use fragments::ByDatagram;
use index::Slot;
use key::ByKey;

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

/// The paths that an event continues.
pub(super) enum Joined {
    /// One.
    One(Slot),
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

    /// Notes that a packet has entered its network namespace by an interface.
    fn arrived(&mut self, _slot: Slot, _interface: u32, _open: &mut OpenPaths) {}

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

            /// [`Join::arrived`] of each.
            pub(super) fn arrived(&mut self, slot: Slot, interface: u32, open: &mut OpenPaths) {
                $(self.$join.arrived(slot, interface, open);)+
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
    arrival: ByArrival,
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
        let is_socket = seen.event.direction == Direction::Socket;
        if !is_socket || self.key.has(seen.hash) {
            return self.key.find(seen, open, world);
        }
        // A socket may receive a packet in another shape than the interfaces saw.
        let fragments = self.fragments.find(seen, open, world);
        fragments.or_else(|| self.arrival.find(seen, open, world))
    }

    /// How many paths have a key of that hash.
    #[cfg(test)]
    pub(super) fn equal(&self, hash: u64) -> usize {
        self.key.equal(hash)
    }
}
