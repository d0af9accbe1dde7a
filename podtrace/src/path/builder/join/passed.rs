//! Where the equal packets end that a tap has seen: those that left first pass it first.
use std::{array, cell::Cell};

use super::{Observation, index::Slot};
use crate::path::builder::open::{OpenPaths, tap_number};

/// Upper bound of the ends that are known; of two with the same place, the newer is known.
const PLACES: usize = 256;

/// An end: the tap has seen the packets of this hash up to this one, of all that are open.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    hash: u64,
    /// Number of its path, and how often its ends were translated: then it moves in the order.
    id: u64,
    translations: usize,
    slot: Slot,
    tap: u32,
}

/// The ends, each at a place that its hash and its tap give.
#[derive(Debug)]
pub(super) struct Passed(Box<[Cell<End>; PLACES]>);

impl Default for Passed {
    fn default() -> Self {
        Self(Box::new(array::from_fn(|_| Cell::default())))
    }
}

impl Passed {
    /// The last of the packets with the event's hash that its tap has seen, from the oldest on.
    /// Packets are added behind all others, and what a tap has seen it has seen for good.
    #[inline]
    pub(super) fn last(&self, seen: &Observation<'_>, open: &OpenPaths) -> Option<Slot> {
        let end = self.place(seen).get();
        let is_known = (end.hash, end.tap) == (seen.hash, tap(seen));
        let open = open.get(end.slot).filter(|_| is_known)?;
        let path = (open.hash, open.path.id, open.path.translations.len());
        let is_same = path == (end.hash, end.id, end.translations);
        is_same.then_some(end.slot)
    }

    /// Remembers it.
    #[inline]
    pub(super) fn note(&self, seen: &Observation<'_>, slot: Slot, open: &OpenPaths) {
        if let Some(open) = open.get(slot) {
            self.place(seen).set(End {
                hash: open.hash,
                id: open.path.id,
                translations: open.path.translations.len(),
                slot,
                tap: tap(seen),
            });
        }
    }

    fn place(&self, seen: &Observation<'_>) -> &Cell<End> {
        let at = (seen.hash as usize).wrapping_add(tap(seen) as usize);
        &self.0[at % PLACES]
    }
}

fn tap(seen: &Observation<'_>) -> u32 {
    tap_number(seen.event.interface, seen.event.direction)
}
