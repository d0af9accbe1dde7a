//! The key that identifies a packet at every hop.
use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr},
};

use super::{IPPROTO_TCP, IPPROTO_UDP, Mac, Network, Packet, Transport, asks_to_connect};

/// The parts of a packet that no hop changes: it has no MAC addresses, TTL, checksums, tags or
/// outer headers. It consists of words, as it is hashed and compared several times per event.
#[derive(Clone, Copy, Debug, Eq)]
pub struct PacketKey([u64; 8]);

/// Compares without a branch for each word, nor a call for one slice of bytes.
impl PartialEq for PacketKey {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let words = self.0.iter().zip(&other.0);
        words.fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
    }
}

/// Hashes word by word: for one slice of bytes the hasher runs a loop, which takes longer.
impl Hash for PacketKey {
    #[inline(always)]
    fn hash<H: Hasher>(&self, state: &mut H) {
        for word in self.0 {
            state.write_u64(word);
        }
    }
}

/// Words of a key that identify the packet; the words before them are its ends.
const IDENTITY: usize = 4;
const LENGTH: usize = 5;
const TRANSPORT: usize = 6;

/// The last words of ICMP messages.
const ECHO: u64 = 1;
const ICMP: u64 = 2;

/// The ends in a key: their kind and their words.
type Ends = (u64, [u64; IDENTITY]);

/// The kind of ends of IPv6.
const IPV6: u64 = 4;

const NO_ENDS: Ends = (0, [0; IDENTITY]);

fn ipv4_ends(from: Ipv4Addr, to: Ipv4Addr) -> Ends {
    (1, [from.to_bits().into(), to.to_bits().into(), 0, 0])
}

fn ipv6_ends(from: u128, to: u128) -> Ends {
    let halves = |address: u128| [(address >> 64) as u64, address as u64];
    let ([a, b], [c, d]) = (halves(from), halves(to));
    (IPV6, [a, b, c, d])
}

#[inline]
fn ip_ends(from: IpAddr, to: IpAddr) -> Ends {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4_ends(from, to),
        (from, to) => ipv6_ends(bits(from), bits(to)),
    }
}

fn ports_word(from: u16, to: u16) -> u32 {
    u32::from(from) << 16 | u32::from(to)
}

fn arp_ends(from: Ipv4Addr, to: Ipv4Addr) -> Ends {
    (2, ipv4_ends(from, to).1)
}

/// The ends of a frame that cannot be read above the link layer: its MAC addresses.
fn link_ends(from: Mac, to: Mac) -> Ends {
    let mac = |Mac([a, b, c, d, e, f])| u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    (3, [mac(from), mac(to), 0, 0])
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// An echo request and its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EchoFlow {
    /// The sender of the request.
    pub requester: IpAddr,
    /// The receiver of the request.
    pub responder: IpAddr,
    /// Identifier.
    pub id: u16,
    /// Sequence number.
    pub sequence: u16,
}

/// The tag of a UDP datagram with an identification, by the length from its IP header on.
#[must_use]
#[inline]
pub(crate) fn tag_of(id: u32, length: u32) -> u32 {
    id ^ length.rotate_left(16)
}

impl PacketKey {
    /// The parts that address translation does not change: all but addresses, ports, the
    /// identifier of an echo, and the packet that an ICMP error quotes.
    #[must_use]
    pub fn content(&self) -> [u64; 4] {
        let [.., mut identity, mut length, mut transport, rest] = self.0;
        let protocol = self.protocol();
        // The kind of the ends.
        identity = identity << 8 >> 8;
        match (protocol, rest) {
            (IPPROTO_TCP | IPPROTO_UDP, _) => transport &= !u64::from(u32::MAX),
            (_, ECHO) => transport &= !0xffff_0000,
            (_, ICMP) => length &= u64::from(u32::MAX),
            _ => {}
        }
        [identity, length, transport, rest]
    }

    /// The ends alone: equal for all packets of one direction of a connection.
    #[must_use]
    pub(crate) fn ends(&self) -> [u64; IDENTITY + 1] {
        let [a, b, c, d] = self.words();
        [a, b, c, d, self.0[TRANSPORT] & u64::from(u32::MAX)]
    }

