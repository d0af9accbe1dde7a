//! What the builder knows of hops that it may lack.
use super::Builder;
use crate::path::Path;

impl Builder {
    /// Records that only some of the usual interfaces are watched: a packet not seen again
    /// may have gone on.
    pub fn set_partial_view(&mut self) {
        self.is_partial = true;
    }

    /// Records that not all packets are traced: an answer may not have been seen.
    pub fn set_sampled(&mut self) {
        self.is_sampled = true;
    }

    /// Records that only some packets were recorded: an answer may not have been.
    pub fn set_selected(&mut self) {
        self.is_sampled = true;
        self.is_selected = true;
    }

    /// Why packets may not have been seen, if there is a reason for all of the time.
    #[must_use]
    pub fn unseen(&self) -> Option<&'static str> {
        match (self.is_selected, self.is_sampled, self.is_partial) {
            (true, ..) => Some("only some packets were recorded"),
            (_, true, _) => Some("only a sample of the packets was traced"),
            (.., true) => Some("only some interfaces were watched"),
            _ => None,
        }
    }

    /// Records that several sessions trace one packet of so many, and tell whenever they trace
    /// another share.
    pub fn set_common_share(&mut self, share: u32) {
        self.shares.set_common(share);
        self.is_sampled |= share > 1;
    }

    /// Records that a session has begun to trace one packet of so many between two times, in
    /// nanoseconds.
    pub fn record_sampling(&mut self, session: usize, share: u32, (since_ns, ts_ns): (u64, u64)) {
        self.record_loss(since_ns, ts_ns);
        self.is_sampled |= share > 1;
        self.shares.record(session, share, (since_ns, ts_ns));
    }

    /// The smallest share of the packets that a session has traced so far: one in so many.
    #[must_use]
    pub fn least_share(&self, session: usize) -> u32 {
        self.shares.least(session)
    }

    /// Records that a session watches only some of the interfaces from then on, in
    /// nanoseconds. `is_blind`: and its sockets, as far as is known.
    pub fn begin_partial_view(&mut self, session: usize, from_ns: u64, is_blind: bool) {
        self.partial.begin(session, from_ns);
        if is_blind {
            self.blind.begin(session, from_ns);
        }
    }

    /// Records that a session watches all interfaces from then on, in nanoseconds.
    pub fn end_partial_view(&mut self, session: usize, from_ns: u64) {
        self.partial.end(session, from_ns);
        self.end_blind_view(session, from_ns);
    }

    /// Records that a session watches all sockets from then on, in nanoseconds.
    pub fn end_blind_view(&mut self, session: usize, from_ns: u64) {
        self.blind.end(session, from_ns);
    }

    /// Records an event that came too late to be put in order of time, for example because a
    /// hypervisor stopped a CPU in the middle of a program: nothing shows for sure which
    /// packet it belongs to. Both times in nanoseconds, on the clock of the events.
    pub fn record_late(&mut self, from_ns: u64, to_ns: u64) {
        self.unordered.record(from_ns, to_ns);
    }

    /// Whether a packet under way at that time may have passed interfaces that did not watch for it.
    pub(super) fn may_pass_unseen(&self, first_ns: u64, last_ns: u64) -> bool {
        self.partial.overlap(first_ns, last_ns)
            || self.unordered.overlap(first_ns, last_ns)
            || self.shares.may_differ(first_ns, last_ns)
    }

    /// Whether a packet seen at that time may have passed taps unseen before.
    pub(super) fn may_skip_taps(&self, ts_ns: u64) -> bool {
        let first_ns = ts_ns.saturating_sub(self.timeout_ns);
        self.is_partial
            || self.may_pass_unseen(first_ns, ts_ns)
            || self.losses.may_concern(first_ns, ts_ns)
    }

    /// Records that some or all events of that time were lost. Both in nanoseconds, on the
    /// clock of the events.
    pub fn record_loss(&mut self, from_ns: u64, to_ns: u64) {
        self.losses.record(from_ns, to_ns);
    }

    /// Whether hops of a finished path may be missing, as far as losses and unwatched
    /// interfaces are known by now.
    #[must_use]
    pub fn may_lack(&self, path: &Path) -> bool {
        let (first, last) = (path.hops.first(), path.hops.last());
        first.zip(last).is_some_and(|(first, last)| {
            self.losses.may_concern(first.ts_ns, last.ts_ns)
                || self.may_pass_unseen(first.ts_ns, last.ts_ns)
        })
    }
}
