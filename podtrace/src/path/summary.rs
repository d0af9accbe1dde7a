//! What a session was, at its end.
use super::Outcome;
use crate::model::tap::{TapCount, Taps};

/// What the session was, at its end.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// By interface number and direction.
    pub taps: Taps,
    /// Packets, that is paths.
    pub packets: u64,
    /// Paths by [`Outcome::NAMES`].
    pub outcomes: [u64; Outcome::NAMES.len()],
    /// Paths that may lack hops.
    pub incomplete: u64,
    /// Events whose frame could not be read at some layer.
    pub unreadable: u64,
    /// Nanoseconds from the first tap to the last.
    pub duration_ns: u64,
}

impl Summary {
    /// The sum over all taps.
    #[must_use]
    pub fn total(&self) -> TapCount {
        let mut total = TapCount::default();
        for tap in self.taps.values() {
            total.add(tap);
        }
        total
    }
}
