//! What a packet is recognised by at every hop.
use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr},
};

use super::{Mac, Network, Packet, Transport};

/// Everything of a packet that stays the same on its way: no MAC addresses,
/// TTL, checksums, tags or outer headers. In words, as it is hashed and
/// compared several times per event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketKey([u64; 8]);

/// Word by word: for as many bytes in one piece the hasher has a loop, which takes
/// longer.
impl Hash for PacketKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for word in self.0 {
            state.write_u64(word);
        }
    }
}

/// Words of a key: those before it are the ends.
const IDENTITY: usize = 4;
const LENGTH: usize = 5;
const TRANSPORT: usize = 6;

/// The last words of messages of ICMP.
const ECHO: u64 = 1;
const ICMP: u64 = 2;

/// The ends in a key: what they are, and their words.
type Ends = (u64, [u64; IDENTITY]);

const NO_ENDS: Ends = (0, [0; IDENTITY]);

fn ipv4_ends(from: Ipv4Addr, to: Ipv4Addr) -> Ends {
    (1, [from.to_bits().into(), to.to_bits().into(), 0, 0])
}

fn ipv6_ends(from: u128, to: u128) -> Ends {
    let halves = |address: u128| [(address >> 64) as u64, address as u64];
    let ([a, b], [c, d]) = (halves(from), halves(to));
    (4, [a, b, c, d])
}

fn arp_ends(from: Ipv4Addr, to: Ipv4Addr) -> Ends {
    (2, ipv4_ends(from, to).1)
}

/// Nothing above the link layer can be read, so the MAC addresses count.
fn link_ends(from: Mac, to: Mac) -> Ends {
    let mac = |Mac([a, b, c, d, e, f])| u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    (3, [mac(from), mac(to), 0, 0])
}

const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// An echo request and its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EchoFlow {
    /// Who asks.
    pub requester: IpAddr,
    /// Who is asked.
    pub responder: IpAddr,
    /// Identifier.
    pub id: u16,
    /// Sequence number.
    pub sequence: u16,
}

impl PacketKey {
    /// What stays of the key when addresses and ports are translated, and with them the
    /// identifier of an echo and what an ICMP error quotes.
    #[must_use]
    pub fn without_ends(mut self) -> Self {
        let protocol = self.0[IDENTITY].to_be_bytes()[1];
        self.set_ends(NO_ENDS);
        match (protocol, self.0[TRANSPORT + 1]) {
            (IPPROTO_TCP | IPPROTO_UDP, _) => self.0[TRANSPORT] &= !u64::from(u32::MAX),
            (_, ECHO) => self.0[TRANSPORT] &= !0xffff_0000,
            (_, ICMP) => self.0[LENGTH] &= u64::from(u32::MAX),
            _ => {}
        }
        self
    }

    /// The ends alone: equal for all packets of one direction of a connection.
    #[must_use]
    pub(crate) fn ends(&self) -> [u64; IDENTITY + 1] {
        let [a, b, c, d, ..] = self.0;
        [a, b, c, d, self.0[TRANSPORT] & u64::from(u32::MAX)]
    }

    fn set_ends(&mut self, (kind, words): Ends) {
        self.0[..IDENTITY].copy_from_slice(&words);
        let identity = &mut self.0[IDENTITY];
        *identity = *identity << 8 >> 8 | kind << 56;
    }
}

impl Packet {
    /// The packet's key: equal at every hop, inside a tunnel or not.
    #[must_use]
    pub fn key(&self) -> PacketKey {
        let (mut protocol, mut fragment_offset) = (0, 0);
        let (id, ends) = match (&self.network, self.link) {
            (Network::Ip(ip), _) => {
                protocol = ip.protocol;
                let mut id = ip.id;
                if let Some(fragment) = ip.fragment {
                    fragment_offset = fragment.offset;
                    id ^= fragment.id;
                }
                let ends = match (ip.source, ip.destination) {
                    (IpAddr::V4(from), IpAddr::V4(to)) => ipv4_ends(from, to),
                    (from, to) => ipv6_ends(bits(from), bits(to)),
                };
                (id, ends)
            }
            (Network::Arp(arp), _) => (arp.operation.into(), arp_ends(arp.sender, arp.target)),
            (Network::Llc(_) | Network::Other | Network::Unreadable, Some(link)) => {
                let ends = link_ends(link.source, link.destination);
                (link.ethertype.into(), ends)
            }
            (Network::Llc(_) | Network::Other | Network::Unreadable, None) => (0, NO_ENDS),
        };
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let [first, second, third] = self.transport.key();
        let mut key = PacketKey([0; 8]);
        key.0[IDENTITY] = pair(id, u32::from(protocol) << 16 | u32::from(fragment_offset));
        key.0[LENGTH] = pair(self.length, self.payload_hash);
        key.0[TRANSPORT] = pair(first, second);
        key.0[TRANSPORT + 1] = third.into();
        key.set_ends(ends);
        key
    }

    /// For an echo message: which exchange, and whether it is the reply.
    #[must_use]
    pub fn echo_pair(&self) -> Option<(EchoFlow, bool)> {
        let (
            Network::Ip(ip),
            Transport::Echo {
                reply,
                id,
                sequence,
            },
        ) = (&self.network, self.transport)
        else {
            return None;
        };
        let (requester, responder) = if reply {
            (ip.destination, ip.source)
        } else {
            (ip.source, ip.destination)
        };
        let flow = EchoFlow {
            requester,
            responder,
            id,
            sequence,
        };
        Some((flow, reply))
    }
}

impl Transport {
    fn key(&self) -> [u32; 3] {
        let pair = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
        match *self {
            Self::Echo {
                reply,
                id,
                sequence,
            } => [pair(id, sequence), reply.into(), ECHO as u32],
            Self::Icmp { kind, code } => [pair(kind.into(), code.into()), 0, ICMP as u32],
            Self::Neighbor {
                advertisement,
                target,
                mac: _,
            } => {
                let [.., a, b, c, d] = target.octets();
                [u32::from_be_bytes([a, b, c, d]), advertisement.into(), 3]
            }
            Self::Tcp {
                source,
                destination,
                sequence,
                acknowledgment,
                flags,
                payload: _,
            } => [
                pair(source, destination),
                sequence,
                acknowledgment ^ u32::from(flags).rotate_right(8),
            ],
            Self::Udp {
                source,
                destination,
                payload,
            } => [pair(source, destination), payload, 4],
            Self::Fragment | Self::Other | Self::Unreadable | Self::None => [0, 0, 0],
        }
    }
}
