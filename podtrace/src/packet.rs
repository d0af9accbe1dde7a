//! A captured frame as a typed view of its headers, and the key that identifies the same
//! packet at every hop.
//!
//! [`Packet::decode`] never fails and never panics: the value itself marks what cannot be read
//! ([`Network::Unreadable`], [`Transport::Unreadable`]).

mod at_tap;
mod control;
mod decode;
mod describe;
mod dns;
mod echo;
mod ends;
mod http;
mod key;
pub mod link;
mod mac;
mod payload;
mod protocol;
mod question;
mod quote;
mod ruled_out;
mod tunnel;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

pub use podtrace_ebpf::parse::{Carrier, Llc, Shim};
use podtrace_ebpf::{
    config::{KEY_PAYLOAD, SNAPLEN_DEFAULT},
    parse::ETHERNET_LEN,
};
use serde::{Deserialize, Serialize};

use crate::filter::Filter;
pub(crate) use at_tap::{AtTap, Beside, Captured};

pub use describe::TcpWords;
pub(crate) use describe::flag_names;
pub use dns::Dns;
pub(crate) use echo::{ECHO_HEADER, echo_reply, echo_request};
pub use ends::Ends;
pub use http::Http;
pub(crate) use key::tag_of;
pub use key::{EchoFlow, PacketKey};
pub use payload::Payload;
pub use protocol::Protocol;
pub(crate) use protocol::{
    IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, TCP_ACK, TCP_FIN,
    TCP_RST, TCP_SYN, asks_to_connect,
};
pub use quote::{IcmpError, Quote};
pub(crate) use tunnel::TunnelKind;
pub use tunnel::{FLANNEL_PORT, Tunnel, VXLAN_PORT, VxlanPorts};

/// How the interface frames its packets (from `ARPHRD_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// An Ethernet header comes first (Ethernet, veth, bridge, VXLAN, loopback).
    Ethernet,
    /// The IP header comes first (tun, WireGuard, IPIP).
    Ip,
}

impl Framing {
    /// Length of the link header in bytes, tags not counted.
    #[must_use]
    pub fn link_len(self) -> u32 {
        match self {
            Self::Ethernet => ETHERNET_LEN as u32,
            Self::Ip => 0,
        }
    }
}

/// The settings of the tap and the node that `decode` needs.
#[derive(Clone, Debug)]
pub struct DecodeOptions {
    /// UDP destination ports that carry VXLAN on this node (flannel: 8472).
    pub vxlan_ports: Vec<u16>,
    /// How many of the first payload bytes go into the key, at most: the same
    /// number at every hop, so no more than the snap length leaves behind the
    /// longest encapsulation.
    pub key_payload: usize,
    /// What packets have to match.
    pub filter: Option<Arc<Filter>>,
}

/// A 48-bit MAC address; displays as `0e:f1:00:00:00:01`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// One frame, decoded; the fields describe the innermost packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The tunnel around it at this hop, if any; of several tunnels, the outermost.
    pub tunnel: Option<Tunnel>,
    /// 802.1Q/802.1ad VLAN id of the innermost frame, from an inline tag.
    pub vlan: Option<u16>,
    /// MPLS or PPPoE between the innermost frame's header and the network layer.
    pub shim: Option<Shim>,
    /// The innermost Ethernet header; none under [`Framing::Ip`].
    pub link: Option<Link>,
    /// The network layer.
    pub network: Network,
    /// The transport layer.
    pub transport: Transport,
    /// Hash of the first payload bytes (see [`DecodeOptions::key_payload`]).
    pub payload_hash: u32,
    /// Length in bytes of the innermost packet from its network header on: the length that IP
    /// or an 802.3 frame states, 28 for ARP, and otherwise the rest of the frame.
    pub length: u32,
}

impl Packet {
    /// The sender at the network layer.
    #[must_use]
    pub fn source(&self) -> Option<IpAddr> {
        match &self.network {
            Network::Ip(ip) => Some(ip.source),
            Network::Arp(arp) => Some(arp.sender.into()),
            Network::Llc(_) | Network::Other | Network::Unreadable => None,
        }
    }

    /// The receiver at the network layer.
    #[must_use]
    pub fn destination(&self) -> Option<IpAddr> {
        match &self.network {
            Network::Ip(ip) => Some(ip.destination),
            Network::Arp(arp) => Some(arp.target.into()),
            Network::Llc(_) | Network::Other | Network::Unreadable => None,
        }
    }

    /// Whether it is for a group of receivers, by its frame or by its address.
    pub(crate) fn is_for_many(&self) -> bool {
        self.is_for_group() || self.destination().is_some_and(is_group_address)
    }

