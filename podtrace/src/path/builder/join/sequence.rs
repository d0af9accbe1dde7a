//! Joins TCP segments by the bytes of the stream that they carry: a packet may be split and
//! its pieces merged, on its way through interfaces that segment and interfaces that gather.
use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, Hasher as _},
    iter,
    ops::Range,
};

use foldhash::fast::RandomState;

use super::{Join, Joined, Piece, Sighting, index::Slot, key::can_come_from};
use crate::{
    map::Map,
    packet::{Packet, PacketKey, Transport},
    path::builder::open::{Open, OpenPaths},
    world::World,
};

/// Upper bound of the paths of one flow that are followed at the same time; beyond it the
/// oldest is given up, which keeps every search and every insertion short.
pub(in crate::path::builder) const FLOW_MAX: usize = 4096;
/// Upper bound of the paths that one segment is compared with.
const SEARCH_MAX: usize = 256;

/// The paths of TCP segments with a payload.
#[derive(Default)]
pub(super) struct BySequence {
    hasher: RandomState,
    flows: Map<u64, Flow>,
}

/// The open paths of one direction of a connection.
#[derive(Default)]
struct Flow {
    /// Ordered by their sequence numbers; those with the same by age.
    segments: VecDeque<Segment>,
    /// Bytes of the longest that it has had.
    longest: u32,
    /// The number behind the last byte that it has had.
    end: u32,
}

#[derive(Clone, Copy)]
struct Segment {
    start: u32,
    length: u32,
    slot: Slot,
}

impl Segment {
    fn overlaps(&self, start: u32, length: u32) -> bool {
        start.wrapping_sub(self.start) < self.length || self.start.wrapping_sub(start) < length
    }
}

/// Sequence number of a TCP segment's first byte, and the number of its bytes.
fn sequence_of(packet: &Packet) -> Option<(u32, u32)> {
    match packet.transport {
        Transport::Tcp {
            sequence, payload, ..
        } if payload > 0 => Some((sequence, payload)),
        _ => None,
    }
}

impl Flow {
    /// How far a sequence number is behind the first segment's, below it if negative.
    fn distance(&self, sequence: u32) -> i32 {
        let base = self.segments.front().map_or(sequence, |first| first.start);
        sequence.wrapping_sub(base) as i32
    }

    fn add(&mut self, segment: Segment) {
        self.longest = self.longest.max(segment.length);
        let end = segment.start.wrapping_add(segment.length);
        if self.segments.is_empty() || is_behind(end, self.end) {
            self.end = end;
        }
        let distance = self.distance(segment.start);
        let is_last = self
            .segments
            .back()
            .is_none_or(|last| self.distance(last.start) <= distance);
        if is_last {
            self.segments.push_back(segment);
        } else {
            let at = self
                .segments
                .partition_point(|other| self.distance(other.start) <= distance);
            self.segments.insert(at, segment);
        }
    }

    fn remove(&mut self, slot: Slot, start: u32) {
        let distance = self.distance(start);
        let from = self
            .segments
            .partition_point(|other| self.distance(other.start) < distance);
        let is_it = |segment: &Segment| segment.slot == slot;
        let near = self
            .segments
            .iter()
            .skip(from)
            .take_while(|segment| segment.start == start)
            .position(is_it);
        // Numbers more than half of their range apart have no order.
        let at = near
            .map(|at| from + at)
            .or_else(|| self.segments.iter().position(is_it));
        if let Some(at) = at {
            self.segments.remove(at);
        }
    }

    /// The segments that have bytes in common with one, in order.
    fn around(&self, start: u32, length: u32) -> impl Iterator<Item = Slot> + '_ {
        let distance = i64::from(self.distance(start));
        let (first, end) = (
            distance - i64::from(self.longest),
            distance + i64::from(length),
        );
        let place = |segment: &Segment| i64::from(self.distance(segment.start));
        let from = if is_behind(self.end, start) {
            let before = |segment: &Segment| place(segment) <= first;
            self.segments.partition_point(before)
        } else {
            // New bytes, as most are.
            self.segments.len()
        };
        let near = self.segments.iter().skip(from).take(SEARCH_MAX);
        near.take_while(move |segment| place(segment) < end)
            .filter(move |segment| segment.overlaps(start, length))
            .map(|segment| segment.slot)
    }
}

