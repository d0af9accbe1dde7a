//! When sessions did not see all packets.
use std::collections::BTreeMap;

use super::losses::Losses;

/// The times at which sessions have seen only some of the packets, in nanoseconds on the clock
/// of the events.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// Since when, by session.
    since: BTreeMap<usize, u64>,
    /// Earlier times, of all sessions.
    before: Losses,
}

impl Views {
    /// Records that a session sees only some from then on.
    pub(super) fn begin(&mut self, session: usize, from_ns: u64) {
        let known = self.since.entry(session).or_insert(from_ns);
        *known = from_ns.min(*known);
    }

    /// Records that a session sees all from then on.
    pub(super) fn end(&mut self, session: usize, from_ns: u64) {
        if let Some(begin_ns) = self.since.remove(&session) {
            self.before.record(begin_ns, from_ns);
        }
    }

    /// Whether a packet under way at that time may have passed unseen.
    pub(super) fn overlap(&self, first_ns: u64, last_ns: u64) -> bool {
        let mut begins = self.since.values();
        let is_now = begins.any(|begin_ns| *begin_ns <= last_ns);
        is_now || self.before.overlap(first_ns, last_ns)
    }

    /// Forgets old times: [`Losses::forget`].
    pub(super) fn forget(&mut self, oldest_ns: u64, now_ns: u64) {
        self.before.forget(oldest_ns, now_ns);
    }
}
