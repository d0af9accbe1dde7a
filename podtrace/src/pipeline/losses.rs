//! How many events were lost: what of it is explained, and what was said.
use crate::path::reorder::SLACK_NS;

/// How often losses are told, in nanoseconds.
const SAY_NS: u64 = 1_000_000_000;

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

/// What the user was told of losses.
#[derive(Debug, Default)]
pub(super) struct Told {
    lost: u64,
    said: u64,
    said_ns: u64,
}

impl Told {
    /// So many were lost since the begin.
    pub(super) fn count(&mut self, lost: u64) {
        self.lost = self.lost.max(lost);
    }

    /// What to say, at most once a second: how many were lost since last said.
    pub(super) fn notice(&mut self, now_ns: u64) -> Option<String> {
        if self.lost == self.said || now_ns.saturating_sub(self.said_ns) < SAY_NS {
            return None;
        }
        let notice = format!(
            "{} events lost, the ring buffer was full (--buffer makes it larger)",
            self.lost - self.said
        );
        self.said = self.lost;
        self.said_ns = now_ns;
        Some(notice)
    }
}
