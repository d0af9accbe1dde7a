//! Removed interfaces. The latest keep their names, for late events and for the summary;
//! an older one is retired: only its share of a sum is kept.
use std::collections::VecDeque;

use podtrace_ebpf::record::Direction;

use crate::model::tap::TapCounts;

/// Upper bound of the removed interfaces that keep their names and counts.
pub(super) const REMOVED_MAX: usize = 1024;
/// The number under which all retired interfaces are counted, with everything that belongs to
/// no interface.
pub const OTHERS: u32 = u32::MAX;

/// The latest removed interfaces, in order.
#[derive(Debug, Default)]
pub(super) struct Removed {
    numbers: VecDeque<u32>,
}

impl Removed {
    /// Adds a removed interface; returns the one to retire for it.
    pub(super) fn add(&mut self, number: u32) -> Option<u32> {
        self.numbers.push_back(number);
        let is_full = self.numbers.len() > REMOVED_MAX;
        is_full.then(|| self.numbers.pop_front()).flatten()
    }

    /// Forgets the removal of an interface that exists again.
    pub(super) fn remove(&mut self, number: u32) {
        self.numbers.retain(|removed| *removed != number);
    }
}

/// Adds the counts of an interface to [`OTHERS`].
pub(super) fn fold(taps: &mut TapCounts, number: u32) {
    for direction in Direction::ALL {
        if let Some(count) = taps.remove(&(number, direction)) {
            taps.entry((OTHERS, direction)).or_default().add(&count);
        }
    }
}
