//! Interfaces that are gone. The last ones keep their names, for events that come
//! late and for the summary; of all others, only sums are kept.
use std::collections::VecDeque;

use podtrace_ebpf::record::Direction;

use crate::model::tap::Taps;

/// Interfaces that are gone and keep their names and counts, at most.
pub(super) const GONE_MAX: usize = 1024;
/// The number under which all others are counted, and what is of no interface.
pub const OTHERS: u32 = u32::MAX;

/// The last interfaces that are gone, in order.
#[derive(Debug, Default)]
pub(super) struct Gone {
    numbers: VecDeque<u32>,
}

impl Gone {
    /// An interface is gone; returns the one that is to be retired for it.
    pub(super) fn add(&mut self, number: u32) -> Option<u32> {
        self.numbers.push_back(number);
        let is_full = self.numbers.len() > GONE_MAX;
        is_full.then(|| self.numbers.pop_front()).flatten()
    }

    /// An interface is there, again perhaps.
    pub(super) fn remove(&mut self, number: u32) {
        self.numbers.retain(|gone| *gone != number);
    }
}

/// Adds what an interface has counted to the others'.
pub(super) fn fold(taps: &mut Taps, number: u32) {
    for direction in Direction::ALL {
        if let Some(count) = taps.remove(&(number, direction)) {
            taps.entry((OTHERS, direction)).or_default().add(&count);
        }
    }
}
