//! The header walk: from the start of a frame to its transport header.
//!
//! Generic over [`Load`], so that the same source serves byte slices and
//! packets in the kernel; every loop is bounded.
mod link;
mod tunnel;

pub use link::{
    ETHERNET_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MIN,
    ETHERTYPE_PPPOE_DISCOVERY, LinkLayer, Llc, Shim, is_plain, link, plain,
};
pub use tunnel::{
    Carrier, GENEVE_PORT, Inside, PROTOCOL_GRE, PROTOCOL_IPV4, PROTOCOL_IPV6, TUNNELS_MAX, inside,
};
pub(crate) use tunnel::{gre_len, is_inside};

/// A source of bytes.
pub trait Load {
    /// `N` bytes at `offset`; none if they reach beyond the end.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Hides the value of a number from the verifier.
    #[inline(always)]
    fn forget(&self, number: usize) -> usize {
        number
    }
}

impl Load for [u8] {
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}

/// Upper bound of the IPv6 extension headers that are followed.
const EXTENSIONS_MAX: usize = 8;

/// Why the walk ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkError {
    /// The frame ends within a header.
    TooShort,
    /// A header contradicts itself.
    Malformed,
}

/// The content of an IP header and its extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpLayer {
    /// 4 or 6.
    pub version: u8,
    /// Where the IP header starts.
    pub start: usize,
    /// The transport protocol, behind any extension headers.
    pub protocol: u8,
    /// Where the transport header starts.
    pub transport: usize,
    /// Length of the packet by its header, IP header included; 0 if the header does not state
    /// it (GSO, jumbograms).
    pub length: u32,
    /// IPv4 TTL or IPv6 hop limit.
    pub ttl: u8,
    /// IPv4 identification or IPv6 flow label.
    pub id: u32,
    /// Identification, offset in bytes, and whether more follow.
    pub fragment: Option<(u32, u16, bool)>,
}

/// Reads an IPv4 or IPv6 header, according to the version field.
///
/// # Errors
/// When the frame ends within it or the header is malformed.
pub fn ip<L: Load + ?Sized>(frame: &L, start: usize) -> Result<IpLayer, WalkError> {
    match byte(frame, start)? >> 4 {
        4 => ipv4(frame, start),
        6 => ipv6(frame, start),
        _ => Err(WalkError::Malformed),
    }
}

fn ipv4<L: Load + ?Sized>(frame: &L, start: usize) -> Result<IpLayer, WalkError> {
    let header: [u8; 20] = frame.load(start).ok_or(WalkError::TooShort)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let length = u32::from(u16::from_be_bytes([header[2], header[3]]));
    if header_len < header.len() || (length != 0 && (length as usize) < header_len) {
        return Err(WalkError::Malformed);
    }
    let id = u32::from(u16::from_be_bytes([header[4], header[5]]));
    let flags = u16::from_be_bytes([header[6], header[7]]);
    let (offset, more) = ((flags & 0x1fff) << 3, flags & 0x2000 != 0);
    Ok(IpLayer {
        version: 4,
        start,
        protocol: header[9],
        transport: start + header_len,
        length,
        ttl: header[8],
        id,
        fragment: (offset != 0 || more).then_some((id, offset, more)),
    })
}

fn ipv6<L: Load + ?Sized>(frame: &L, start: usize) -> Result<IpLayer, WalkError> {
    let header: [u8; 8] = frame.load(start).ok_or(WalkError::TooShort)?;
    let payload = u32::from(u16::from_be_bytes([header[4], header[5]]));
    let mut layer = IpLayer {
        version: 6,
        start,
        protocol: header[6],
        transport: start + 40,
        length: if payload == 0 { 0 } else { payload + 40 },
        ttl: header[7],
        id: u32::from_be_bytes([0, header[1] & 0x0f, header[2], header[3]]),
        fragment: None,
    };
    for _ in 0..EXTENSIONS_MAX {
        let Some(len) = extension(frame, &mut layer)? else {
            return Ok(layer);
        };
        layer.protocol = byte(frame, layer.transport)?;
        layer.transport += len;
        if layer.fragment.is_some_and(|(_, offset, _)| offset != 0) {
            return Ok(layer);
        }
    }
    Err(WalkError::Malformed)
}

/// Length of the extension header that `layer` is at; none at a transport header.
fn extension<L: Load + ?Sized>(frame: &L, layer: &mut IpLayer) -> Result<Option<usize>, WalkError> {
    let len_field = || Ok(usize::from(byte(frame, layer.transport + 1)?));
    Ok(match layer.protocol {
        // Hop-by-hop options, routing, destination options: units of 8 bytes.
        0 | 43 | 60 => Some((len_field()? + 1) * 8),
        // Authentication header: units of 4 bytes (RFC 4302).
        51 => Some((len_field()? + 2) * 4),
        44 => {
            let header: [u8; 8] = frame.load(layer.transport).ok_or(WalkError::TooShort)?;
            let offset = u16::from_be_bytes([header[2], header[3]]);
            let id = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            layer.fragment = Some((id, offset & 0xfff8, offset & 1 != 0));
            Some(8)
        }
        _ => None,
    })
}

#[inline(always)]
fn byte<L: Load + ?Sized>(frame: &L, at: usize) -> Result<u8, WalkError> {
    let [byte] = frame.load(at).ok_or(WalkError::TooShort)?;
    Ok(byte)
}

#[inline(always)]
fn half<L: Load + ?Sized>(frame: &L, at: usize) -> Result<u16, WalkError> {
    frame
        .load(at)
        .map(u16::from_be_bytes)
        .ok_or(WalkError::TooShort)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ipv4_options_and_fragments_are_walked() {
        let mut packet = vec![0x46, 0, 0, 40, 0x12, 0x34, 0x20, 3, 63, 17];
        packet.resize(40, 0);
        let layer = ip(packet.as_slice(), 0).unwrap();
        assert_eq!(layer.transport, 24);
        assert_eq!(layer.fragment, Some((0x1234, 24, true)));
        packet[0] = 0x44;
        assert_eq!(ip(packet.as_slice(), 0), Err(WalkError::Malformed));
    }

    #[test]
    fn ipv6_extension_headers_are_walked() {
        let mut packet = vec![0x60, 1, 2, 3, 0, 100, 0, 61];
        packet.resize(40, 0);
        packet.extend([44, 0, 0, 0, 0, 0, 0, 0]); // hop-by-hop, then fragment
        packet.extend([58, 0, 0, 1, 0, 0, 0, 9]); // first fragment, then ICMPv6
        let layer = ip(packet.as_slice(), 0).unwrap();
        assert_eq!((layer.protocol, layer.transport), (58, 56));
        assert_eq!(layer.fragment, Some((9, 0, true)));
        assert_eq!(layer.id, 0x1_0203);
        assert_eq!(ip(&packet[..50], 0), Err(WalkError::TooShort));
    }

    #[test]
    fn ipv6_endless_extensions_are_refused() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, 0, 61];
        packet.resize(400, 0);
        assert_eq!(ip(packet.as_slice(), 0), Err(WalkError::Malformed));
    }

    proptest! {
        #[test]
        fn walk_of_any_bytes_stays_within_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = link(bytes.as_slice(), 0);
            if let Ok(layer) = ip(bytes.as_slice(), 0) {
                prop_assert!(layer.transport >= 20);
                prop_assert!(matches!(layer.version, 4 | 6));
                let _ = inside(bytes.as_slice(), layer.protocol, layer.transport, |_| true);
            }
        }
    }
}
