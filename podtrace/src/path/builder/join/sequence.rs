//! Joins TCP segments by the bytes of the stream that they carry: on its way, a packet may be
//! split by one interface and its pieces merged by another, before its ends are translated and
//! behind.
mod ended;
mod segments;

use std::{iter, ops::Range};

use super::{
    Join, Joined, Observation, Piece,
    content::{common_netns, may_be_forwarded, shows_translation},
    flow::Flow,
    index::Slot,
    key::part_can_come_from,
    known::{Known, Scope},
};
use crate::{
    map::HashedMap,
    model::event::Event,
    packet::{Packet, Transport},
    path::{
        Path,
        builder::open::{Open, OpenPaths},
    },
    world::World,
};
use ended::EndedSegments;
#[cfg(test)]
pub(crate) use ended::{ENDED_BYTES, ENDED_FLOW, ENDED_MAX};
use segments::{Segment, Segments, around};

/// Upper bound of the paths of one flow that are followed at the same time; beyond it the
/// oldest is given up, which keeps every search and every insertion short.
pub(in crate::path::builder) const FLOW_MAX: usize = 4096;

/// The paths of TCP segments with a payload.
#[derive(Default)]
pub(super) struct BySequence {
    flows: HashedMap<Flow, Segments>,
    ended: EndedSegments,
}

/// A path that some bytes of an event may belong to.
struct Candidate {
    slot: Slot,
    rank: Rank,
    /// Whether its ends were translated to those of the event.
    is_translated: bool,
}

/// How unlikely a candidate is, compared field by field.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Its numbers are not those of the event: one of them was sent again.
    has_other_id: bool,
    /// An answer, or a kernel, has said that it goes no further.
    is_stopped: bool,
    /// The tap has seen bytes of it that come behind: what is missing was lost before.
    is_overtaken: bool,
    /// A path that was silent for long is more likely lost than late.
    is_stale: bool,
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

impl BySequence {
    /// Remembers a path that has ended, in case its bytes are sent again.
    #[inline]
    pub(super) fn note_end(&mut self, open: &Open, known: &Known) {
        let path = &open.path;
        let Some(flow) = open.flow else {
            return;
        };
        let flow = match path.packet.ends().filter(|_| !path.translations.is_empty()) {
            Some(first) => known.flow(&first),
            None => flow,
        };
        self.ended.add(path, flow);
    }

    /// Links a path that begins with the event to an ended one with some of the same bytes.
    #[inline]
    pub(super) fn link(&self, open: &mut Open, event: &Event) {
        let Some(flow) = open.flow else {
            return;
        };
        let path = &mut open.path;
        let first = self.ended.first_of(&path.packet, flow, event);
        path.copy_of = path.copy_of.into_iter().chain(first).min();
    }

    /// The open paths of a flow that have bytes in common with an event.
    fn near<'a>(
        &'a self,
        flow: Flow,
        event: &'a Event,
        open: &'a OpenPaths,
    ) -> impl Iterator<Item = (Slot, &'a Open)> {
        let (start, length) = sequence_of(&event.packet).unwrap_or_default();
        let slots = around(self.flows.get(&flow), start, length);
        slots.filter_map(|slot| Some((slot, open.get(slot)?)))
    }

    /// The paths that the event's bytes may belong to, whose packets have its ends.
    fn untranslated<'a>(
        &'a self,
        seen: &'a Observation<'_>,
        open: &'a OpenPaths,
        world: &'a World,
        known: &Known,
    ) -> impl Iterator<Item = Candidate> {
        self.near(known.flow_of(&seen.key), seen.event, open)
            .filter(|(_, path)| {
                path.may_go_on(seen.event.ts_ns, seen.timeout_ns)
                    && part_can_come_from(&path.path, seen, world)
            })
            .map(|(slot, path)| Candidate {
                slot,
                rank: rank(path, seen.event),
                is_translated: false,
            })
    }

    /// Adds those whose packets get its ends here, or had them when this tap saw other pieces
    /// of them, by a translation that is known.
    #[cold]
    fn add_translated(
        &self,
        candidates: &mut Vec<Candidate>,
        seen: &Observation<'_>,
        open: &OpenPaths,
        world: &World,
        known: &Known,
    ) {
        let event = seen.event;
        let point = world.tap_points.get(event.interface);
        let scope = point.and_then(|point| Scope::of(point.netns(), &event.packet));
        let Some(scope) = scope else {
            return;
        };
        let flow = known.flow_of(&seen.key);
        let is_timely = |open: &Open| open.may_go_on(event.ts_ns, seen.timeout_ns);
        let may_become = shows_translation(event, world);
        let becomes = |open: &Open| {
            may_become && common_netns(open, seen, world).is_some() && may_be_forwarded(open, seen)
        };
        let was = |open: &Open| was_seen_before_translation(&open.path, event);
        let mut add = |flows: Vec<Flow>, is_translated, fits: &dyn Fn(&Open) -> bool| {
            for other in flows {
                let near = self.near(other, event, open);
                let fitting = near.filter(|(_, open)| is_timely(open) && fits(open));
                candidates.extend(fitting.map(|(slot, open)| Candidate {
                    slot,
                    rank: rank(open, event),
                    is_translated,
                }));
            }
        };
        add(known.origins(scope, flow, event.ts_ns), true, &becomes);
        add(known.targets(scope, flow, event.ts_ns), false, &was);
    }
}

