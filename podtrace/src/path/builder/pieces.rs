//! Paths of packets that continue in pieces.
use std::ops::Range;

use podtrace_ebpf::record::Direction;

use super::{
    Builder,
    join::{Observation, Piece, index::Slot},
    open::Open,
    parts::{Bytes, Parts},
    transition::Transition,
};
use crate::{
    model::event::Event,
    packet::{Packet, Transport},
    path::{Hop, Outcome, PartOf, Path, Translation},
    world::World,
};

impl Builder {
    /// Adds an event to the path that its bytes belong to; returns the path's number.
    pub(super) fn add_piece(&mut self, seen: &Observation<'_>, piece: Piece, world: &World) -> u64 {
        self.take_up(piece.slot);
        let id = self.id(piece.slot);
        self.add_bytes(seen, piece, world);
        self.make_room();
        id
    }

    fn add_bytes(&mut self, seen: &Observation<'_>, piece: Piece, world: &World) {
        if piece.is_translated
            && let Some(key) = self.open.get(piece.slot).map(|open| open.key)
        {
            self.translate(piece.slot, seen, key.with_ends_of(&seen.key), world);
        }
        self.add_hop(piece.slot, seen.event, Some(piece.bytes), world);
    }

    /// Adds an event to the paths that its bytes belong to, and begins paths with the bytes
    /// that belong to none; returns the number of the first path.
    pub(super) fn add_pieces(
        &mut self,
        seen: &Observation<'_>,
        pieces: Vec<Piece>,
        left: Vec<Range<u32>>,
        world: &World,
    ) -> u64 {
        for piece in &pieces {
            self.take_up(piece.slot);
        }
        let first = pieces.first().map_or(0, |piece| self.id(piece.slot));
        for piece in pieces.iter().skip(1) {
            self.further.push(self.id(piece.slot));
        }
        for piece in pieces {
            self.add_bytes(seen, piece, world);
        }
        for bytes in left {
            let slot = self.begin(seen, part(&seen.event.packet, &bytes), world);
            self.further.push(self.id(slot));
            self.add_hop(slot, seen.event, None, world);
        }
        self.make_room();
        first
    }

    /// Splits off the bytes that did not continue with the others into paths of their own,
    /// which end with `outcome`; returns the outcome of the rest. Where all are lost, those that
    /// came furthest are the rest.
    pub(super) fn split(&mut self, slot: Slot, outcome: Outcome) -> Outcome {
        let Some(open) = self.open.get(slot) else {
            return outcome;
        };
        let furthest = open.path.hops.len().checked_sub(1);
        let furthest = furthest.filter(|_| outcome == Outcome::NotSeenFurther);
        let Some((parts, (at, end))) = open.parts.as_ref().and_then(|parts| {
            let end = parts.end.or_else(|| Some((furthest?, outcome)));
            Some((parts, end?))
        }) else {
            return outcome;
        };
        // Who reassembles a packet drops all of it.
        if open.path.in_fragments {
            return outcome;
        }
        let lost = parts.lost(at);
        let rests = lost
            .iter()
            .map(|bytes| rest(&open.path, parts, bytes, (at, outcome)));
        for mut path in rests.collect::<Vec<_>>() {
            path.id = self.next_id;
            self.next_id += 1;
            path.incomplete |= self.may_lack(&path);
            self.finished.push(Box::new(path));
        }
        match end {
            // More may have come than was seen.
            Outcome::NoSocket | Outcome::NoReceiver if outcome != Outcome::NotSeenFurther => {
                outcome
            }
            end => end,
        }
    }
}

