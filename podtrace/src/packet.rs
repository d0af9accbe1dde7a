//! What a captured frame is: a typed view of its headers, and the key by which
//! the same packet is known at every hop.
//!
//! [`Packet::decode`] never fails and never panics: what cannot be read is
//! said in the value ([`Network::Unreadable`], [`Transport::Unreadable`]).

use std::net::{IpAddr, Ipv4Addr};

/// How the interface frames its packets (from `ARPHRD_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// An Ethernet header comes first (Ethernet, veth, bridge, VXLAN, loopback).
    Ethernet,
    /// The IP header comes first (tun, WireGuard, IPIP).
    Ip,
}

/// What `decode` must know of the tap and of the node.
#[derive(Clone, Debug)]
pub struct DecodeOptions {
    /// UDP destination ports that carry VXLAN on this node (flannel: 8472).
    pub vxlan_ports: Vec<u16>,
    /// How many of the first payload bytes go into the key, at most: the same
    /// number at every hop, so no more than the snap length leaves behind the
    /// longest encapsulation.
    pub key_payload: usize,
}

/// A 48-bit MAC address; displays as `0e:f1:00:00:00:01`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// One frame, decoded; the fields describe the innermost packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The VXLAN tunnel around it at this hop, if any.
    pub tunnel: Option<Tunnel>,
    /// 802.1Q/802.1ad VLAN id of the innermost frame, from an inline tag.
    pub vlan: Option<u16>,
    /// The innermost Ethernet header; none under [`Framing::Ip`].
    pub link: Option<Link>,
    pub network: Network,
    pub transport: Transport,
    /// Hash of the first payload bytes (see [`DecodeOptions::key_payload`]).
    pub payload_hash: u32,
    /// Length in bytes of the innermost packet: the IP total length, or the
    /// frame without its Ethernet header where there is no IP length.
    pub length: u32,
}

/// The outer headers of a VXLAN packet (RFC 7348).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// VXLAN network identifier, 24 bits.
    pub vni: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub source: Mac,
    pub destination: Mac,
    /// EtherType behind any VLAN tags, host order.
    pub ethertype: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    Ip(Ip),
    Arp(Arp),
    /// A protocol we do not read; its number is in [`Link::ethertype`].
    Other,
    /// Too short or malformed at the link or network layer.
    Unreadable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// IPv4 TTL or IPv6 hop limit.
    pub ttl: u8,
    /// The transport protocol, behind any IPv6 extension headers.
    pub protocol: u8,
    /// IPv4 identification, or the IPv6 flow label.
    pub id: u32,
    pub fragment: Option<Fragment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Fragment identification: IPv4 id or that of the IPv6 fragment header.
    pub id: u32,
    /// Offset in bytes.
    pub offset: u16,
    pub more: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    pub sender_mac: Mac,
    pub sender: Ipv4Addr,
    pub target_mac: Mac,
    pub target: Ipv4Addr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// ICMP or ICMPv6 echo.
    Echo { reply: bool, id: u16, sequence: u16 },
    /// Any other ICMP or ICMPv6 message.
    Icmp { kind: u8, code: u8 },
    /// ICMPv6 neighbour solicitation or advertisement (RFC 4861).
    Neighbor { advertisement: bool, target: std::net::Ipv6Addr, mac: Option<Mac> },
    Tcp { source: u16, destination: u16, sequence: u32, acknowledgment: u32, flags: u8, payload: u32 },
    Udp { source: u16, destination: u16, payload: u32 },
    /// A later fragment: its transport header is in the first.
    Fragment,
    /// A transport protocol we do not read; its number is in [`Ip::protocol`].
    Other,
    /// The transport header was cut off.
    Unreadable,
    /// Not an IP packet.
    None,
}