/// Whether a sequence number comes behind another.
fn is_behind(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) > 0
}

impl BySequence {
    fn hash(&self, key: &PacketKey) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for word in key.ends() {
            hasher.write_u64(word);
        }
        hasher.finish()
    }
}

impl Join for BySequence {
    fn find(&self, seen: &Sighting<'_>, open: &mut OpenPaths, world: &World) -> Option<Joined> {
        let (sequence, length) = sequence_of(&seen.event.packet)?;
        let flow = self.flows.get(&self.hash(&seen.key))?;
        let near: Vec<_> = flow.around(sequence, length).collect();
        if near.is_empty() {
            return None;
        }
        let mut left: Vec<_> = iter::once(0..length).collect();
        let mut pieces = Vec::new();
        // A path that was silent for long is more likely lost than late.
        for wants_fresh in [true, false] {
            for slot in &near {
                let Some(path) = open
                    .get(*slot)
                    .filter(|open| open.is_fresh(seen.event) == wants_fresh)
                else {
                    continue;
                };
                if path.is_over(seen.event.ts_ns, seen.timeout_ns)
                    || !can_come_from(&path.path, seen.event, world)
                {
                    continue;
                }
                take(path, *slot, sequence, &mut left, &mut pieces, seen);
            }
        }
        (!pieces.is_empty()).then_some(Joined::Pieces { pieces, left })
    }

    fn begun(&mut self, slot: Slot, open: &mut OpenPaths) -> Option<Slot> {
        let path = open.get(slot)?;
        let (start, length) = sequence_of(&path.path.packet)?;
        let hash = self.hash(&path.key);
        let flow = self.flows.entry(hash).or_default();
        let id = |slot: Slot| open.get(slot).map(|open| open.path.id);
        let first = flow.around(start, length).filter_map(id).min();
        flow.add(Segment {
            start,
            length,
            slot,
        });
        let is_full = flow.segments.len() > FLOW_MAX;
        let oldest = is_full.then(|| {
            let age = |segment: &&Segment| open.get(segment.slot).map(|open| open.path.id);
            flow.segments
                .iter()
                .min_by_key(age)
                .map(|segment| segment.slot)
        });
        let path = open.get_mut(slot)?;
        path.flow = Some(hash);
        path.path.copy_of = path.path.copy_of.or(first);
        oldest.flatten()
    }

    fn ended(&mut self, slot: Slot, open: &Open) {
        let (Some(hash), Some((start, _))) = (open.flow, sequence_of(&open.path.packet)) else {
            return;
        };
        if let Some(flow) = self.flows.get_mut(&hash) {
            flow.remove(slot, start);
            if flow.segments.is_empty() {
                self.flows.remove(&hash);
            }
        }
    }
}

/// Takes from the bytes that are left of an event what belongs to a path there.
fn take(
    open: &Open,
    slot: Slot,
    sequence: u32,
    left: &mut Vec<Range<u32>>,
    pieces: &mut Vec<Piece>,
    seen: &Sighting<'_>,
) {
    let Some((start, length)) = sequence_of(&open.path.packet) else {
        return;
    };
    // Where the path's first byte is in the event, and the other way round.
    let offset = i64::from(start.wrapping_sub(sequence) as i32);
    let at = open.hop_at(seen.event);
    let mut rest = Vec::new();
    for range in left.drain(..) {
        let own = i64::from(range.start) - offset..i64::from(range.end) - offset;
        let own = own.start.clamp(0, length.into()) as u32..own.end.clamp(0, length.into()) as u32;
        let Some(own) = (!own.is_empty()).then(|| open.missing(at, own)).flatten() else {
            rest.push(range);
            continue;
        };
        let taken = (i64::from(own.start) + offset) as u32..(i64::from(own.end) + offset) as u32;
        rest.extend(
            [range.start..taken.start, taken.end..range.end]
                .into_iter()
                .filter(|range| !range.is_empty()),
        );
        pieces.push(Piece { slot, bytes: own });
    }
    *left = rest;
}
