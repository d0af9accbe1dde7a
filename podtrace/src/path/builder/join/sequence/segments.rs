//! The segments of a flow that are under way, in the order of their bytes.
use std::{collections::VecDeque, iter, ops::Range};

use crate::path::builder::join::index::Slot;

/// Upper bound of the paths that one segment is compared with.
const SEARCH_MAX: usize = 256;

/// The open paths of one direction of a connection.
#[derive(Default)]
pub(super) struct Segments {
    /// Ordered by their sequence numbers; those with the same by age.
    in_order: VecDeque<Segment>,
    /// Length of its longest segment so far.
    longest: u32,
    /// The sequence number behind its last byte so far.
    end: u32,
}

/// The bytes of one path.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    /// Sequence number of the first.
    pub(super) start: u32,
    pub(super) length: u32,
    pub(super) slot: Slot,
}

impl Segment {
    fn overlaps(&self, start: u32, length: u32) -> bool {
        start.wrapping_sub(self.start) < self.length || self.start.wrapping_sub(start) < length
    }
}

impl Segments {
    /// How far a sequence number is behind the first segment's, below it if negative.
    fn distance(&self, sequence: u32) -> i32 {
        let base = self.in_order.front().map_or(sequence, |first| first.start);
        sequence.wrapping_sub(base) as i32
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.in_order.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Segment> + '_ {
        self.in_order.iter().copied()
    }

    pub(super) fn add(&mut self, segment: Segment) {
        self.longest = self.longest.max(segment.length);
        let end = segment.start.wrapping_add(segment.length);
        if self.in_order.is_empty() || is_behind(end, self.end) {
            self.end = end;
        }
        let distance = self.distance(segment.start);
        let is_last = self
            .in_order
            .back()
            .is_none_or(|last| self.distance(last.start) <= distance);
        if is_last {
            self.in_order.push_back(segment);
        } else {
            let at = self
                .in_order
                .partition_point(|other| self.distance(other.start) <= distance);
            self.in_order.insert(at, segment);
        }
    }

    pub(super) fn remove(&mut self, slot: Slot, start: u32) {
        let distance = self.distance(start);
        let from = self
            .in_order
            .partition_point(|other| self.distance(other.start) < distance);
        let is_it = |segment: &Segment| segment.slot == slot;
        let near = self
            .in_order
            .iter()
            .skip(from)
            .take_while(|segment| segment.start == start)
            .position(is_it);
        // Numbers more than half of their range apart have no order.
        let at = near
            .map(|at| from + at)
            .or_else(|| self.in_order.iter().position(is_it));
        if let Some(at) = at {
            self.in_order.remove(at);
        }
    }

    /// The numbers of the segments that may have bytes in common with one.
    fn near(&self, start: u32, length: u32) -> Range<usize> {
        if !is_behind(self.end, start) {
            // Most segments bring new bytes.
            return 0..0;
        }
        let distance = i64::from(self.distance(start));
        let first = distance - i64::from(self.longest);
        let end = distance + i64::from(length);
        let place = |segment: &Segment| i64::from(self.distance(segment.start));
        let from = match self.in_order.front() {
            // Of few, the first is searched for one by one.
            Some(oldest) if place(oldest) > first => 0,
            _ => self
                .in_order
                .partition_point(|segment| place(segment) <= first),
        };
        let near = self.in_order.iter().skip(from).take(SEARCH_MAX);
        from..from + near.take_while(|segment| place(segment) < end).count()
    }
}

/// The segments of a flow that have bytes in common with one, in order.
#[inline]
pub(super) fn around(
    segments: Option<&Segments>,
    start: u32,
    length: u32,
) -> impl Iterator<Item = Slot> + '_ {
    let mut near = segments.map_or(0..0, |segments| segments.near(start, length));
    iter::from_fn(move || {
        let in_order = &segments?.in_order;
        near.find_map(|at| {
            let segment = in_order.get(at)?;
            segment.overlaps(start, length).then_some(segment.slot)
        })
    })
}

/// Whether a sequence number comes behind another.
fn is_behind(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) > 0
}
