//! Which share of the packets sessions trace.
use std::collections::BTreeMap;

use super::views::Views;

/// The shares of all sessions, each one in so many packets. A smaller share is a subset of a larger
/// one, so that a packet is traced either by all sessions or by those with the larger shares alone.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// What all sessions trace unless there is too much; none if there is one session, whose taps
    /// all have the same share.
    common: Option<u32>,
    /// When sessions have traced less than that.
    less: Views,
    /// The smallest share of each session so far.
    least: BTreeMap<usize, u32>,
}

impl Shares {
    /// Several sessions trace this share, and tell whenever they trace another.
    pub(super) fn set_common(&mut self, share: u32) {
        self.common = Some(share);
    }

    /// Records a session's share: none of its packets had another one after the second time, or
    /// before the first, both in nanoseconds.
    pub(super) fn record(&mut self, session: usize, share: u32, (since_ns, ts_ns): (u64, u64)) {
        let least = self.least.entry(session).or_insert(share);
        *least = share.max(*least);
        match self.common {
            Some(common) if share > common => self.less.begin(session, since_ns),
            Some(_) => self.less.end(session, ts_ns),
            None => {}
        }
    }

    /// Whether a packet under way at that time may have been traced by some sessions only.
    pub(super) fn may_differ(&self, first_ns: u64, last_ns: u64) -> bool {
        self.less.overlap(first_ns, last_ns)
    }

    /// The smallest share of a session so far.
    pub(super) fn least(&self, session: usize) -> u32 {
        self.least.get(&session).copied().unwrap_or(1)
    }

    /// Forgets old times: [`super::losses::Losses::forget`].
    pub(super) fn forget(&mut self, oldest_ns: u64, now_ns: u64) {
        self.less.forget(oldest_ns, now_ns);
    }
}
