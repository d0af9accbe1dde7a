//! UDP datagrams that were sent one by one and that the kernel has merged on their way (GRO).
use std::ops::Range;

use super::{
    Builder,
    join::{Joined, Observation, Piece, can_come_from, index::Slot},
    open::Open,
};
use crate::{
    packet::{Transport, tag_of},
    world::World,
};

/// A packet that was merged. All its datagrams have one length, but the last may be shorter.
struct Merged {
    /// The number of datagrams.
    count: u32,
    /// Bytes of all payloads, and of the headers before the first.
    payload: u32,
    headers: u32,
    /// Identification of the first: each has the next one, or all have the same.
    id: u32,
}

/// A datagram that may be one of them.
struct Candidate {
    slot: Slot,
    /// Number of its path: they were sent in this order.
    path: u64,
    id: u32,
    payload: u32,
    hash: u32,
}

impl Merged {
    fn of(seen: &Observation<'_>) -> Option<Self> {
        let packet = &seen.event.packet;
        let Transport::Udp { payload, .. } = packet.transport else {
            return None;
        };
        let count = u32::from(seen.event.gso_segments);
        (count > 1 && payload >= count).then(|| Self {
            count,
            payload,
            headers: packet.length.saturating_sub(payload),
            id: seen.key.id(),
        })
    }

    /// The bytes of a datagram, if the first has that length.
    fn bytes_of(&self, number: u32, first: u32) -> Range<u32> {
        let start = number.saturating_mul(first).min(self.payload);
        start..start.saturating_add(first).min(self.payload)
    }

    /// Whether a datagram may be the first, by its tag.
    fn may_begin(&self, tag: u32) -> bool {
        let longest = (self.payload - 1) / (self.count - 1);
        let lengths = self.payload.div_ceil(self.count)..=longest;
        let length = (tag ^ tag_of(self.id, 0)).rotate_right(16);
        lengths.contains(&length.wrapping_sub(self.headers))
    }

    /// Whether a datagram may be one of them, by its tag.
    fn may_have(&self, tag: u32, first: u32) -> bool {
        let last = self.bytes_of(self.count - 1, first).len() as u32;
        [first, last].into_iter().any(|payload| {
            let id = tag ^ tag_of(0, payload.saturating_add(self.headers));
            id <= 0xffff && self.number_of(id) < self.count
        })
    }

    /// The number of the datagram with an identification.
    fn number_of(&self, id: u32) -> u32 {
        id.wrapping_sub(self.id) & 0xffff
    }
}

impl Builder {
    /// The paths of the datagrams that the event's packet was merged from. What none of them has
    /// is left.
    #[cold]
    pub(super) fn find_merged(&mut self, seen: &Observation<'_>, world: &World) -> Option<Joined> {
        let event = seen.event;
        let merged = Merged::of(seen)?;
        let firsts = self.datagrams(&|tag| merged.may_begin(tag), seen, world);
        let is_alike = |first: &&Candidate| first.hash == event.packet.payload_hash;
        let alike = firsts.iter().find(is_alike);
        let first = alike.or(firsts.first())?;
        let may_have = |tag| merged.may_have(tag, first.payload);
        let others = self.datagrams(&may_have, seen, world);

        let bytes = |number| merged.bytes_of(number, first.payload);
        let mut places: Vec<Option<Slot>> = vec![None; merged.count as usize];
        let (mut next, mut is_sure) = (0, alike.is_some() || firsts.len() == 1);
        for other in others.iter().filter(|other| other.path >= first.path) {
            // Nothing but their order tells those with one identification apart.
            let number = match merged.number_of(other.id) {
                0 => next,
                number => number,
            };
            let fits = bytes(number).len() == other.payload as usize;
            match places.get_mut(number as usize) {
                Some(place @ None) if fits => {
                    *place = Some(other.slot);
                    next = number + 1;
                }
                _ => is_sure &= other.id != merged.id,
            }
        }
        let (mut pieces, mut left) = (Vec::new(), Vec::new());
        for (number, place) in (0..).zip(places) {
            let Some(slot) = place else {
                left.push(bytes(number));
                continue;
            };
            if let Some(open) = self.open.get_mut(slot) {
                open.path.ambiguous |= !is_sure;
            }
            pieces.push(Piece {
                slot,
                bytes: 0..bytes(number).len() as u32,
                is_translated: false,
            });
        }
        (!pieces.is_empty()).then_some(Joined::Pieces { pieces, left })
    }

    /// The newest datagrams of the event's flow that its tap has not seen, in the order in which
    /// they were sent. `is_like`: by their tags.
    fn datagrams(
        &self,
        is_like: &dyn Fn(u32) -> bool,
        seen: &Observation<'_>,
        world: &World,
    ) -> Vec<Candidate> {
        let (event, ends) = (seen.event, seen.key.ends());
        let may_be = |open: &Open| {
            matches!(open.path.packet.transport, Transport::Udp { .. })
                && open.key.ends() == ends
                && open.path.gso_segments < 2
                && open.parts.is_none()
                && !open.has_passed(event)
                && open.may_go_on(event.ts_ns, seen.timeout_ns)
                && can_come_from(&open.path, seen, world)
        };
        let begun = self.refusals.begun.find_by(is_like);
        let found = begun.filter_map(|begun| {
            let open = self.open.get(begun.slot)?;
            let is_it = open.path.id == begun.id && may_be(open);
            is_it.then(|| Candidate {
                slot: begun.slot,
                path: begun.id,
                id: open.key.id(),
                payload: open.path.packet.payload(),
                hash: open.path.packet.payload_hash,
            })
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|candidate| candidate.path);
        // One that was translated began with other ends, too.
        found.dedup_by_key(|candidate| candidate.path);
        found
    }
}
