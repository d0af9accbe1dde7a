//! Decodes captured bytes into a [`Packet`].
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use network_types::ip::IpProto;
use podtrace_ebpf::parse::{
    self, ETHERNET_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV4, Inside, IpLayer, Load as _, TUNNELS_MAX,
};

use super::{
    Arp, DecodeOptions, Fragment, Framing, Ip, Link, Mac, Network, Packet, Transport, Tunnel,
};

/// Length of an ARP packet for IPv4 over Ethernet (RFC 826).
const ARP_LEN: u32 = 28;
/// Length of a UDP header (RFC 768).
pub(super) const UDP_LEN: usize = 8;
/// Length of an ICMP or ICMPv6 header.
pub(super) const ICMP_LEN: usize = 8;

/// "Don't fragment" in the byte of the flags of an IPv4 header (RFC 791).
const DF: u8 = 0x40;

/// Where parts of a packet are in its frame, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// The transport header, of a packet in tunnels that of the innermost.
    pub(crate) transport: usize,
    /// The innermost frame of a packet in a tunnel, and what it begins with.
    pub(crate) inner: Option<(usize, Framing)>,
}

impl Packet {
    /// Reads the headers of a frame from `frame`, its captured bytes; the frame was `wire_len`
    /// bytes long. Of nested packets, it reads the innermost; `tunnel` has the outermost
    /// headers.
    #[must_use]
    pub fn decode(frame: &[u8], wire_len: u32, framing: Framing, options: &DecodeOptions) -> Self {
        let mut packet = Self::unread();
        packet.read_all(frame, wire_len, framing, options);
        packet
    }

    /// [`Self::decode`] in place, as a packet is large to move. `self` must be unread.
    pub(crate) fn read_all(
        &mut self,
        frame: &[u8],
        wire_len: u32,
        framing: Framing,
        options: &DecodeOptions,
    ) -> Places {
        let mut places = Places::default();
        let mut carried = self.read(frame, 0, wire_len, framing, options, &mut places.transport);
        for _ in 0..TUNNELS_MAX {
            let (Some(inside), Network::Ip(ip)) = (carried, &self.network) else {
                return places;
            };
            let framing = if inside.is_ethernet {
                Framing::Ethernet
            } else {
                Framing::Ip
            };
            let mut inner = Self::unread();
            let mut start = 0;
            carried = inner.read(frame, inside.start, wire_len, framing, options, &mut start);
            if inner.network == Network::Unreadable {
                return places;
            }
            places = Places {
                transport: start,
                inner: Some((inside.start, framing)),
            };
            inner.tunnel = self.tunnel.or(Some(Tunnel {
                source: ip.source,
                destination: ip.destination,
                carrier: inside.carrier,
                id: ip.id,
                fragment: ip.fragment.map(|fragment| fragment.id),
            }));
            *self = inner;
        }
        places
    }

    /// Reads the headers of an IP packet alone, not those of what it carries.
    pub(super) fn read_outermost(bytes: &[u8], options: &DecodeOptions) -> Self {
        let mut packet = Self::unread();
        packet.read(bytes, 0, offset(bytes.len()), Framing::Ip, options, &mut 0);
        packet
    }

    /// A packet before anything of it is read.
    pub(crate) fn unread() -> Self {
        Self {
            tunnel: None,
            vlan: None,
            shim: None,
            link: None,
            network: Network::Unreadable,
            transport: Transport::None,
            payload_hash: 0,
            length: 0,
        }
    }

    /// Reads the headers from `start` on; returns what the packet carries, and sets where its
    /// transport header begins.
    fn read(
        &mut self,
        frame: &[u8],
        start: usize,
        wire_len: u32,
        framing: Framing,
        options: &DecodeOptions,
        transport: &mut usize,
    ) -> Option<Inside> {
        let (ethertype, next) = match framing {
            // The IP header states its version.
            Framing::Ip => (ETHERTYPE_IPV4, start),
            Framing::Ethernet => match parse::plain(frame, start) {
                Some(ethertype) => {
                    self.link = link(frame, start, ethertype);
                    (ethertype, start + ETHERNET_LEN)
                }
                None => self.read_link(frame, start, wire_len, options)?,
            },
        };
        self.length = wire_len.saturating_sub(offset(next));
        if ethertype == ETHERTYPE_ARP {
            self.network = arp(frame, next).map_or(Network::Unreadable, Network::Arp);
            // Ethernet pads it on some links only.
            self.length = self.length.min(ARP_LEN);
            return None;
        }
        let carried = self.read_ip(frame, next, wire_len, options, transport);
        if matches!(self.network, Network::Unreadable) {
            self.payload_hash = rest(frame, start, options);
        }
        carried
    }

