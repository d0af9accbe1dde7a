//! Packets that carry other packets.
use super::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Load};

/// Upper bound of the nested tunnels that are opened: that of a network, and one that a pod
/// has within.
pub const TUNNELS_MAX: usize = 2;

/// UDP port of Geneve (RFC 8926).
pub const GENEVE_PORT: u16 = 6081;

/// Protocol number of IPv4 inside IP.
pub const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_UDP: u8 = 17;
/// Protocol number of IPv6 inside IP.
pub const PROTOCOL_IPV6: u8 = 41;
/// Protocol number of GRE.
pub const PROTOCOL_GRE: u8 = 47;

/// EtherType of an Ethernet frame inside a tunnel.
const ETHERTYPE_BRIDGED: u16 = 0x6558;

/// Length of UDP, VXLAN (RFC 7348), Geneve (RFC 8926, without options) and the shortest
/// GRE headers (RFC 2784, RFC 2890).
const UDP_LEN: usize = 8;
const VXLAN_LEN: usize = 8;
const GENEVE_LEN: usize = 8;
const GRE_LEN: usize = 4;
/// Flag of a VXLAN header with a network identifier.
const VXLAN_VNI: u8 = 0x08;
/// Flags of GRE: each has a field of 4 bytes.
const GRE_CHECKSUM: u16 = 0x8000;
const GRE_KEY: u16 = 0x2000;
const GRE_SEQUENCE: u16 = 0x1000;

/// The encapsulation of a packet inside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// VXLAN, with its network identifier.
    Vxlan(u32),
    /// Geneve, with its network identifier.
    Geneve(u32),
    /// GRE, with its key.
    Gre(Option<u32>),
    /// IP in IP; the inner packet has this version.
    Ip(u8),
}

/// The packet inside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The encapsulation.
    pub carrier: Carrier,
    /// Where the inner packet starts.
    pub start: usize,
    /// Whether it starts with an Ethernet header, not with IP.
    pub is_ethernet: bool,
}

/// The packet that this one carries, if it is a tunnel packet: at `at`, behind its IP header,
/// by the protocol there. `is_vxlan` recognises ports of VXLAN.
#[inline]
pub fn inside<L: Load + ?Sized>(
    frame: &L,
    protocol: u8,
    at: usize,
    is_vxlan: impl Fn(u16) -> bool,
) -> Option<Inside> {
    match protocol {
        PROTOCOL_UDP => {
            let [_, _, p0, p1] = frame.load(at)?;
            match u16::from_be_bytes([p0, p1]) {
                port if is_vxlan(port) => vxlan(frame, at + UDP_LEN),
                GENEVE_PORT => geneve(frame, at + UDP_LEN),
                _ => None,
            }
        }
        PROTOCOL_IPV4 => Some(bare(Carrier::Ip(4), at)),
        PROTOCOL_IPV6 => Some(bare(Carrier::Ip(6), at)),
        PROTOCOL_GRE => gre(frame, at),
        _ => None,
    }
}

/// An inner packet without an Ethernet header.
fn bare(carrier: Carrier, start: usize) -> Inside {
    Inside {
        carrier,
        start,
        is_ethernet: false,
    }
}

fn vxlan<L: Load + ?Sized>(frame: &L, at: usize) -> Option<Inside> {
    let [flags, _, _, _, v0, v1, v2, _] = frame.load::<VXLAN_LEN>(at)?;
    (flags & VXLAN_VNI != 0).then(|| Inside {
        carrier: Carrier::Vxlan(u32::from_be_bytes([0, v0, v1, v2])),
        start: at + VXLAN_LEN,
        is_ethernet: true,
    })
}

fn geneve<L: Load + ?Sized>(frame: &L, at: usize) -> Option<Inside> {
    let [lengths, _, p0, p1, v0, v1, v2, _] = frame.load::<GENEVE_LEN>(at)?;
    let (version, options) = (lengths >> 6, usize::from(lengths & 0x3f) * 4);
    let is_ethernet = is_inside(u16::from_be_bytes([p0, p1]))?;
    (version == 0).then(|| Inside {
        carrier: Carrier::Geneve(u32::from_be_bytes([0, v0, v1, v2])),
        start: at + GENEVE_LEN + options,
        is_ethernet,
    })
}

