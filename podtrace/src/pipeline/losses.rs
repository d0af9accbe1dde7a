//! The number of lost events whose time is unknown.
use crate::{
    model::loss::{LostBy, LostSpan},
    path::reorder::SLACK_NS,
};

/// Counted losses, of which some have a known time.
#[derive(Debug, Default)]
pub struct Unexplained {
    /// Events known to be lost, by time or by count.
    known: u64,
    /// All losses are counted until this time, in nanoseconds.
    counted_ns: u64,
}

impl Unexplained {
    /// Records that nothing was lost before that time, in nanoseconds.
    pub fn begin(&mut self, ts_ns: u64) {
        self.counted_ns = self.counted_ns.max(ts_ns);
    }

    /// Records that another source knows the time of these losses.
    pub fn explain(&mut self, events: u64) {
        self.known = self.known.saturating_add(events);
    }

    /// Events known to be lost.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.known
    }

    /// Takes over a count of losses; returns those of unknown time.
    pub fn count(&mut self, lost: &LostBy) -> Option<LostSpan> {
        // A program reads the clock before it counts.
        let since_ns = self.counted_ns.saturating_sub(SLACK_NS);
        self.counted_ns = self.counted_ns.max(lost.until_ns);
        let events = lost.records.checked_sub(self.known);
        let events = events.filter(|events| *events > 0)?;
        Some(LostSpan {
            from_ns: since_ns,
            to_ns: lost.read_ns,
            events,
        })
    }
}
