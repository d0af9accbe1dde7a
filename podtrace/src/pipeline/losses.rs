//! How many events were lost: what of it is explained.
use crate::{
    model::loss::{LostBy, LostSpan},
    path::reorder::SLACK_NS,
};

/// Losses that were counted, of which some are known more exactly.
#[derive(Debug, Default)]
pub struct Unexplained {
    /// Events known to be lost, by time or by count.
    known: u64,
    /// Until when all are counted, in nanoseconds.
    counted_ns: u64,
}

impl Unexplained {
    /// When so many events were lost is known otherwise.
    pub fn explain(&mut self, events: u64) {
        self.known = self.known.saturating_add(events);
    }

    /// How many were lost, as far as that is known.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.known
    }

    /// So many are counted. Returns those of which nothing is known yet.
    pub fn count(&mut self, lost: &LostBy) -> Option<LostSpan> {
        // A program takes the time before it counts.
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
