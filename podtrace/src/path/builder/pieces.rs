//! Paths of packets that go on in pieces.
use std::ops::Range;

use podtrace_ebpf::record::Direction;

use super::{
    Builder,
    join::{Piece, Sighting, index::Slot},
    open::Open,
    parts::{Bytes, Parts},
    transition::Transition,
};
use crate::{
    model::event::Event,
    packet::{Packet, Transport},
    path::{Hop, Outcome, Path},
    world::World,
};

impl Builder {
    /// Adds an event to the paths that its bytes belong to, and begins paths with those that
    /// belong to none; returns the number of the first.
    pub(super) fn add_pieces(
        &mut self,
        seen: &Sighting<'_>,
        pieces: Vec<Piece>,
        left: Vec<Range<u32>>,
        world: &World,
    ) -> u64 {
        for piece in &pieces {
            self.take_up(piece.slot);
        }
        let first = pieces.first().map_or(0, |piece| self.id(piece.slot));
        for Piece { slot, bytes } in pieces {
            self.add_hop(slot, seen.event, Some(bytes), world);
        }
        for bytes in left {
            let slot = self.begin(seen, part(&seen.event.packet, &bytes));
            self.add_hop(slot, seen.event, None, world);
        }
        self.make_room();
        first
    }

    /// Ends what did not go on with the other pieces of a packet, as a packet of its own;
    /// returns the outcome of those. `outcome`: of what did not go on.
    pub(super) fn split(&mut self, slot: Slot, outcome: Outcome) -> Outcome {
        let Some(open) = self.open.get(slot) else {
            return outcome;
        };
        let Some((parts, (at, end))) = open
            .parts
            .as_ref()
            .and_then(|parts| Some((parts, parts.end?)))
        else {
            return outcome;
        };
        let mut rests = Vec::new();
        let mut start = 0;
        while let Some(missing) = parts.missing(at, start..parts.length) {
            start = missing.end;
            rests.push(rest(&open.path, parts, &missing, outcome));
        }
        for mut path in rests {
            path.id = self.next_id;
            self.next_id += 1;
            path.incomplete |= self.may_lack(&path);
            self.finished.push(Box::new(path));
        }
        end
    }
}

/// The path of bytes that the others left behind.
fn rest(whole: &Path, parts: &Parts, bytes: &Bytes, outcome: Outcome) -> Path {
    let hops = whole.hops.iter().enumerate();
    let hops = hops.filter(|(number, _)| parts.has_seen(*number, bytes));
    Path {
        packet: part(&whole.packet, bytes),
        hops: hops.map(|(_, hop)| hop.clone()).collect(),
        outcome,
        gso_segments: 0,
        segments: Vec::new(),
        part_of: Some(whole.id),
        ..whole.clone()
    }
}

/// A packet with some of the bytes of another's payload.
fn part(packet: &Packet, bytes: &Range<u32>) -> Packet {
    let mut part = packet.clone();
    if let Transport::Tcp {
        sequence, payload, ..
    } = &mut part.transport
    {
        let len = bytes.end - bytes.start;
        part.length = part.length.saturating_sub(*payload - len.min(*payload));
        *sequence = sequence.wrapping_add(bytes.start);
        *payload = len;
    }
    part
}

impl Open {
    /// Adds a hop, or what a hop has seen; returns its number.
    pub(super) fn add(&mut self, event: &Event, bytes: Option<Bytes>) -> usize {
        let hops = self.path.hops.len();
        let at = match (&bytes, &self.parts) {
            (None, None) if has_same_owner(&self.path.hops, event) => return hops,
            (None, None) => hops,
            _ => self.hop_at(event),
        };
        if at == hops {
            self.push(Hop::of(event));
        }
        let length = self.path.packet.payload();
        let whole = 0..length;
        let bytes = bytes.unwrap_or_else(|| whole.clone());
        if self.parts.is_none() && bytes != whole {
            self.parts = Some(Box::new(Parts::new(length, hops)));
        }
        if let Some(parts) = &mut self.parts {
            parts.cover(at, bytes);
        }
        at
    }

    /// What an event means where only a part of the packet has come so far: an end waits for
    /// the rest.
    pub(super) fn unless_in_pieces(&mut self, at: usize, transition: Transition) -> Transition {
        let Some(parts) = &mut self.parts else {
            return transition;
        };
        let end = match transition {
            Transition::Arrived | Transition::AwaitsSocket => Outcome::Delivered,
            Transition::End(outcome) => outcome,
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
