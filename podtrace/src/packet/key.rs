//! What a packet is recognised by at every hop.
use std::net::IpAddr;

use super::{Link, Network, Packet, Transport};

/// Everything of a packet that stays the same on its way: no MAC addresses,
/// TTL, checksums, tags or outer headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketKey {
    ends: Ends,
    protocol: u8,
    id: u32,
    length: u32,
    fragment_offset: u16,
    transport: [u32; 3],
    payload_hash: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ends {
    Ip(IpAddr, IpAddr),
    Arp([u8; 4], [u8; 4]),
    /// Nothing above the link layer can be read, so the MAC addresses count.
    Link([u8; 6], [u8; 6]),
    Nothing,
}

const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;

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
    /// What stays of the key when addresses and ports are translated.
    #[must_use]
    pub fn without_ends(mut self) -> Self {
        self.ends = Ends::Nothing;
        if matches!(self.protocol, IPPROTO_TCP | IPPROTO_UDP) {
            self.transport[0] = 0;
        }
        self
    }
}

impl Packet {
    /// The packet's key: equal at every hop, inside a tunnel or not.
    #[must_use]
    pub fn key(&self) -> PacketKey {
        let mut key = PacketKey {
            ends: Ends::Nothing,
            protocol: 0,
            id: 0,
            length: self.length,
            fragment_offset: 0,
            transport: self.transport.key(),
            payload_hash: self.payload_hash,
        };
        match (&self.network, self.link) {
            (Network::Ip(ip), _) => {
                key.ends = Ends::Ip(ip.source, ip.destination);
                key.protocol = ip.protocol;
                key.id = ip.id;
                if let Some(fragment) = ip.fragment {
                    key.fragment_offset = fragment.offset;
                    key.id ^= fragment.id;
                }
            }
            (Network::Arp(arp), _) => {
                key.ends = Ends::Arp(arp.sender.octets(), arp.target.octets());
                key.id = arp.operation.into();
                // Padding may be added on the way.
                key.length = 0;
            }
            (
                Network::Other | Network::Unreadable,
                Some(Link {
                    source,
                    destination,
                    ethertype,
                }),
            ) => {
                key.ends = Ends::Link(source.0, destination.0);
                key.id = ethertype.into();
            }
            (Network::Other | Network::Unreadable, None) => {}
        }
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
            } => [pair(id, sequence), reply.into(), 1],
            Self::Icmp { kind, code } => [pair(kind.into(), code.into()), 0, 2],
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
