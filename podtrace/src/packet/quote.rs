//! Errors of ICMP, and the packet that each quotes (RFC 792, RFC 4443).
use std::net::{IpAddr, Ipv4Addr};

use network_types::ip::IpProto;
use podtrace_ebpf::parse::{self, Load as _};

use super::{DecodeOptions, Framing, Network, Packet, Transport, decode::ICMP_LEN};

/// The content of an ICMP or ICMPv6 error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Whether it is of ICMP, not ICMPv6.
    pub is_v4: bool,
    /// The type field.
    pub kind: u8,
    /// The code field.
    pub code: u8,
    /// The four bytes before the quote.
    pub value: u32,
}

/// An error, and the packet that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The content of the error.
    pub error: IcmpError,
    /// The headers of the packet, of TCP at least ports and sequence number. Of one in tunnels
    /// that is quoted too shortly to be recognised, those of the outermost.
    pub packet: Packet,
    /// The UDP port that the outermost packet is for.
    pub port: Option<u16>,
}

impl Packet {
    /// Whether it is an error of ICMP or ICMPv6.
    pub(crate) fn is_icmp_error(&self) -> bool {
        match (self.transport, self.source()) {
            (Transport::Icmp { kind, .. }, Some(IpAddr::V4(_))) => {
                matches!(kind, 3 | 4 | 5 | 11 | 12)
            }
            (Transport::Icmp { kind, .. }, _) => kind < 128,
            _ => false,
        }
    }
}

impl IcmpError {
    /// Whether the packet went no further: a redirect goes with the packet on its way.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        !self.is_v4 || matches!(self.kind, 3 | 11 | 12)
    }

    /// How large a packet may be, where the error says so.
    #[must_use]
    pub fn mtu(self) -> Option<u32> {
        let mtu = match (self.is_v4, self.kind, self.code) {
            (true, 3, 4) => self.value & 0xffff,
            (false, 2, _) => self.value,
            _ => 0,
        };
        (mtu > 0).then_some(mtu)
    }

    /// The router that a redirect names.
    #[must_use]
    pub fn gateway(self) -> Option<Ipv4Addr> {
        (self.is_v4 && self.kind == 5).then(|| Ipv4Addr::from_bits(self.value))
    }

    /// Its name, if its type and code have one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        icmp_error_name(self.is_v4, self.kind, self.code)
    }
}

/// Names of errors (RFC 792, 1122, 1812; RFC 4443, 7112, 8883).
pub(super) fn icmp_error_name(is_v4: bool, kind: u8, code: u8) -> Option<&'static str> {
    Some(match (is_v4, kind, code) {
        (true, 3, 0) => "network unreachable",
        (true, 3, 1) => "host unreachable",
        (true, 3, 2) => "protocol unreachable",
        (true, 3, 3) | (false, 1, 4) => "port unreachable",
        (true, 3, 4) => "fragmentation needed",
        (true, 3, 5) => "source route failed",
        (true, 3, 6) => "network unknown",
        (true, 3, 7) => "host unknown",
        (true, 3, 8) => "source host isolated",
        (true, 3, 9) => "network prohibited",
        (true, 3, 10) => "host prohibited",
        (true, 3, 11) => "network unreachable for the type of service",
        (true, 3, 12) => "host unreachable for the type of service",
        (true, 3, 13) | (false, 1, 1) => "communication prohibited",
        (true, 3, 14) => "host precedence violation",
        (true, 3, 15) => "precedence cutoff",
        (true, 4, _) => "source quench",
        (true, 5, _) => "redirect",
        (true, 11, 0) => "TTL exceeded",
        (true, 11, 1) | (false, 3, 1) => "reassembly time exceeded",
        (true, 12, 1) => "option missing",
        (true, 12, 2) => "bad length",
        (true, 12, _) => "parameter problem",
        (false, 1, 0) => "no route",
        (false, 1, 2) => "beyond scope of the source address",
        (false, 1, 3) => "address unreachable",
        (false, 1, 5) => "source address failed policy",
        (false, 1, 6) => "route rejected",
        (false, 1, 7) => "error in source routing header",
        (false, 1, 8) => "headers too long",
        (false, 2, _) => "packet too big",
        (false, 3, 0) => "hop limit exceeded",
        (false, 4, 0) => "erroneous header field",
        (false, 4, 1) => "unknown next header",
        (false, 4, 2) => "unknown option",
        (false, 4, 3) => "incomplete header chain",
        _ => return None,
    })
}

impl Quote {
    /// The quote of a packet, if that is an error. `message`: what was captured of it from its
    /// ICMP header on.
    #[inline(never)]
    pub(super) fn read(packet: &Packet, message: &[u8], options: &DecodeOptions) -> Option<Self> {
        let Transport::Icmp { kind, code } = packet.transport else {
            return None;
        };
        if !packet.is_icmp_error() {
            return None;
        }
        let error = IcmpError {
            is_v4: packet.source().is_some_and(|source| source.is_ipv4()),
            kind,
            code,
            value: u32::from_be_bytes(message.load(ICMP_LEN - 4)?),
        };
        let bytes = message.get(ICMP_LEN..)?;
        Some(Self {
            error,
            packet: quoted(bytes, options)?,
            port: udp_port(bytes),
        })
    }

    /// The sender of the packet, of one in tunnels that of the outermost: the error is for it.
    pub(crate) fn sender(&self) -> Option<IpAddr> {
        let tunnel = self.packet.tunnel.map(|tunnel| tunnel.source);
        tunnel.or_else(|| self.packet.source())
    }
}

/// Reads a quoted packet: of one in tunnels the innermost if that can be recognised.
fn quoted(bytes: &[u8], options: &DecodeOptions) -> Option<Packet> {
    let length = u32::try_from(bytes.len()).ok()?;
    let mut packet = Packet::unread();
    let start = packet
        .read_all(bytes, length, Framing::Ip, options)
        .transport;
    if packet.network == Network::Unreadable {
        return None;
    }
    if packet.transport == Transport::Unreadable {
        match first_bytes(bytes.get(start..).unwrap_or_default(), &packet) {
            Some(transport) => packet.transport = transport,
            None if packet.tunnel.is_some() => return Some(Packet::read_outermost(bytes, options)),
            None => return None,
        }
    }
    Some(packet)
}

/// The port that a UDP packet is for.
fn udp_port(bytes: &[u8]) -> Option<u16> {
    let layer = parse::ip(bytes, 0).ok()?;
    let is_udp = layer.protocol == IpProto::Udp as u8;
    let port = is_udp.then(|| bytes.load(layer.transport + 2))?;
    port.map(u16::from_be_bytes)
}

/// Decodes the first bytes of a TCP header.
fn first_bytes(header: &[u8], packet: &Packet) -> Option<Transport> {
    let [s0, s1, d0, d1, sequence @ ..]: [u8; 8] = *header.first_chunk()?;
    let Network::Ip(ip) = &packet.network else {
        return None;
    };
    (ip.protocol == IpProto::Tcp as u8).then_some(Transport::Tcp {
        source: u16::from_be_bytes([s0, s1]),
        destination: u16::from_be_bytes([d0, d1]),
        sequence: u32::from_be_bytes(sequence),
        acknowledgment: 0,
        flags: 0,
        payload: 0,
    })
}