fn gre<L: Load + ?Sized>(frame: &L, at: usize) -> Option<Inside> {
    let [f0, f1, p0, p1] = frame.load(at)?;
    let flags = u16::from_be_bytes([f0, f1]);
    let is_ethernet = is_inside(u16::from_be_bytes([p0, p1]))?;
    let len = gre_len(flags)?;
    let key = if flags & GRE_KEY == 0 {
        None
    } else {
        let before = if flags & GRE_CHECKSUM == 0 { 0 } else { 4 };
        Some(u32::from_be_bytes(frame.load(at + GRE_LEN + before)?))
    };
    Some(Inside {
        carrier: Carrier::Gre(key),
        start: at + len,
        is_ethernet,
    })
}

/// Length of a GRE header with these flags; none for other versions, and with routing.
#[inline(always)]
pub(crate) fn gre_len(flags: u16) -> Option<usize> {
    if flags & !(GRE_CHECKSUM | GRE_KEY | GRE_SEQUENCE) != 0 {
        return None;
    }
    let field = |flag| if flags & flag == 0 { 0 } else { 4 };
    Some(GRE_LEN + field(GRE_CHECKSUM) + field(GRE_KEY) + field(GRE_SEQUENCE))
}

/// Whether a frame of that EtherType in a tunnel has an Ethernet header or is IP; none if it
/// is neither.
#[inline(always)]
pub(crate) fn is_inside(ethertype: u16) -> Option<bool> {
    match ethertype {
        ETHERTYPE_BRIDGED => Some(true),
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inner packet of an IPv4 packet of that protocol.
    fn carried(protocol: u8, payload: &[u8]) -> Option<(Carrier, usize, bool)> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol];
        packet.resize(20, 0);
        packet.extend(payload);
        let found = inside(packet.as_slice(), protocol, 20, |port| port == 4789)?;
        Some((found.carrier, found.start, found.is_ethernet))
    }

    fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
        let [p0, p1] = port.to_be_bytes();
        [&[0, 9, p0, p1, 0, 0, 0, 0], payload].concat()
    }

    #[test]
    fn tunnels_over_udp_are_found() {
        let vxlan = |flags, port| udp(port, &[flags, 0, 0, 0, 0, 1, 0, 0]);
        let found = Some((Carrier::Vxlan(256), 36, true));
        assert_eq!(carried(17, &vxlan(8, 4789)), found);
        assert_eq!(carried(17, &vxlan(0, 4789)), None);
        assert_eq!(carried(17, &vxlan(8, 4790)), None);
        let geneve = |lengths, ethertype: u16| {
            let [e0, e1] = ethertype.to_be_bytes();
            udp(GENEVE_PORT, &[lengths, 0, e0, e1, 0, 1, 0, 0])
        };
        let found = |start, is_ethernet| Some((Carrier::Geneve(256), start, is_ethernet));
        assert_eq!(carried(17, &geneve(0, 0x6558)), found(36, true));
        assert_eq!(carried(17, &geneve(0x3f, 0x6558)), found(36 + 252, true));
        assert_eq!(carried(17, &geneve(2, 0x86dd)), found(44, false));
        assert_eq!(carried(17, &geneve(0, 0x88cc)), None);
        assert_eq!(carried(17, &geneve(0x40, 0x6558)), None);
    }

    #[test]
    fn tunnels_over_ip_are_found() {
        assert_eq!(carried(4, &[]), Some((Carrier::Ip(4), 20, false)));
        assert_eq!(carried(41, &[]), Some((Carrier::Ip(6), 20, false)));
        let gre = |flags: u16, ethertype: u16| {
            let begin = [flags.to_be_bytes(), ethertype.to_be_bytes()].concat();
            let fields = [1_u32, 2, 3].map(u32::to_be_bytes).concat();
            carried(47, &[begin, fields].concat())
        };
        let found = |key, start, is_ethernet| Some((Carrier::Gre(key), start, is_ethernet));
        assert_eq!(gre(0, 0x0800), found(None, 24, false));
        assert_eq!(gre(0x2000, 0x6558), found(Some(1), 28, true));
        assert_eq!(gre(0xb000, 0x86dd), found(Some(2), 36, false));
        // PPTP's version, source routes, and ERSPAN.
        assert_eq!(gre(0x0001, 0x0800), None);
        assert_eq!(gre(0x4000, 0x0800), None);
        assert_eq!(gre(0x1000, 0x88be), None);
    }
}
