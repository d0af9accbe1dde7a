//! Counts of taps.
use std::collections::BTreeMap;

use podtrace_ebpf::{config::Counters, record::Direction};
use serde::{Deserialize, Serialize};

use crate::field::{Content, Type};

/// Counts by interface number and direction.
pub type TapCounts = BTreeMap<(u32, Direction), TapCount>;

/// The counts of one tap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TapCount {
    /// Packets the kernel program ran for.
    pub seen: u64,
    /// Packets that became events.
    pub emitted: u64,
    /// Packets a filter refused.
    pub filtered: u64,
    /// Packets for which their CPU's ring had no room.
    pub lost_ring: u64,
    /// Records that could not be read.
    pub undecodable: u64,
    /// Events that a recording does not hold: its disk was full or too slow, or
    /// the file is damaged.
    #[serde(skip_serializing_if = "is_zero")]
    pub unrecorded: u64,
}

/// As [`CountObject`](crate::projection::session::CountObject) has it.
impl Content for TapCount {
    const TYPE: Type = Type::Object("count");
}

impl TapCount {
    /// Takes over the kernel's counters.
    pub fn set_kernel(&mut self, counters: Counters) {
        self.seen = counters.seen;
        self.filtered = counters.filtered;
        self.lost_ring = counters.lost;
    }

    /// Events that podtrace could not deliver.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost_ring.saturating_add(self.undecodable)
    }

    /// Events that were lost, or that a recording does not hold.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.lost().saturating_add(self.unrecorded)
    }

    /// Adds other counts. A file can hold any number, so the sum saturates.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.seen, other.seen),
            (&mut self.emitted, other.emitted),
            (&mut self.filtered, other.filtered),
            (&mut self.lost_ring, other.lost_ring),
            (&mut self.undecodable, other.undecodable),
            (&mut self.unrecorded, other.unrecorded),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// The sum over all taps.
    #[must_use]
    pub fn total(taps: &TapCounts) -> Self {
        let mut total = Self::default();
        taps.values().for_each(|tap| total.add(tap));
        total
    }

    /// The packets accounted for: emitted + filtered + lost + unrecorded.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        let passed = self.emitted.saturating_add(self.filtered);
        passed.saturating_add(self.missing())
    }

    /// Whether seen = emitted + filtered + lost + unrecorded.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.seen == self.accounted()
    }

    /// The sum in words: `9 seen = 5 emitted + 1 filtered + 2 lost + 1 not recorded`, the last
    /// one only if there are any.
    #[must_use]
    pub fn in_words(&self) -> String {
        let equal = if self.is_conserved() { "=" } else { "≠" };
        let unrecorded = match self.unrecorded {
            0 => String::new(),
            events => format!(" + {events} not recorded"),
        };
        format!(
            "{} seen {equal} {} emitted + {} filtered + {} lost{unrecorded}",
            self.seen,
            self.emitted,
            self.filtered,
            self.lost()
        )
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}
