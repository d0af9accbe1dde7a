//! How many events were lost: what of it is explained.
use crate::path::reorder::SLACK_NS;

/// Losses that were counted, of which some are known more exactly.
#[derive(Debug, Default)]
pub struct Unexplained {
    /// Events known to be lost, by time or by count.
    known: u64,
    /// When they were last counted, in nanoseconds.
    counted_ns: u64,
}

impl Unexplained {
    /// When so many events were lost is known otherwise.
    pub fn explain(&mut self, events: u64) {
        self.known = self.known.saturating_add(events);
    }

    /// All that were lost until `now_ns` were counted. Returns between which times
    /// those were lost of which nothing is known yet, and how many they are.
    pub fn count(&mut self, now_ns: u64, lost: u64) -> Option<(u64, u64, u64)> {
        // A program takes the time before it counts.
        let since_ns = self.counted_ns.saturating_sub(SLACK_NS);
        self.counted_ns = self.counted_ns.max(now_ns);
        let events = lost.checked_sub(self.known).filter(|events| *events > 0)?;
        Some((since_ns, now_ns, events))
    }
}
