//! TCP segments that were sent again.
use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
};

use crate::packet::{Network, Packet, Transport};

/// Upper bound of the followed flows; segments of others are not judged.
const FLOWS_MAX: usize = 16_384;

/// The SYN bit of a TCP header's flags (RFC 9293).
const TCP_SYN: u8 = 0x02;

/// Addresses and ports of one direction of a connection.
type Flow = (IpAddr, u16, IpAddr, u16);

/// The progress of each flow.
#[derive(Default)]
pub(super) struct Retransmitted {
    /// The sequence number behind the last byte seen.
    next: HashMap<Flow, u32>,
    /// Segments with payload that were not judged.
    pub(super) unjudged: u64,
}

impl Retransmitted {
    /// Whether it is a segment with payload but without new bytes. A segment from another
    /// node may also have been overtaken, and one whose hops did not join to one path comes
    /// twice.
    pub(super) fn is_repeated(&mut self, packet: &Packet) -> bool {
        let (
            Network::Ip(ip),
            Transport::Tcp {
                source,
                destination,
                sequence,
                flags,
                payload,
                ..
            },
        ) = (&packet.network, packet.transport)
        else {
            return false;
        };
        let flow = (ip.source, source, ip.destination, destination);
        if flags & TCP_SYN != 0 {
            // The flow starts; its ports may have served another before.
            self.next.remove(&flow);
            return false;
        }
        if payload == 0 {
            return false;
        }
        let end = sequence.wrapping_add(payload);
        let is_full = self.next.len() >= FLOWS_MAX;
        match self.next.entry(flow) {
            Entry::Occupied(mut next) => {
                // Sequence numbers wrap: behind is less than half of them away.
                let is_new = end.wrapping_sub(*next.get()).cast_signed() > 0;
                if is_new {
                    next.insert(end);
                }
                !is_new
            }
            Entry::Vacant(_) if is_full => {
                self.unjudged += 1;
                false
            }
            Entry::Vacant(next) => {
                next.insert(end);
                false
            }
        }
    }
}
