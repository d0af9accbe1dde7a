//! The part of a packet that each hop has seen: segmentation splits a packet, and its pieces
//! continue, are merged again, or are lost, each by itself.
use std::ops::Range;

use smallvec::{SmallVec, smallvec};

use crate::path::{Outcome, Segments};

/// Upper bound of the gaps in the bytes that a hop has seen: no network reorders more.
const RANGES_MAX: usize = 64;
/// Hops that may follow those of a packet before there has to be more room: from one wire to a
/// socket.
const MORE_HOPS: usize = 6;

/// Bytes of a packet's payload, as offsets from its first.
pub(super) type Bytes = Range<u32>;

/// The part of a packet that each hop of its path has seen.
pub(super) struct Parts {
    /// Bytes of the packet's payload.
    pub(super) length: u32,
    at: Vec<Seen>,
    /// Bytes of each segment but the last, which may be shorter; 0 if it is not known.
    size: u32,
    /// How many ranges there is room for outside of `at`.
    room: usize,
    /// The number of the hop where pieces have ended, and how.
    pub(super) end: Option<(usize, Outcome)>,
}

/// The part that one hop has seen.
#[derive(Clone, Default)]
struct Seen {
    /// In order, and apart from each other. Most come in order, so there is one.
    ranges: SmallVec<[Bytes; 2]>,
    /// How many packets they came in.
    packets: u32,
}

impl Parts {
    /// A packet that `hops` hops have seen whole.
    pub(super) fn new(length: u32, hops: usize) -> Self {
        let mut at = Vec::with_capacity(hops + MORE_HOPS);
        at.resize(hops, Seen::one(0..length));
        Self {
            length,
            at,
            size: 0,
            room: 0,
            end: None,
        }
    }

    /// Records that a hop, known or the next, has seen a packet with these bytes.
    pub(super) fn cover(&mut self, hop: usize, bytes: Bytes) {
        match self.at.get_mut(hop) {
            Some(seen) => {
                self.room -= seen.room();
                seen.add(bytes);
                self.room += seen.room();
            }
            None => {
                self.at.resize(hop, Seen::default());
                self.at.push(Seen::one(bytes));
            }
        }
    }

    /// Whether a hop has seen all bytes.
    pub(super) fn is_whole(&self, hop: usize) -> bool {
        let ranges = self.at.get(hop).map(|seen| &seen.ranges[..]);
        matches!(ranges, Some([only]) if *only == (0..self.length))
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

    /// The parts that the first `hops` hops have seen.
    pub(super) fn segments(&self, hops: usize) -> Vec<Segments> {
        let seen = |hop: usize| Segments {
            packets: self.at.get(hop).map_or(0, |seen| seen.packets),
            segments: self.segments_at(hop),
            bytes: self.bytes(hop),
        };
        (0..hops).map(seen).collect()
    }

    /// How many segments a hop has seen, if that is known, whatever packets they came in.
    fn segments_at(&self, hop: usize) -> Option<u32> {
        let ranges = self.at.get(hop).map(|seen| seen.ranges.iter());
        let ranges = ranges.into_iter().flatten();
        ranges.map(|range| self.segments_in(range)).sum()
    }

    /// The first range of these bytes that a hop has not seen yet; none if it has seen all, or
    /// too many pieces to add another.
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

    /// The bytes that a hop has not seen, those apart that did not come equally far.
    pub(super) fn lost(&self, hop: usize) -> Vec<Bytes> {
        let (mut lost, mut start) = (Vec::new(), 0);
        while let Some(missing) = self.missing(hop, start..self.length) {
            start = missing.end;
            let ranges = self.at.iter().flat_map(|seen| &seen.ranges);
            let mut edges: Vec<_> = ranges
                .flat_map(|range| [range.start, range.end])
                .filter(|edge| (missing.start + 1..missing.end).contains(edge))
                .chain([missing.start, missing.end])
                .collect();
            edges.sort_unstable();
            edges.dedup();
            lost.extend(edges.windows(2).map(|pair| pair[0]..pair[1]));
        }
        lost
    }

    /// Learns how large the segments are from a packet of so many of them with these bytes.
    /// `all`: how many there are.
    #[inline]
    pub(super) fn learn_size(&mut self, bytes: &Bytes, segments: u32, all: u32) {
        if self.size == 0 && all > 1 {
            self.size = self.size_by(bytes, segments, all).unwrap_or_default();
        }
    }

    fn size_by(&self, bytes: &Bytes, segments: u32, all: u32) -> Option<u32> {
        // The last may be shorter, but those before it are whole.
        let (length, count) = if bytes.end < self.length {
            (bytes.end - bytes.start, segments)
        } else {
            (bytes.start, all.checked_sub(segments)?)
        };
        let size = length.checked_div(count)?;
        let is_it = size * count == length && size > 0 && self.length.div_ceil(size) == all;
        is_it.then_some(size)
    }

    /// How many whole segments these bytes are, if that is known.
    pub(super) fn segments_in(&self, bytes: &Bytes) -> Option<u32> {
        let is_edge = |at: u32| at == self.length || at.checked_rem(self.size) == Some(0);
        let is_known = self.size > 0 && is_edge(bytes.start) && is_edge(bytes.end);
        is_known.then(|| (bytes.end - bytes.start).div_ceil(self.size))
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
        size_of::<Self>() + self.at.capacity() * size_of::<Seen>() + self.room * size_of::<Bytes>()
    }
}

impl Seen {
    /// One packet with these bytes.
    fn one(bytes: Bytes) -> Self {
        Self {
            ranges: smallvec![bytes],
            packets: 1,
        }
    }

    /// How many ranges there is room for outside of itself.
    #[inline]
    fn room(&self) -> usize {
        match self.ranges.spilled() {
            true => self.ranges.capacity(),
            false => 0,
        }
    }

    #[inline]
    fn add(&mut self, bytes: Bytes) {
        self.packets += 1;
        // Most come in order.
        match self.ranges.last_mut() {
            None => self.ranges.push(bytes),
            Some(last) if (last.start..=last.end).contains(&bytes.start) => {
                last.end = last.end.max(bytes.end);
            }
            _ => self.insert(bytes),
        }
    }

    /// Adds bytes anywhere.
    #[cold]
    fn insert(&mut self, bytes: Bytes) {
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
        self.ranges.drain(after..after + count);
        self.ranges.insert(after, start..end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compares with a flag for each byte.
        #[test]
        fn ranges_match_a_flag_per_byte(pieces in prop::collection::vec((0u32..50, 1u32..10), 0..40)) {
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
