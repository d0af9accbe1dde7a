//! Puts events in order of time.
//!
//! A program takes the time before it reserves room in the ring, so two CPUs'
//! records can be swapped by as long as one program runs. Events wait until
//! nothing older can come.
use crate::event::Event;

/// How much older than the newest event a later record may be: far more than
/// a program takes, in nanoseconds.
pub const SLACK_NS: u64 = 1_000_000;

/// Events that wait for older ones.
#[derive(Debug, Default)]
pub struct Reorder {
    waiting: Vec<Event>,
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
        self.newest_ns = self.newest_ns.max(event.ts_ns);
        self.waiting.push(event);
    }

    /// Moves to `ready`, which is empty, in order, the events that nothing older can
    /// precede, given that the ring was empty at `drained_ns` (0: not known).
    pub fn release(&mut self, drained_ns: u64, ready: &mut Vec<Event>) {
        let horizon = self.newest_ns.max(drained_ns).saturating_sub(SLACK_NS);
        self.take(horizon, ready);
    }

    /// Moves to `ready`, which is empty, in order, all that is left.
    pub fn finish(&mut self, ready: &mut Vec<Event>) {
        self.take(u64::MAX, ready);
    }

    fn take(&mut self, horizon: u64, ready: &mut Vec<Event>) {
        // Mostly one CPU's in a row, and events are large to be moved.
        if !self.waiting.is_sorted_by_key(|event| event.ts_ns) {
            // Stable: records of one CPU with equal times stay in ring order.
            self.waiting.sort_by_key(|event| event.ts_ns);
        }
        let split = self.waiting.partition_point(|event| event.ts_ns <= horizon);
        std::mem::swap(&mut self.waiting, ready);
        // Fewer wait than are ready.
        self.waiting.extend(ready.drain(split..));
    }
}
