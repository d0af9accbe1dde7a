//! The class of a packet's protocol.
use serde::Serialize;

use super::{Network, Packet, Transport};

pub(crate) const IPPROTO_ICMP: u8 = 1;
pub(crate) const IPPROTO_TCP: u8 = 6;
pub(crate) const IPPROTO_UDP: u8 = 17;
pub(crate) const IPPROTO_ICMPV6: u8 = 58;
pub(crate) const IPPROTO_SCTP: u8 = 132;

/// Bits of a TCP header's flags (RFC 9293).
pub(crate) const TCP_FIN: u8 = 0x01;
pub(crate) const TCP_SYN: u8 = 0x02;
pub(crate) const TCP_RST: u8 = 0x04;
const TCP_PSH: u8 = 0x08;
pub(crate) const TCP_ACK: u8 = 0x10;

/// Whether a TCP packet with these flags asks for a connection.
pub(crate) fn asks_to_connect(flags: u8) -> bool {
    flags & (TCP_SYN | TCP_ACK) == TCP_SYN
}

/// The protocols that packet counts distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// ICMP and ICMPv6, neighbour discovery included.
    Icmp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ARP.
    Arp,
    /// All other protocols, and packets that cannot be read.
    Other,
}

impl Protocol {
    /// Its name in JSON and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Arp => "arp",
            Self::Other => "other",
        }
    }
}

impl Packet {
    /// The protocol number of an IP packet.
    #[must_use]
    pub fn ip_protocol(&self) -> Option<u8> {
        match &self.network {
            Network::Ip(ip) => Some(ip.protocol),
            Network::Arp(_) | Network::Llc(_) | Network::Other | Network::Unreadable => None,
        }
    }

    /// The class of the packet's protocol; a fragment's is that of its datagram.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match &self.network {
            Network::Ip(ip) => match ip.protocol {
                IPPROTO_ICMP | IPPROTO_ICMPV6 => Protocol::Icmp,
                IPPROTO_TCP => Protocol::Tcp,
                IPPROTO_UDP => Protocol::Udp,
                _ => Protocol::Other,
            },
            Network::Arp(_) => Protocol::Arp,
            Network::Llc(_) | Network::Other | Network::Unreadable => Protocol::Other,
        }
    }

    /// Bytes of the payload of TCP and UDP.
    #[must_use]
    pub fn payload(&self) -> u32 {
        match self.transport {
            Transport::Tcp { payload, .. } | Transport::Udp { payload, .. } => payload,
            _ => 0,
        }
    }

    /// Whether it is a fragment.
    pub(crate) fn is_fragment(&self) -> bool {
        matches!(&self.network, Network::Ip(ip) if ip.fragment.is_some())
    }

    /// The number of bytes behind an IPv4 header without options.
    pub(crate) fn behind_ipv4(&self) -> u32 {
        self.length.saturating_sub(20)
    }

    /// The number of bytes behind an IP header without options, and a fragment's header of IPv6.
    pub(crate) fn behind_ip(&self) -> u32 {
        let headers = match &self.network {
            Network::Ip(ip) if ip.source.is_ipv4() => 20,
            Network::Ip(ip) if ip.fragment.is_some() => 48,
            _ => 40,
        };
        self.length.saturating_sub(headers)
    }

    /// The identification of an IPv4 packet.
    #[must_use]
    pub(crate) fn ipv4_id(&self) -> Option<u16> {
        match &self.network {
            Network::Ip(ip) if ip.source.is_ipv4() => Some(ip.id as u16),
            _ => None,
        }
    }

    /// Whether it is like a TCP keep-alive that sends one old byte: a retransmission has PSH, as
    /// the end of what a program wrote.
    #[must_use]
    pub fn is_like_keep_alive(&self) -> bool {
        matches!(
            self.transport,
            Transport::Tcp { payload: 1, flags, .. } if flags & (TCP_SYN | TCP_FIN | TCP_PSH) == 0
        )
    }

    /// The type of a message of ICMP or ICMPv6.
    #[must_use]
    pub fn message_type(&self) -> Option<u8> {
        let is_v4 = self.ip_protocol() == Some(IPPROTO_ICMP);
        Some(match (self.transport, is_v4) {
            (Transport::Echo { reply: false, .. }, true) => 8,
            (Transport::Echo { reply: true, .. }, true) => 0,
            (Transport::Echo { reply: false, .. }, false) => 128,
            (Transport::Echo { reply: true, .. }, false) => 129,
            (Transport::Neighbor { advertisement, .. }, _) => 135 + u8::from(advertisement),
            (Transport::Icmp { kind, .. }, _) => kind,
            _ => return None,
        })
    }

    /// Source and destination port, of TCP and UDP.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        match self.transport {
            Transport::Tcp {
                source,
                destination,
                ..
            }
            | Transport::Udp {
                source,
                destination,
                ..
            } => Some((source, destination)),
            _ => None,
        }
    }
}
