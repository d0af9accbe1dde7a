//! The segments whose paths have ended: what is sent again is linked to them.
use podtrace_ebpf::record::Direction;

use super::{
    segments::{Segment, Segments, around},
    sequence_of,
};
use crate::{
    map::HashedMap,
    model::event::Event,
    packet::Packet,
    path::{
        Path,
        builder::join::{flow::Flow, index::Slot},
    },
};

/// Upper bound of the remembered segments; the one that ended first is forgotten first. A table
/// with room for 4096 takes so many entries.
pub(crate) const ENDED_MAX: usize = 3584;
/// Upper bound of the bytes of one of them, without its entry in the table.
#[cfg(test)]
pub(crate) const ENDED_BYTES: usize = size_of::<Ended>() + 4 * size_of::<Segment>();
/// Bytes of a flow in the table.
#[cfg(test)]
pub(crate) const ENDED_FLOW: usize = size_of::<(Flow, Segments)>();

/// How long a segment is remembered after it was last seen, in nanoseconds: for as long as Linux
/// waits before it sends one again (TCP_RTO_MAX). Later its numbers may be those of others.
const REMEMBERED_NS: u64 = 120_000_000_000;

/// The segments that have ended, in a ring.
#[derive(Default)]
pub(super) struct EndedSegments {
    /// Each by its number in the ring.
    flows: HashedMap<Flow, Segments>,
    ring: Vec<Ended>,
    next: usize,
}

struct Ended {
    flow: Flow,
    start: u32,
    id: u64,
    last_ns: u64,
    /// Where it began.
    tap: (u32, Direction),
}

impl EndedSegments {
    /// Remembers a path that has ended, if its packet is a segment with a payload. `flow`: that of
    /// its first ends.
    pub(super) fn add(&mut self, path: &Path, flow: Flow) {
        let (Some((start, length)), Some(first)) = (sequence_of(&path.packet), path.hops.first())
        else {
            return;
        };
        let ended = Ended {
            flow,
            start,
            id: path.id,
            last_ns: path.last_ns(),
            tap: (first.interface, first.direction),
        };
        let at = self.next % ENDED_MAX;
        self.next = at + 1;
        let slot = Slot::try_from(at).unwrap_or(Slot::MAX);
        match self.ring.get_mut(at) {
            Some(oldest) => {
                let oldest = std::mem::replace(oldest, ended);
                self.forget(slot, &oldest);
            }
            None => self.ring.push(ended),
        }
        let segments = self.flows.entry(flow).or_default();
        segments.add(Segment {
            start,
            length,
            slot,
        });
    }

    fn forget(&mut self, slot: Slot, oldest: &Ended) {
        if let Some(segments) = self.flows.get_mut(&oldest.flow) {
            segments.remove(slot, oldest.start);
            if segments.is_empty() {
                self.flows.remove(&oldest.flow);
            }
        }
    }

    /// The first of the segments with bytes of a packet that begins where these began. Elsewhere it
    /// may be a part of such a segment that was overtaken.
    pub(super) fn first_of(&self, packet: &Packet, flow: Flow, event: &Event) -> Option<u64> {
        let (start, length) = sequence_of(packet)?;
        let ended = around(self.flows.get(&flow), start, length);
        let ended = ended.filter_map(|slot| self.ring.get(slot as usize));
        let earlier = ended.filter(|ended| {
            ended.tap == (event.interface, event.direction)
                && event.ts_ns.saturating_sub(ended.last_ns) <= REMEMBERED_NS
        });
        earlier.map(|ended| ended.id).min()
    }
}