impl Join for BySequence {
    fn find(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
        known: &Known,
    ) -> Option<Joined> {
        let (sequence, length) = sequence_of(&seen.event.packet)?;
        let mut candidates = {
            let mut own = self.untranslated(seen, open, world, known);
            let (first, second) = (own.next(), own.next());
            if let (Some(only), None) = (&first, &second)
                && let Some(joined) = all_of(only, seen.event, open)
            {
                return Some(joined);
            }
            first.into_iter().chain(second).chain(own).collect()
        };
        if !known.is_empty() {
            self.add_translated(&mut candidates, seen, open, world, known);
        }
        // What is equally likely is of the packet that came further: the other would skip a tap.
        let hops = |candidate: &Candidate| {
            let path = open.get(candidate.slot);
            path.map_or(0, |path| hops_of(path, seen.event))
        };
        candidates.sort_by(|one, other| {
            let by_rank = one.rank.cmp(&other.rank);
            by_rank.then_with(|| hops(other).cmp(&hops(one)))
        });
        let mut left: Vec<_> = iter::once(0..length).collect();
        let mut pieces = Vec::new();
        for candidate in candidates {
            if let Some(path) = open.get(candidate.slot) {
                take(path, &candidate, sequence, &mut left, &mut pieces, seen);
            }
        }
        (!pieces.is_empty()).then_some(Joined::Pieces { pieces, left })
    }

    fn insert(&mut self, slot: Slot, open: &mut OpenPaths, known: &Known) -> Option<Slot> {
        let path = open.get(slot)?;
        let (start, length) = sequence_of(&path.path.packet)?;
        let (flow, own) = (known.flow_of(&path.key), path.path.id);
        let segments = self.flows.entry(flow).or_default();
        let id = |slot: Slot| open.get(slot).map(|open| open.path.id);
        let earlier = around(Some(segments), start, length).filter_map(id);
        let first = earlier.filter(|id| *id < own).min();
        segments.add(Segment {
            start,
            length,
            slot,
        });
        let is_full = segments.len() > FLOW_MAX;
        let oldest = is_full.then(|| {
            let slots = segments.iter().map(|segment| segment.slot);
            slots.min_by_key(|slot| id(*slot))
        });
        let path = open.get_mut(slot)?;
        path.flow = Some(flow);
        path.path.copy_of = path.path.copy_of.or(first);
        oldest.flatten()
    }

    fn remove(&mut self, slot: Slot, open: &Open) {
        let (Some(flow), Some((start, _))) = (open.flow, sequence_of(&open.path.packet)) else {
            return;
        };
        if let Some(segments) = self.flows.get_mut(&flow) {
            segments.remove(slot, start);
            if segments.is_empty() {
                self.flows.remove(&flow);
            }
        }
    }
}

