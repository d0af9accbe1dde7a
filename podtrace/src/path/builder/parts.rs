//! What of a packet each hop has seen: segmentation splits a packet, and the pieces go on,
//! are merged again, or are lost, each by itself.
use std::{iter, ops::Range};

use crate::path::{Outcome, Segments};

/// Upper bound of the gaps in what a hop has seen: no network reorders so much.
const RANGES_MAX: usize = 64;

/// Bytes of a packet's payload, as offsets from its first.
pub(super) type Bytes = Range<u32>;

/// What each hop of a path has seen of the packet.
pub(super) struct Parts {
    /// Bytes of the packet's payload.
    pub(super) length: u32,
    at: Vec<Seen>,
    /// The number of the hop where pieces have ended, and how.
    pub(super) end: Option<(usize, Outcome)>,
}

/// What one hop has seen.
#[derive(Clone, Default)]
struct Seen {
    /// In order, and apart from each other.
    ranges: Vec<Bytes>,
    /// How many packets they came in.
    packets: u32,
}

impl Parts {
    /// A packet that was seen whole at so many hops.
    pub(super) fn new(length: u32, hops: usize) -> Self {
        let mut parts = Self {
            length,
            at: Vec::new(),
            end: None,
        };
        for hop in 0..hops {
            parts.cover(hop, 0..length);
        }
        parts
    }

    /// Notes that a hop, known or the next, has seen a packet with these bytes.
    pub(super) fn cover(&mut self, hop: usize, bytes: Bytes) {
        if self.at.len() <= hop {
            self.at.resize(hop + 1, Seen::default());
        }
        if let Some(seen) = self.at.get_mut(hop) {
            seen.add(bytes);
        }
    }

    /// Whether a hop has seen all bytes.
    pub(super) fn is_whole(&self, hop: usize) -> bool {
        self.bytes(hop) == self.length
    }

    /// How many bytes a hop has seen.
    pub(super) fn bytes(&self, hop: usize) -> u32 {
        let ranges = self.at.get(hop).map(|seen| seen.ranges.iter());
        ranges
            .into_iter()
            .flatten()
            .map(|range| range.end - range.start)
            .sum()
    }

    /// What so many hops have seen.
    pub(super) fn segments(&self, hops: usize) -> Vec<Segments> {
        let seen = |hop: usize| Segments {
            packets: self.at.get(hop).map_or(0, |seen| seen.packets),
            bytes: self.bytes(hop),
        };
        (0..hops).map(seen).collect()
    }

    /// The first of the bytes that a hop has not seen yet; none if it has, or if it has seen
    /// too many pieces to take another.
    pub(super) fn missing(&self, hop: usize, bytes: Bytes) -> Option<Bytes> {
        let Some(seen) = self.at.get(hop) else {
            return Some(bytes);
        };
        if seen.ranges.len() >= RANGES_MAX {
            return None;
        }
        let mut start = bytes.start;
        for range in seen.ranges.iter().filter(|range| range.end > bytes.start) {
            if range.start > start {
                return (start < bytes.end).then(|| start..range.start.min(bytes.end));
            }
            start = start.max(range.end);
        }
        (start < bytes.end).then_some(start..bytes.end)
    }

    /// Whether a hop has seen any of these bytes.
    pub(super) fn has_seen(&self, hop: usize, bytes: &Bytes) -> bool {
        let ranges = self.at.get(hop).map(|seen| seen.ranges.iter());
        ranges
            .into_iter()
            .flatten()
            .any(|range| range.start < bytes.end && bytes.start < range.end)
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> usize {
        let ranges: usize = self.at.iter().map(|seen| seen.ranges.capacity()).sum();
        size_of::<Self>() + self.at.capacity() * size_of::<Seen>() + ranges * size_of::<Bytes>()
    }
}

impl Seen {
    fn add(&mut self, bytes: Bytes) {
        self.packets += 1;
        let after = self.ranges.partition_point(|range| range.end < bytes.start);
        let touched = self.ranges[after..]
            .iter()
            .take_while(|range| range.start <= bytes.end);
        let count = touched.count();
        let touched = &self.ranges[after..after + count];
        let start = touched
            .first()
            .map_or(bytes.start, |first| first.start.min(bytes.start));
        let end = touched
            .last()
            .map_or(bytes.end, |last| last.end.max(bytes.end));
        self.ranges
            .splice(after..after + count, iter::once(start..end));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compares with a flag for each byte.
        #[test]
        fn ranges_are_as_flags(pieces in prop::collection::vec((0u32..50, 1u32..10), 0..40)) {
            let mut parts = Parts::new(60, 1);
            let mut flags = [false; 60];
            for (start, len) in pieces {
                let bytes = start..start + len;
                let missing = parts.missing(1, bytes.clone());
                let first = bytes.clone().find(|byte| !flags[*byte as usize]);
                prop_assert_eq!(missing.as_ref().map(|missing| missing.start), first);
                if let Some(missing) = missing {
                    prop_assert!(missing.clone().all(|byte| !flags[byte as usize]));
                    prop_assert!(missing.end == bytes.end || flags[missing.end as usize]);
                }
                for byte in bytes.clone() {
                    flags[byte as usize] = true;
                }
                parts.cover(1, bytes);
                let seen = flags.iter().filter(|seen| **seen).count();
                prop_assert_eq!(parts.bytes(1) as usize, seen);
                prop_assert_eq!(parts.is_whole(1), seen == 60);
                for byte in 0..60 {
                    prop_assert_eq!(parts.has_seen(1, &(byte..byte + 1)), flags[byte as usize]);
                }
            }
        }
    }
}
