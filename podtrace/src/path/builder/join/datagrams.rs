//! Joins UDP datagrams that a process sent as one packet (`UDP_SEGMENT` of udp(7)): the kernel
//! cuts it where an interface or the receiving socket takes no large ones, and may merge some of
//! them again (GRO).
use std::ops::Range;

use super::{
    EQUAL_MAX, Join, Joined, Observation, Piece,
    flow::Flow,
    index::{HashedIndex, Slot},
    key::part_can_come_from,
    known::Known,
};
use crate::{
    model::event::Event,
    packet::{Packet, Transport},
    path::builder::open::{Open, OpenPaths},
    world::World,
};

/// The paths of packets that hold several datagrams.
#[derive(Default)]
pub(super) struct ByDatagrams {
    index: HashedIndex<Flow>,
}

impl Join for ByDatagrams {
    fn find(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
        known: &Known,
    ) -> Option<Joined> {
        let event = seen.event;
        let is_udp = matches!(event.packet.transport, Transport::Udp { .. });
        if self.index.is_empty() || !is_udp {
            return None;
        }
        let slots = self.index.get(&known.flow_of(&seen.key)).take(EQUAL_MAX);
        let rivals = slots.filter_map(|slot| {
            let path = open.get(slot)?;
            let is_possible = path.may_go_on(event.ts_ns, seen.timeout_ns)
                && part_can_come_from(&path.path, seen, world);
            let bytes = bytes_in(path, event);
            // Nothing but the order tells packets without identification apart.
            let is_rival = bytes.is_some()
                || event.packet.ipv4_id().is_none() && next_missing(path, event).is_some();
            (is_possible && is_rival).then_some((slot, bytes))
        });
        let rivals: Vec<_> = rivals.collect();
        if rivals.len() > 1 {
            for (slot, _) in &rivals {
                if let Some(open) = open.get_mut(*slot) {
                    open.path.ambiguous = true;
                }
            }
        }
        rivals.into_iter().find_map(|(slot, bytes)| {
            Some(Joined::Piece(Piece {
                slot,
                bytes: bytes?,
                is_translated: false,
            }))
        })
    }

    #[inline]
    fn insert(&mut self, slot: Slot, open: &mut OpenPaths, known: &Known) -> Option<Slot> {
        let path = open.get_mut(slot)?;
        if !holds_several(&path.path.packet, path.path.gso_segments) {
            return None;
        }
        let flow = known.flow_of(&path.key);
        path.flow = Some(flow);
        let is_full = self.index.push(flow, slot) > EQUAL_MAX;
        is_full.then(|| self.index.get(&flow).next()).flatten()
    }

    #[inline]
    fn remove(&mut self, slot: Slot, open: &Open) {
        let path = &open.path;
        if let Some(flow) = open.flow
            && holds_several(&path.packet, path.gso_segments)
        {
            self.index.remove(&flow, slot);
        }
    }
}

fn holds_several(packet: &Packet, segments: u16) -> bool {
    segments > 1 && matches!(packet.transport, Transport::Udp { .. })
}

/// Where the first byte of the packet is that the event's tap has not seen.
fn next_missing(open: &Open, event: &Event) -> Option<u32> {
    let missing = open.missing(open.hop_at(event), 0..open.path.packet.payload())?;
    Some(missing.start)
}

/// Which bytes of the path's packet the event has, if it may be one of its datagrams or several
/// of them in a row, and the tap has not seen those yet. All have the length of the first, but
/// the last may be shorter. In IPv4 each has the next identification; else they come in order.
fn bytes_in(open: &Open, event: &Event) -> Option<Range<u32>> {
    let (path, at) = (&open.path, open.hop_at(event));
    let (total, length) = (path.packet.payload(), event.packet.payload());
    let (all, own) = (
        u32::from(path.gso_segments),
        u32::from(event.gso_segments.max(1)),
    );
    // Those before the event's, if these are the last.
    let before = all.checked_sub(own)?;
    let each = length / own;
    let ids = path.packet.ipv4_id().zip(event.packet.ipv4_id());
    let start = match ids.map(|(first, id)| u32::from(id.wrapping_sub(first))) {
        Some(number) if number < before => number.checked_mul(each)?,
        Some(number) if number == before => total.checked_sub(length)?,
        Some(_) => return None,
        None => next_missing(open, event)?,
    };
    let bytes = start..start.checked_add(length)?;
    // The length of the first.
    let each = match (bytes.end == total, before) {
        (true, 0) => length.div_ceil(own),
        (true, _) => start / before,
        (false, _) => each,
    };
    let is_cut_so = length > each.checked_mul(own - 1)?
        && length <= each.checked_mul(own)?
        && (bytes.end == total || length == each * own)
        && start.checked_rem(each) == Some(0)
        && each.checked_mul(all - 1)? < total
        && total <= each.checked_mul(all)?;
    (is_cut_so && open.missing(at, bytes.clone()) == Some(bytes.clone())).then_some(bytes)
}