/// Whether the event's tap has seen other pieces of the packet before a translation, with the
/// ends that the event has.
fn was_seen_before_translation(path: &Path, event: &Event) -> bool {
    let hop = path.hops.iter().position(|hop| hop.is_at(event));
    let later = hop.and_then(|hop| {
        let mut translations = path.translations.iter();
        translations.find(|translation| translation.hop > hop)
    });
    later.is_some_and(|translation| event.packet.ends() == Some(translation.before))
}

/// Where the event's first byte is in the payload of the path's packet.
fn offset_in(path: &Path, event: &Event) -> Option<i64> {
    let ((start, _), (sequence, _)) = sequence_of(&path.packet).zip(sequence_of(&event.packet))?;
    Some((sequence.wrapping_sub(start) as i32).into())
}

/// How many hops of a path have seen any of the event's bytes.
fn hops_of(open: &Open, event: &Event) -> usize {
    let hops = open.path.hops.len();
    let Some(parts) = &open.parts else {
        return hops;
    };
    let start = offset_in(&open.path, event).unwrap_or_default();
    let end = start + i64::from(event.packet.payload());
    let bytes = start.clamp(0, u32::MAX.into()) as u32..end.clamp(0, u32::MAX.into()) as u32;
    (0..hops).filter(|hop| parts.has_seen(*hop, &bytes)).count()
}

fn rank(open: &Open, event: &Event) -> Rank {
    let offset = offset_in(&open.path, event).unwrap_or_default();
    let behind = offset.clamp(0, u32::MAX.into()) as u32..u32::MAX;
    let parts = open.parts.as_ref();
    Rank {
        has_other_id: !may_have_id(&open.path, event, offset),
        is_stopped: open.is_stopped(),
        is_overtaken: parts.is_some_and(|parts| parts.has_seen(open.hop_at(event), &behind)),
        is_stale: !open.is_fresh(event),
    }
}

/// Whether the IPv4 identifications agree with one packet being a part of the other: each
/// segment has the next number, or all have the same (RFC 6864 lets both).
fn may_have_id(path: &Path, event: &Event, offset: i64) -> bool {
    let ids = path.packet.ipv4_id().zip(event.packet.ipv4_id());
    let Some((whole, part)) = ids else {
        return true;
    };
    let (distance, later, segments) = if offset >= 0 {
        (part.wrapping_sub(whole), &event.packet, event.gso_segments)
    } else {
        (whole.wrapping_sub(part), &path.packet, path.gso_segments)
    };
    let size = segment_size(later, segments);
    // The last segment may be shorter than those before it.
    let size = match path.gso_segments {
        2.. => size.max(segment_size(&path.packet, path.gso_segments)),
        _ => size,
    };
    let before = offset.unsigned_abs().div_ceil(u64::from(size).max(1));
    distance == 0 || u64::from(distance) <= before
}

/// How large the segments of a packet are on average.
fn segment_size(packet: &Packet, segments: u16) -> u32 {
    packet.payload().div_ceil(u32::from(segments).max(1))
}

/// The event as a piece of the only candidate, if nothing speaks against it. Most pieces are
/// like this.
fn all_of(candidate: &Candidate, event: &Event, open: &OpenPaths) -> Option<Joined> {
    let path = open.get(candidate.slot)?;
    let start = u32::try_from(offset_in(&path.path, event)?).ok()?;
    let bytes = start..start.checked_add(event.packet.payload())?;
    let is_clear = candidate.rank == Rank::default()
        && bytes.end <= path.path.packet.payload()
        && path.missing(path.hop_at(event), bytes.clone()) == Some(bytes.clone());
    is_clear.then_some(Joined::Piece(Piece {
        slot: candidate.slot,
        bytes,
        is_translated: candidate.is_translated,
    }))
}

/// Takes the bytes that belong to the path out of the remaining bytes of the event.
fn take(
    open: &Open,
    candidate: &Candidate,
    sequence: u32,
    left: &mut Vec<Range<u32>>,
    pieces: &mut Vec<Piece>,
    seen: &Observation<'_>,
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
        pieces.push(Piece {
            slot: candidate.slot,
            bytes: own,
            is_translated: candidate.is_translated,
        });
    }
    *left = rest;
}