    /// Reads a link layer that is more than an Ethernet header. Returns EtherType and start of
    /// IP or ARP, and reads everything else itself.
    #[inline(never)]
    fn read_link(
        &mut self,
        frame: &[u8],
        start: usize,
        wire_len: u32,
        options: &DecodeOptions,
    ) -> Option<(u16, usize)> {
        let Ok(layer) = parse::link(frame, start) else {
            self.length = wire_len.saturating_sub(offset(start));
            self.payload_hash = rest(frame, start, options);
            return None;
        };
        self.link = link(frame, start, layer.ethertype);
        self.vlan = layer.vlan;
        self.shim = layer.shim;
        if parse::is_plain(layer.ethertype) {
            return Some((layer.ethertype, layer.next));
        }
        self.network = layer.llc.map_or(Network::Other, Network::Llc);
        self.length = wire_len.saturating_sub(offset(layer.next));
        // Ethernet pads short frames: some link layers state where they end.
        let end = layer.end.unwrap_or(usize::MAX);
        self.length = self.length.min(offset(end.saturating_sub(layer.next)));
        self.payload_hash = rest(&frame[..frame.len().min(end)], layer.next, options);
        None
    }

    /// Reads IP and transport; returns what the packet carries.
    fn read_ip(
        &mut self,
        frame: &[u8],
        start: usize,
        wire_len: u32,
        options: &DecodeOptions,
        transport_start: &mut usize,
    ) -> Option<Inside> {
        let layer = parse::ip(frame, start).ok()?;
        *transport_start = layer.transport;
        let (source, destination) = addresses(frame, &layer)?;
        let on_wire = wire_len.saturating_sub(offset(start));
        self.length = if layer.length == 0 {
            on_wire
        } else {
            layer.length
        };
        self.network = Network::Ip(Ip {
            source,
            destination,
            ttl: layer.ttl,
            protocol: layer.protocol,
            id: layer.id,
            may_fragment: source.is_ipv4()
                && frame.get(start + 6).is_some_and(|byte| byte & DF == 0),
            fragment: layer
                .fragment
                .map(|(id, offset, more)| Fragment { id, offset, more }),
        });
        let headers = offset(layer.transport - start);
        // Ethernet pads short frames: payload ends where IP says.
        let end = start.saturating_add(self.length as usize).min(frame.len());
        let captured = frame.get(layer.transport..end).unwrap_or_default();
        let (transport, header_len) =
            transport(captured, &layer, self.length.saturating_sub(headers));
        self.transport = transport;
        self.payload_hash = hash(captured.get(header_len..).unwrap_or_default(), options);
        if transport == Transport::Fragment {
            return None;
        }
        let is_vxlan = |port| options.is_vxlan(port);
        parse::inside(frame, layer.protocol, layer.transport, is_vxlan)
    }
}

impl DecodeOptions {
    #[expect(clippy::manual_contains, reason = "a call, made for many ports")]
    pub(super) fn is_vxlan(&self, port: u16) -> bool {
        self.vxlan_ports.iter().any(|known| *known == port)
    }
}

/// The hash of the bytes from `start` on, which cannot be read and count as payload.
fn rest(frame: &[u8], start: usize, options: &DecodeOptions) -> u32 {
    hash(frame.get(start..).unwrap_or_default(), options)
}

fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn mac(frame: &[u8], at: usize) -> Option<Mac> {
    frame.load(at).map(Mac)
}

fn link(frame: &[u8], start: usize, ethertype: u16) -> Option<Link> {
    Some(Link {
        destination: mac(frame, start)?,
        source: mac(frame, start + 6)?,
        ethertype,
    })
}

fn ipv4_at(frame: &[u8], at: usize) -> Option<Ipv4Addr> {
    frame.load::<4>(at).map(Ipv4Addr::from)
}

fn ipv6_at(frame: &[u8], at: usize) -> Option<Ipv6Addr> {
    frame.load::<16>(at).map(Ipv6Addr::from)
}

