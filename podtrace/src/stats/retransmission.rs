//! Retransmitted TCP segments.
use std::collections::{HashMap, hash_map::Entry};

use crate::packet::{Ends, Packet, TCP_FIN, TCP_SYN, Transport};

/// Upper bound of the flows that are followed; segments of further flows are not judged.
const FLOWS_MAX: usize = 16_384;

/// The progress of each flow.
#[derive(Default)]
pub(super) struct Retransmitted {
    flows: HashMap<Ends, Progress>,
    /// Segments that were not judged.
    pub(super) unjudged: u64,
}

/// The observed progress of a flow.
struct Progress {
    /// The sequence number of the SYN.
    first: Option<u32>,
    /// The sequence number behind the last byte, or the FIN.
    next: u32,
}

/// The sequence numbers that a segment takes.
pub(super) struct Taken {
    flags: u8,
    /// The first sequence number.
    sequence: u32,
    payload: u32,
    is_like_keep_alive: bool,
}

impl Taken {
    /// Those of a TCP segment.
    pub(super) fn of(packet: &Packet) -> Option<Self> {
        match packet.transport {
            Transport::Tcp {
                sequence,
                flags,
                payload,
                ..
            } => Some(Self {
                flags,
                sequence,
                payload,
                is_like_keep_alive: packet.is_like_keep_alive(),
            }),
            _ => None,
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// How many sequence numbers: SYN and FIN take one each.
    pub(super) fn len(&self) -> u32 {
        self.payload + u32::from(self.has(TCP_SYN)) + u32::from(self.has(TCP_FIN))
    }

    /// The number that acknowledges all of it.
    pub(super) fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.len())
    }

    /// Whether it is a keep-alive, sent for its answer only: the last byte once more.
    fn is_keep_alive(&self, next: u32) -> bool {
        self.is_like_keep_alive && self.end() == next
    }
}

impl Retransmitted {
    /// Whether it is a segment with payload, SYN or FIN but without anything new, and no
    /// keep-alive. A segment from another node may also have been overtaken, and one whose
    /// hops did not join to one path is seen twice.
    pub(super) fn is_repeated(&mut self, packet: &Packet) -> bool {
        let (Some(flow), Some(taken)) = (packet.ends(), Taken::of(packet)) else {
            return false;
        };
        if taken.len() == 0 {
            return false;
        }
        let is_full = self.flows.len() >= FLOWS_MAX;
        match self.flows.entry(flow) {
            Entry::Occupied(mut progress) => progress.get_mut().is_repeated(&taken),
            Entry::Vacant(_) if is_full => {
                self.unjudged += 1;
                false
            }
            Entry::Vacant(progress) => {
                progress.insert(Progress::begin(&taken));
                false
            }
        }
    }
}

impl Progress {
    fn begin(taken: &Taken) -> Self {
        Self {
            first: taken.has(TCP_SYN).then_some(taken.sequence),
            next: taken.end(),
        }
    }

    fn is_repeated(&mut self, taken: &Taken) -> bool {
        if taken.has(TCP_SYN) && self.first != Some(taken.sequence) {
            // A new flow starts with the ports of an earlier one.
            *self = Self::begin(taken);
            return false;
        }
        // Sequence numbers wrap: a number is behind another if it is less than half of their
        // range away.
        let is_new = taken.end().wrapping_sub(self.next).cast_signed() > 0;
        if is_new {
            self.next = taken.end();
        }
        !is_new && !taken.is_keep_alive(self.next)
    }
}
