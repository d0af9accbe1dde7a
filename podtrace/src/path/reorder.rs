//! Puts events in order of time.
//!
//! A program reads the clock before it publishes its record, so the records of two CPUs can
//! come swapped by as long as a program runs. Events wait until nothing older can come.
use std::collections::VecDeque;

use crate::model::event::Event;

/// How much older than the newest event a later record may be: far more than
/// a program takes, in nanoseconds.
pub const SLACK_NS: u64 = 1_000_000;

/// Events that wait for older ones.
#[derive(Debug, Default)]
pub struct Reorder {
    waiting: VecDeque<Event>,
    is_unsorted: bool,
    newest_ns: u64,
}

impl Reorder {
    /// Whether no event waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The time of the newest event so far.
    #[must_use]
    pub fn newest_ns(&self) -> u64 {
        self.newest_ns
    }

    /// Adds an event.
    pub fn push(&mut self, event: Event) {
        self.is_unsorted |= event.ts_ns < self.newest_ns;
        self.newest_ns = self.newest_ns.max(event.ts_ns);
        self.waiting.push_back(event);
    }

    /// How many of the first events are final in order, given that nothing older than
    /// `drained_ns` (0: not known) will come.
    pub fn ready(&mut self, drained_ns: u64) -> usize {
        let horizon_ns = self.newest_ns.max(drained_ns).saturating_sub(SLACK_NS);
        self.sort();
        self.waiting
            .partition_point(|event| event.ts_ns <= horizon_ns)
    }

    /// The number of events if nothing more will come.
    pub fn all(&mut self) -> usize {
        self.sort();
        self.waiting.len()
    }

    /// The first `count` events, borrowed in place, as they are large.
    pub fn first(&self, count: usize) -> impl Iterator<Item = &Event> {
        self.waiting.iter().take(count)
    }

    /// Drops the first `count` events.
    pub fn drop_first(&mut self, count: usize) {
        self.waiting.drain(..count);
    }

    fn sort(&mut self) {
        if std::mem::take(&mut self.is_unsorted) {
            // Stable: records of one CPU with equal times stay in the order of their ring.
            let waiting = self.waiting.make_contiguous();
            waiting.sort_by_key(|event| event.ts_ns);
        }
    }
}