    /// Whether its frame is for a group: broadcast or multicast.
    #[must_use]
    pub(crate) fn is_for_group(&self) -> bool {
        self.link.is_some_and(|link| link.destination.0[0] & 1 == 1)
    }
}

/// An Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Source address.
    pub source: Mac,
    /// Destination address.
    pub destination: Mac,
    /// EtherType behind any VLAN tags, MPLS, PPPoE and SNAP, host order.
    pub ethertype: u16,
}

/// The network layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// IPv4 or IPv6.
    Ip(Ip),
    /// ARP for IPv4 over Ethernet.
    Arp(Arp),
    /// A protocol of an 802.3 frame, without an EtherType.
    Llc(Llc),
    /// A protocol we do not read; its number is in [`Link::ethertype`].
    Other,
    /// Too short or malformed at the link or network layer.
    Unreadable,
}

/// An IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IPv4 TTL or IPv6 hop limit.
    pub ttl: u8,
    /// The transport protocol, behind any IPv6 extension headers.
    pub protocol: u8,
    /// IPv4 identification, or the IPv6 flow label.
    pub id: u32,
    /// Whether routers may fragment it: IPv4 without DF.
    pub may_fragment: bool,
    /// Set when the packet is a fragment.
    pub fragment: Option<Fragment>,
}

/// Which part of a fragmented packet this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Fragment identification: IPv4 id or that of the IPv6 fragment header.
    pub id: u32,
    /// Offset in bytes.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
}

/// An ARP packet (RFC 826).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// MAC address of the sender.
    pub sender_mac: Mac,
    /// Address of the sender.
    pub sender: Ipv4Addr,
    /// MAC address of the target; zero in a request.
    pub target_mac: Mac,
    /// Address of the target.
    pub target: Ipv4Addr,
}

/// The transport layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// ICMP or ICMPv6 echo.
    Echo {
        /// Reply or request.
        reply: bool,
        /// Identifier of the pinging process.
        id: u16,
        /// Number of the ping.
        sequence: u16,
    },
    /// Any other ICMP or ICMPv6 message.
    Icmp {
        /// The type field.
        kind: u8,
        /// The code field.
        code: u8,
    },
    /// ICMPv6 neighbour solicitation or advertisement (RFC 4861).
    Neighbor {
        /// Advertisement or solicitation.
        advertisement: bool,
        /// The address that is resolved.
        target: Ipv6Addr,
        /// The link-layer address option.
        mac: Option<Mac>,
    },
    /// TCP (RFC 9293).
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// Sequence number.
        sequence: u32,
        /// Acknowledgment number.
        acknowledgment: u32,
        /// CWR, ECE, URG, ACK, PSH, RST, SYN, FIN from the high bit down.
        flags: u8,
        /// Payload length in bytes.
        payload: u32,
    },
    /// UDP (RFC 768).
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// Payload length in bytes.
        payload: u32,
    },
    /// A later fragment: its transport header is in the first.
    Fragment,
    /// A transport protocol we do not read; its number is in [`Ip::protocol`].
    Other,
    /// The transport header was cut off.
    Unreadable,
    /// Not an IP packet.
    None,
}

impl Transport {
    /// The sequence number of the SYN that a host without the connection refuses: as a SYN
    /// acknowledges nothing, its answer has no number of its own (RFC 9293).
    #[inline]
    pub(crate) fn refused_syn(&self) -> Option<u32> {
        match *self {
            Self::Tcp {
                sequence: 0,
                acknowledgment,
                flags,
                payload: 0,
                ..
            } if flags & (TCP_RST | TCP_ACK) == TCP_RST | TCP_ACK => {
                Some(acknowledgment.wrapping_sub(1))
            }
            _ => None,
        }
    }
}

/// Whether the address is valid on one link only (RFC 3927, RFC 4291).
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Whether an address is of a group: multicast or broadcast.
pub(crate) fn is_group_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

/// Whether an address is in the subnet of `prefix` and `len`.
pub(crate) fn covers(prefix: IpAddr, len: u8, address: IpAddr) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let shift = width.saturating_sub(len.into());
        a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
    };
    match (prefix, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// How many payload bytes of each packet go into its key, for the shortest snap length of all
/// sessions: none if less than that remains behind the longest encapsulation and an inner TCP
/// header.
#[must_use]
pub fn key_payload(snaplen: u32) -> usize {
    if snaplen < SNAPLEN_DEFAULT {
        0
    } else {
        KEY_PAYLOAD as usize
    }
}
