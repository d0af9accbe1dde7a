//! Which joiner gets a hop, where several share the work: what may be of one packet meets at one.
//!
//! Addresses and ports do not tell, as they are translated on the way; nor does the length, as
//! packets are cut and merged. So hops go by what no hop changes: of TCP the place in the stream, of
//! IPv4 the identification. Both come in **windows**: a hop goes to each bucket whose window it may
//! have a part in, and the bucket in whose window a packet begins is its **owner**, which shows its
//! path. The others do not show it.
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use smallvec::SmallVec;

use crate::{
    model::event::Event,
    packet::{
        IPPROTO_ICMP, IPPROTO_UDP, Ip, Network, Packet, Payload, TCP_ACK, TCP_RST, TCP_SYN,
        Transport,
    },
};

/// Upper bound of the number of buckets.
pub const BUCKETS_MAX: u16 = 256;
/// Bits of a sequence number within a window of TCP, and of an identification within one of UDP.
const STREAM_BITS: u32 = 20;
const ID_BITS: u32 = 10;
/// The largest segments that are cut or merged, in bytes and in datagrams.
const SEGMENT_MAX: u32 = 64 << 10;
const DATAGRAMS_MAX: u16 = 128;
/// Packets of this length need not be cut (RFC 791, RFC 8200).
const UNCUT_IPV4: u32 = 576;
const UNCUT_IPV6: u32 = 1280;

/// The buckets that a hop goes to, each once.
pub type Numbers = SmallVec<[u16; 4]>;

/// So many buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets(u16);

/// Where a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A segment of TCP, with its first byte and its length.
    Stream(u32, u32),
    /// One or more datagrams, with the identification of the first and their number.
    Datagrams(u16, u16),
    /// What is never cut: by a hash of what no hop changes.
    Hash(u64),
}