/// A path of bytes that the others left behind. `end`: the hop that the others came to, and how a
/// path ends that did not.
fn rest(whole: &Path, parts: &Parts, bytes: &Bytes, end: (usize, Outcome)) -> Path {
    let numbers = 0..whole.hops.len();
    let kept: Vec<_> = numbers.filter(|hop| parts.has_seen(*hop, bytes)).collect();
    let hops = kept.iter().filter_map(|hop| whole.hops.get(*hop));
    let (at, outcome) = end;
    let last = kept.last().and_then(|hop| whole.hops.get(*hop));
    let outcome = match (whole.hops.get(at), last, outcome) {
        // A socket took others there.
        (Some(at), Some(last), Outcome::NotSeenFurther | Outcome::Delivered)
            if at.direction == Direction::Socket && at.interface == last.interface =>
        {
            Outcome::NoSocket
        }
        _ => outcome,
    };
    let translations = whole.translations.iter().filter_map(|translation| {
        let hop = kept.iter().position(|hop| *hop == translation.hop)?;
        Some(Translation {
            hop,
            ..*translation
        })
    });
    Path {
        packet: part(&whole.packet, bytes),
        hops: hops.cloned().collect(),
        translations: translations.collect(),
        outcome,
        gso_segments: 0,
        segments: Vec::new(),
        // What was said before was of the whole.
        late_of: None,
        part_of: Some(PartOf {
            packet: whole.id,
            segments: lost_of(whole, parts, bytes),
        }),
        ..whole.clone()
    }
}

/// How many segments these bytes are, and how many the packet has.
fn lost_of(whole: &Path, parts: &Parts, bytes: &Bytes) -> Option<(u16, u16)> {
    let lost = parts.segments_in(bytes)?.try_into().ok()?;
    Some((lost, whole.gso_segments))
}

/// A packet with some of the bytes of another's payload.
fn part(packet: &Packet, bytes: &Range<u32>) -> Packet {
    let mut part = packet.clone();
    let len = bytes.end - bytes.start;
    part.length = part
        .length
        .saturating_sub(packet.payload().saturating_sub(len));
    match &mut part.transport {
        Transport::Tcp {
            sequence, payload, ..
        } => {
            *sequence = sequence.wrapping_add(bytes.start);
            *payload = len;
        }
        Transport::Udp { payload, .. } => *payload = len,
        _ => {}
    }
    part
}

impl Open {
    /// Adds a hop, or bytes to a hop; returns the hop's number.
    #[inline]
    pub(super) fn add(&mut self, event: &Event, bytes: Option<Bytes>) -> usize {
        if bytes.is_some() || self.parts.is_some() {
            return self.add_bytes(event, bytes);
        }
        let at = self.path.hops.len();
        if !has_same_owner(&self.path.hops, event) {
            self.push(Hop::of(event));
        }
        at
    }

    #[inline(never)]
    fn add_bytes(&mut self, event: &Event, bytes: Option<Bytes>) -> usize {
        let hops = self.path.hops.len();
        let at = self.hop_at(event);
        if at == hops {
            self.push(Hop::of(event));
        }
        // Nothing else cuts a packet that may be fragmented.
        self.path.in_fragments |= event.packet.is_fragment() && self.path.may_be_fragmented();
        let length = self.path.divisible();
        let whole = 0..length;
        let bytes = bytes.unwrap_or_else(|| whole.clone());
        if self.parts.is_none() && bytes != whole {
            self.parts = Some(Box::new(Parts::new(length, hops)));
        }
        if let Some(parts) = &mut self.parts {
            let (own, all) = (event.gso_segments.max(1), self.path.gso_segments);
            parts.learn_size(&bytes, own.into(), all.into());
            parts.cover(at, bytes);
        }
        at
    }

    /// The transition if only a part of the packet has come so far: an end waits for the rest.
    pub(super) fn unless_in_pieces(&mut self, at: usize, transition: Transition) -> Transition {
        let Some(parts) = &mut self.parts else {
            return transition;
        };
        let end = match transition {
            Transition::End(outcome) => outcome,
            // Until a socket has taken pieces.
            Transition::AwaitsSocket => Outcome::NoSocket,
            Transition::AwaitsMember => Outcome::NoReceiver,
            Transition::MayHaveMember => Outcome::Unknown,
            transition if transition.is_arrival() => Outcome::Delivered,
            _ => return transition,
        };
        if parts.is_whole(at) {
            return transition;
        }
        parts.end = Some((at, end));
        Transition::Onward
    }
}

/// Whether the event is a copy for a socket whose owner has received one already: one hop
/// stands for all of them.
fn has_same_owner(hops: &[Hop], event: &Event) -> bool {
    event.direction == Direction::Socket
        && hops.iter().any(|hop| {
            let key = (hop.interface, hop.direction, hop.cgroup);
            key == (event.interface, event.direction, event.cgroup)
        })
}