fn addresses(frame: &[u8], layer: &IpLayer) -> Option<(IpAddr, IpAddr)> {
    let at = layer.start;
    Some(if layer.version == 4 {
        (
            ipv4_at(frame, at + 12)?.into(),
            ipv4_at(frame, at + 16)?.into(),
        )
    } else {
        (
            ipv6_at(frame, at + 8)?.into(),
            ipv6_at(frame, at + 24)?.into(),
        )
    })
}

/// Ethernet and IPv4 only: hardware type 1, lengths 6 and 4.
fn arp(frame: &[u8], at: usize) -> Option<Arp> {
    let header: [u8; 8] = frame.load(at)?;
    let [0, 1, 8, 0, 6, 4, operation @ ..] = header else {
        return None;
    };
    Some(Arp {
        operation: u16::from_be_bytes(operation),
        sender_mac: mac(frame, at + 8)?,
        sender: ipv4_at(frame, at + 14)?,
        target_mac: mac(frame, at + 18)?,
        target: ipv4_at(frame, at + 24)?,
    })
}

/// The transport header and its length; `length` is the length of header and payload.
fn transport(bytes: &[u8], layer: &IpLayer, length: u32) -> (Transport, usize) {
    if layer.fragment.is_some_and(|(_, offset, _)| offset != 0) {
        return (Transport::Fragment, 0);
    }
    let icmp = if layer.version == 4 {
        IpProto::Icmp
    } else {
        IpProto::Ipv6Icmp
    } as u8;
    let read = match layer.protocol {
        protocol if protocol == icmp => icmp_message(bytes, layer.version),
        protocol if protocol == IpProto::Tcp as u8 => tcp(bytes, length),
        protocol if protocol == IpProto::Udp as u8 => udp(bytes, length),
        _ => Some((Transport::Other, 0)),
    };
    read.unwrap_or((Transport::Unreadable, 0))
}

fn icmp_message(bytes: &[u8], version: u8) -> Option<(Transport, usize)> {
    let [kind, code, _, _, id @ .., s0, s1] = bytes.load::<ICMP_LEN>(0)?;
    let message = match (version, kind) {
        (4, 0 | 8) | (6, 128 | 129) => Transport::Echo {
            reply: matches!(kind, 0 | 129),
            id: u16::from_be_bytes(id),
            sequence: u16::from_be_bytes([s0, s1]),
        },
        (6, 135 | 136) => Transport::Neighbor {
            advertisement: kind == 136,
            target: ipv6_at(bytes, ICMP_LEN)?,
            // One option of 8 bytes: source (1) or target (2) link-layer address.
            mac: match bytes.load::<2>(24) {
                Some([1 | 2, 1]) => mac(bytes, 26),
                _ => None,
            },
        },
        _ => Transport::Icmp { kind, code },
    };
    Some((message, ICMP_LEN))
}

fn tcp(bytes: &[u8], length: u32) -> Option<(Transport, usize)> {
    let header: [u8; 20] = bytes.load(0)?;
    let header_len = usize::from(header[12] >> 4) * 4;
    if header_len < header.len() {
        return None;
    }
    let word = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let tcp = Transport::Tcp {
        source: u16::from_be_bytes([header[0], header[1]]),
        destination: u16::from_be_bytes([header[2], header[3]]),
        sequence: word(4),
        acknowledgment: word(8),
        flags: header[13],
        payload: length.saturating_sub(offset(header_len)),
    };
    Some((tcp, header_len))
}

fn udp(bytes: &[u8], length: u32) -> Option<(Transport, usize)> {
    let header: [u8; UDP_LEN] = bytes.load(0)?;
    let udp = Transport::Udp {
        source: u16::from_be_bytes([header[0], header[1]]),
        destination: u16::from_be_bytes([header[2], header[3]]),
        payload: length.saturating_sub(offset(UDP_LEN)),
    };
    Some((udp, UDP_LEN))
}

/// A hash of the first bytes; 0 if there are none. It takes eight bytes at a time, as it runs
/// for every event.
fn hash(payload: &[u8], options: &DecodeOptions) -> u32 {
    let bytes = &payload[..payload.len().min(options.key_payload)];
    if bytes.is_empty() {
        return 0;
    }
    let (words, rest) = bytes.as_chunks();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]);
    let mixed = words.fold(bytes.len() as u64, |hash, word| {
        let hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ hash >> 32
    });
    mixed as u32
}

#[cfg(test)]
mod tests;