    /// The ends of an answer.
    #[must_use]
    pub(crate) fn reversed_ends(&self) -> [u64; IDENTITY + 1] {
        let [a, b, c, d, ports] = self.ends();
        let ports = u64::from((ports as u32).rotate_left(16));
        match self.kind() {
            IPV6 => [c, d, a, b, ports],
            _ => [b, a, c, d, ports],
        }
    }

    /// The key of a TCP or UDP packet with the ends of another's.
    #[must_use]
    pub(crate) fn with_ends_of(mut self, other: &Self) -> Self {
        self = self.with_addresses_of(other);
        let ports = u64::from(u32::MAX);
        self.0[TRANSPORT] = self.0[TRANSPORT] & !ports | other.0[TRANSPORT] & ports;
        self
    }

    /// The key of a later fragment, which has no ports, with the addresses of another packet.
    #[must_use]
    pub(crate) fn with_addresses_of(mut self, other: &Self) -> Self {
        self.set_ends((other.kind(), other.words()));
        self
    }

    fn words(&self) -> [u64; IDENTITY] {
        let [a, b, c, d, ..] = self.0;
        [a, b, c, d]
    }

    /// What an ICMP error shows of the key that quotes the packet: neither its payload nor
    /// acknowledgment and flags of TCP.
    #[must_use]
    pub(crate) fn quoted(mut self) -> Self {
        self.0[LENGTH] &= u64::from(u32::MAX);
        self.0[TRANSPORT + 1] = 0;
        self
    }

    /// [`Self::content`], as far as [`Self::quoted`] has it.
    #[must_use]
    pub(crate) fn quoted_content(&self) -> [u64; 4] {
        let [identity, length, transport, _] = self.content();
        [identity, length & u64::from(u32::MAX), transport, 0]
    }

    /// A number that the packet keeps when its ends are translated, and when it is quoted.
    #[must_use]
    #[inline]
    pub(crate) fn tag(&self) -> u32 {
        let transport = self.0[TRANSPORT];
        if self.protocol() == IPPROTO_TCP {
            // The sequence number, which a reset tells too.
            return (transport >> 32) as u32;
        }
        let (id, length) = (self.id(), self.0[LENGTH] as u32);
        // That of an echo. Its identifier may be translated.
        let number = match self.protocol() {
            IPPROTO_UDP => 0,
            _ => transport as u32 & 0xffff,
        };
        tag_of(id, length) ^ number
    }

    /// The identification in the IP header; 0 if it has none.
    #[inline]
    pub(crate) fn id(&self) -> u32 {
        self.0[IDENTITY] as u32
    }

    /// Whether the packet asks for a TCP connection.
    #[must_use]
    pub(crate) fn is_syn(&self) -> bool {
        let [flags, ..] = (self.0[TRANSPORT + 1] as u32).to_be_bytes();
        self.protocol() == IPPROTO_TCP && asks_to_connect(flags)
    }

    fn protocol(&self) -> u8 {
        self.0[IDENTITY].to_be_bytes()[1]
    }

    fn kind(&self) -> u64 {
        self.0[IDENTITY] >> 56
    }

    fn set_ends(&mut self, (kind, words): Ends) {
        self.0[..IDENTITY].copy_from_slice(&words);
        let identity = &mut self.0[IDENTITY];
        *identity = *identity << 8 >> 8 | kind << 56;
    }
}

impl super::Ends {
    /// The same words as [`PacketKey::ends`] of a TCP or UDP packet.
    #[must_use]
    pub(crate) fn words(&self) -> [u64; IDENTITY + 1] {
        let (_, [a, b, c, d]) = ip_ends(self.source, self.destination);
        let ports = self.ports.map_or(0, |(from, to)| ports_word(from, to));
        [a, b, c, d, ports.into()]
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
                    // That of IPv4 is the same as the packet's.
                    id = id.rotate_left(16) ^ fragment.id;
                }
                (id, ip_ends(ip.source, ip.destination))
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

    /// The echo exchange of an echo message, and whether it is the reply.
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
                ports_word(source, destination),
                sequence,
                acknowledgment ^ u32::from(flags).rotate_right(8),
            ],
            Self::Udp {
                source,
                destination,
                payload,
            } => [ports_word(source, destination), payload, 4],
            Self::Fragment | Self::Other | Self::Unreadable | Self::None => [0, 0, 0],
        }
    }
}
