//! When a path's packet was seen, and for how long.
use super::Path;

impl Path {
    /// When its packet was first seen, in nanoseconds.
    #[must_use]
    pub fn first_ns(&self) -> u64 {
        self.hops.first().map_or(0, |hop| hop.ts_ns)
    }

    /// How long a packet that was reported as not seen further was unseen, in nanoseconds.
    #[must_use]
    pub fn lateness_ns(&self) -> Option<u64> {
        let hops = self.late_of?.hops;
        let (last, next) = (self.hops.get(hops.checked_sub(1)?)?, self.hops.get(hops)?);
        Some(next.ts_ns.saturating_sub(last.ts_ns))
    }

    /// When its packet was last seen, in nanoseconds.
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        self.hops.last().map_or(0, |hop| hop.ts_ns)
    }

    /// Nanoseconds from the first hop to the last, those of copies for others not counted.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        match (self.hops.first(), self.last_own_hop()) {
            (Some(first), Some(last)) => last.ts_ns.saturating_sub(first.ts_ns),
            _ => 0,
        }
    }
}
