//! Where captured bytes are split, and what of the second part differs between hops.
use podtrace_ebpf::parse::{self, ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, TUNNELS_MAX};

use crate::packet::link;

/// Length of an IPv4 header without options, and the places in it.
const IPV4_LEN: usize = 20;
const TTL: usize = 8;
const CHECKSUM: usize = 10;
/// The begin of an IPv6 header, as far as the hop limit.
const IPV6_LEN: usize = 8;
const HOP_LIMIT: usize = 7;

/// What of a packet changes from hop to hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Varying {
    /// TTL or hop limit.
    pub(super) ttl: u8,
    /// The header's checksum, exclusive or what it should be.
    pub(super) checksum: u16,
}

/// The kind of bytes by their begin and length.
enum Kind {
    /// As IPv4, with the length of the header.
    Ipv4(usize),
    Ipv6,
    Other,
}

fn kind(body: &[u8]) -> Kind {
    match body.first() {
        Some(first) if first >> 4 == 4 && body.len() >= IPV4_LEN => {
            Kind::Ipv4(usize::from(first & 0x0f) * 4)
        }
        Some(first) if first >> 4 == 6 && body.len() >= IPV6_LEN => Kind::Ipv6,
        _ => Kind::Other,
    }
}

impl Varying {
    /// Takes it out of the bytes, which need not be a packet.
    #[inline]
    pub(super) fn take(body: &mut [u8]) -> Self {
        match kind(body) {
            Kind::Ipv4(header) => {
                let ttl = std::mem::take(&mut body[TTL]);
                let stated = u16::from_be_bytes([body[CHECKSUM], body[CHECKSUM + 1]]);
                body[CHECKSUM..CHECKSUM + 2].fill(0);
                let right = checksum(sum(body, header), ttl);
                Self {
                    ttl,
                    checksum: stated ^ right,
                }
            }
            Kind::Ipv6 => Self {
                ttl: std::mem::take(&mut body[HOP_LIMIT]),
                checksum: 0,
            },
            Kind::Other => Self::default(),
        }
    }

    /// Puts it back. `sum`: [`sum_of`] the bytes, or of more that begin with them.
    #[inline]
    pub(super) fn put(self, body: &mut [u8], sum: Option<u32>) {
        match kind(body) {
            Kind::Ipv4(header) => {
                // A header that is cut has another sum than the whole one.
                let sum = match sum {
                    Some(sum) if header <= body.len() => sum,
                    _ => self::sum(body, header),
                };
                let stated = self.checksum ^ checksum(sum, self.ttl);
                body[TTL] = self.ttl;
                body[CHECKSUM..CHECKSUM + 2].copy_from_slice(&stated.to_be_bytes());
            }
            Kind::Ipv6 => body[HOP_LIMIT] = self.ttl,
            Kind::Other => {}
        }
    }
}

/// The sum of the words of an IPv4 header, if the bytes begin with one.
pub(super) fn sum_of(body: &[u8]) -> Option<u32> {
    match kind(body) {
        Kind::Ipv4(header) => Some(sum(body, header)),
        Kind::Ipv6 | Kind::Other => None,
    }
}

fn sum(body: &[u8], header: usize) -> u32 {
    // Words of four bytes have the same sum as those of two.
    let (words, _) = body.as_chunks();
    let words = words.get(..header.max(IPV4_LEN) / 4).unwrap_or(words);
    let sum: u64 = words
        .iter()
        .map(|word| u64::from(u32::from_be_bytes(*word)))
        .sum();
    (sum >> 32) as u32 + (sum >> 16 & 0xffff) as u32 + (sum & 0xffff) as u32
}

/// The checksum of a header (RFC 1071), by the sum of its words without TTL.
fn checksum(sum: u32, ttl: u8) -> u16 {
    let sum = sum + (u32::from(ttl) << 8);
    let sum = (sum >> 16) + (sum & 0xffff);
    !((sum >> 16) + (sum & 0xffff)) as u16
}

/// Where the innermost IP header of captured bytes seems to be, or what is behind a link header.
/// The split only decides how short a batch is: whatever it is, both parts are kept.
pub(super) fn split_at(captured: &[u8], link: u16) -> usize {
    let mut at = match link {
        link::ETHERNET => match parse::link(captured, 0) {
            Ok(layer) => layer.next,
            Err(_) => 0,
        },
        _ => 0,
    };
    for _ in 0..TUNNELS_MAX {
        let inner = parse::ip(captured, at).ok().and_then(|layer| {
            // VXLAN has any port: what is inside has to look like IP.
            let inside = parse::inside(captured, layer.protocol, layer.transport, |_| true)?;
            ip_at(captured, inside.start, inside.is_ethernet)
        });
        match inner {
            Some(inner) => at = inner,
            None => break,
        }
    }
    at.min(captured.len())
}

fn ip_at(captured: &[u8], start: usize, is_ethernet: bool) -> Option<usize> {
    let at = if is_ethernet {
        let ethertype = parse::plain(captured, start)?;
        matches!(ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6).then_some(start + ETHERNET_LEN)?
    } else {
        start
    };
    let version = captured.get(at)? >> 4;
    matches!(version, 4 | 6).then_some(at)
}
