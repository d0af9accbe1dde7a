//! What open paths wait for, and how long.
use crate::path::builder::SETTLE_NS;

/// How long a packet that was not seen further is remembered, in nanoseconds: the kernel holds
/// a packet that waits for a neighbour's address for 3 s, and a queue may be long.
const LATE_NS: u64 = 10_000_000_000;

/// How long Linux keeps the fragments of a packet that lacks some, in nanoseconds (ipfrag_time,
/// ip6frag_time).
pub(super) const FRAGMENT_NS: u64 = 30_000_000_000;
pub(super) const FRAGMENT6_NS: u64 = 60_000_000_000;

/// The event that an open path waits for: their timeouts differ.
#[derive(Clone, Copy)]
pub(super) enum Waits {
    ForNextHop,
    ForCopies,
    Late,
    LateFragment,
}

impl Waits {
    #[inline]
    pub(super) fn of(late: bool, arrived: bool) -> Self {
        match (late, arrived) {
            (true, _) => Self::Late,
            (false, true) => Self::ForCopies,
            (false, false) => Self::ForNextHop,
        }
    }

    /// How long the path stays open, in nanoseconds.
    #[inline]
    pub(super) fn patience_ns(self, timeout_ns: u64) -> u64 {
        match self {
            Self::ForNextHop => timeout_ns,
            Self::ForCopies | Self::Late | Self::LateFragment => self.longest_ns(timeout_ns),
        }
    }

    /// How long its packet may take to go on, even if slowly.
    #[inline]
    pub(super) fn longest_ns(self, timeout_ns: u64) -> u64 {
        match self {
            Self::ForCopies => SETTLE_NS,
            Self::ForNextHop | Self::Late => LATE_NS.max(timeout_ns),
            Self::LateFragment => FRAGMENT6_NS.max(timeout_ns),
        }
    }
}