impl Buckets {
    /// So many, of 1 to [`BUCKETS_MAX`].
    #[must_use]
    pub fn new(count: u16) -> Self {
        Self(count.clamp(1, BUCKETS_MAX))
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> u16 {
        self.0
    }

    /// All buckets that need a hop.
    #[must_use]
    pub fn of(self, event: &Event) -> Numbers {
        self.of_packet(&event.packet, event.gso_segments)
    }

    fn of_packet(self, packet: &Packet, segments: u16) -> Numbers {
        if self.0 == 1 {
            return Numbers::from_slice(&[0]);
        }
        if is_for_all(packet) {
            return (0..self.0).collect();
        }
        let mut numbers = Numbers::new();
        let mut add = |number| {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        };
        match Place::of(packet, segments) {
            Place::Stream(start, 0) => add(self.stream(start)),
            Place::Stream(start, length) => {
                // What is merged with it matters too: else that would look like another packet.
                let first = start.wrapping_sub(SEGMENT_MAX) >> STREAM_BITS;
                let last = start.wrapping_add(length).wrapping_add(SEGMENT_MAX) >> STREAM_BITS;
                windows(first, last, u32::MAX >> STREAM_BITS)
                    .for_each(|window| add(self.number(window.into())));
            }
            Place::Datagrams(id, count) => {
                let first = id.wrapping_sub(DATAGRAMS_MAX - 1) >> ID_BITS;
                let last = id.wrapping_add(count.max(1) - 1) >> ID_BITS;
                windows(first.into(), last.into(), u32::from(u16::MAX >> ID_BITS))
                    .for_each(|window| add(self.number(window.into())));
            }
            Place::Hash(hash) => add(self.number(hash)),
        }
        if let Some(asked) = answers(packet) {
            add(self.stream(asked));
        }
        numbers
    }

    /// The bucket that shows the path of a packet. `payload`: what is read of it.
    #[must_use]
    pub fn owner(self, packet: &Packet, payload: Option<&Payload>) -> u16 {
        // An error is told beside the packet that it is about.
        let packet = payload
            .and_then(Payload::quote)
            .map_or(packet, |quote| &quote.packet);
        match Place::of(packet, 1) {
            Place::Stream(start, _) => self.stream(start),
            Place::Datagrams(id, _) => self.number((id >> ID_BITS).into()),
            Place::Hash(hash) => self.number(hash),
        }
    }

    fn stream(self, byte: u32) -> u16 {
        self.number((byte >> STREAM_BITS).into())
    }

    fn number(self, window: u64) -> u16 {
        (window % u64::from(self.0)) as u16
    }
}

impl Place {
    fn of(packet: &Packet, segments: u16) -> Self {
        let ip = match &packet.network {
            Network::Ip(ip) => ip,
            Network::Arp(arp) => {
                let (one, other) = (arp.sender.to_bits(), arp.target.to_bits());
                return Self::Hash(hash(&[one.min(other).into(), one.max(other).into()]));
            }
            Network::Llc(_) | Network::Other | Network::Unreadable => return by_content(packet),
        };
        // The answer to what acknowledges nothing has no place of its own.
        if let Some(syn) = packet.transport.refused_syn() {
            return Self::Stream(syn, 0);
        }
        match packet.transport {
            Transport::Tcp {
                sequence, payload, ..
            } => Self::Stream(sequence, payload),
            _ if ip.protocol == IPPROTO_UDP && ip.source.is_ipv4() => {
                Self::Datagrams(ip.id as u16, segments)
            }
            _ if ip.protocol == IPPROTO_UDP => by_protocol(ip),
            // Requests and replies, whose identifiers may be translated.
            Transport::Echo { sequence, .. } if is_uncut(ip, packet) => {
                Self::Hash(hash(&[1, sequence.into(), packet.length.into()]))
            }
            Transport::Neighbor { target, .. } => {
                let bits = target.to_bits();
                Self::Hash(hash(&[(bits >> 64) as u64, bits as u64]))
            }
            _ if ip.source.is_ipv4() && ip.id != 0 && ip.protocol != IPPROTO_ICMP => {
                Self::Hash(hash(&[ip.protocol.into(), ip.id.into()]))
            }
            _ if !is_uncut(ip, packet) => by_protocol(ip),
            _ => by_content(packet),
        }
    }
}

/// What may be cut and has no identification: all of its protocol together.
fn by_protocol(ip: &Ip) -> Place {
    Place::Hash(hash(&[ip.protocol.into(), ip.source.is_ipv4().into()]))
}

/// By what an ICMP error quotes of it too.
fn by_content(packet: &Packet) -> Place {
    Place::Hash(hash(&packet.key().quoted_content()))
}

/// Whether nobody needs to cut it, and nobody has.
fn is_uncut(ip: &Ip, packet: &Packet) -> bool {
    let most = if ip.source.is_ipv4() {
        UNCUT_IPV4
    } else {
        UNCUT_IPV6
    };
    ip.fragment.is_none() && packet.length <= most
}

/// Whether it may be about a packet whose place it does not tell: an ICMP error may quote the packet
/// of a tunnel only, and the answer to a segment has the number that that acknowledges.
fn is_for_all(packet: &Packet) -> bool {
    match packet.transport {
        Transport::Tcp { flags, .. } => flags & (TCP_RST | TCP_ACK) == TCP_RST,
        _ => packet.is_icmp_error(),
    }
}

/// The first byte of the SYN that a packet answers.
fn answers(packet: &Packet) -> Option<u32> {
    match packet.transport {
        Transport::Tcp {
            acknowledgment,
            flags,
            ..
        } if flags & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK => {
            Some(acknowledgment.wrapping_sub(1))
        }
        _ => None,
    }
}

/// The windows from one to another, where the last one is before the first.
fn windows(first: u32, last: u32, end: u32) -> impl Iterator<Item = u32> {
    let wraps = last < first;
    let (head, tail): (RangeInclusive<u32>, RangeInclusive<u32>) = match wraps {
        true => (first..=end, 0..=last),
        #[expect(clippy::reversed_empty_ranges, reason = "there is no second part")]
        false => (first..=last, 1..=0),
    };
    head.chain(tail)
}

/// The same on every node: SplitMix64 over the words.
fn hash(words: &[u64]) -> u64 {
    words.iter().fold(0, |hash: u64, word| {
        let mixed = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    })
}
