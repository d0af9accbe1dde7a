//! Inspects the first bytes of a packet, for `--sample` and `--headers-only`.
//!
//! The digest covers the fields that tunnels, routers and address translation leave
//! unchanged, so that every tap of every node samples the same packets. It omits
//! checksums, which offloads change, and addresses and ports, which services change.
//! Padding behind a short packet is zero, as drivers write it.
//!
//! The kernel runs this code: it reads words at fixed offsets, which the verifier accepts.

mod memory;

use crate::{
    config::KEY_PAYLOAD,
    parse::{
        self, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, GENEVE_PORT, PROTOCOL_GRE,
        PROTOCOL_IPV4, PROTOCOL_IPV6, TUNNELS_MAX,
    },
};

pub use memory::InMemory;

/// Words of a [`View`]: an IPv6 header and 24 more bytes.
pub const VIEW_WORDS: usize = 16;
/// Bytes of a [`View`].
pub const VIEW_LEN: usize = VIEW_WORDS * 4;

/// The first bytes of a packet from its network header.
pub trait View {
    /// Word number `at`, less than [`VIEW_WORDS`], as it stands in memory; zero
    /// behind the packet's end.
    fn word(&self, at: usize) -> u32;
}

/// A view that is a copy, two words in each number.
#[derive(Clone, Copy, Debug)]
pub struct Copied(pub [u64; VIEW_WORDS / 2]);

impl View for Copied {
    #[inline(always)]
    fn word(&self, at: usize) -> u32 {
        let [a, b, c, d, e, f, g, h] = self.0[at / 2].to_ne_bytes();
        u32::from_ne_bytes(if at.is_multiple_of(2) {
            [a, b, c, d]
        } else {
            [e, f, g, h]
        })
    }
}

/// A packet whose headers are walked.
pub trait Frame {
    /// The EtherType and the offset of the network header behind an Ethernet header.
    fn link(&self, at: u32) -> Option<(u16, u32)>;

    /// [`inspect`]s the bytes from there on. `opens`: whether tunnels are opened.
    fn inspect(&self, at: u32, ethertype: u16, opens: bool) -> Inspection;

    /// Hides the value of a number from the kernel's verifier, which then follows the code
    /// behind once, not once for each value.
    #[inline(always)]
    fn forget(&self, number: u32) -> u32 {
        number
    }
}

/// What an inspection depends on, apart from the packet.
#[derive(Clone, Copy, Debug)]
pub struct InspectOptions<P> {
    /// The kind of the network header.
    pub ethertype: u16,
    /// Whether tunnels are opened.
    pub opens: bool,
    /// Whether a UDP port is a VXLAN port.
    pub is_vxlan: P,
}

/// The result of an inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// The packet is of no known protocol: it is always captured, whole.
    Unknown,
    /// There is no other packet inside.
    Packet(Seen),
    /// A tunnel: the packet inside counts.
    Tunnel(Inner),
}

/// The innermost packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Equal at all hops, spread evenly.
    pub digest: u32,
    /// Bytes from the network header on that count as headers, with the payload that
    /// distinguishes packets with equal headers; `u32::MAX`: all bytes.
    pub headers: u32,
}

/// A packet inside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Where it starts, from the outer one's network header, in bytes.
    pub at: u32,
    /// Whether it starts with an Ethernet header, not with IP.
    pub is_ethernet: bool,
}

const PROTOCOL_HOP_BY_HOP: u32 = 0;
const PROTOCOL_ICMP: u32 = 1;
const PROTOCOL_TCP: u32 = 6;
const PROTOCOL_UDP: u32 = 17;
const PROTOCOL_ROUTING: u32 = 43;
const PROTOCOL_FRAGMENT: u32 = 44;
const PROTOCOL_AUTHENTICATION: u32 = 51;
const PROTOCOL_ICMPV6: u32 = 58;
const PROTOCOL_DESTINATION_OPTIONS: u32 = 60;
/// [`parse`] has them as bytes.
const IPV4_INSIDE: u32 = PROTOCOL_IPV4 as u32;
const IPV6_INSIDE: u32 = PROTOCOL_IPV6 as u32;
const GRE: u32 = PROTOCOL_GRE as u32;
/// The I flag of a VXLAN header (RFC 7348).
const VXLAN_FLAG: u32 = 0x08;
/// Words of UDP, VXLAN and Geneve headers.
const UDP_WORDS: usize = 2;
const VXLAN_WORDS: usize = 2;
const GENEVE_WORDS: u32 = 2;
/// Words of an IPv4 header without options, and of an IPv6 header.
const IPV4_WORDS: usize = 5;
const IPV6_WORDS: usize = 10;
/// Upper bound of a header's offset, which the verifier requires: even the header in two
/// nested tunnels, with everything between their headers, begins below it.
pub const OFFSET_MAX: u32 = 0x3ff;
/// All of the packet counts as headers.
const WHOLE: u32 = u32::MAX;

/// The innermost packet, and where its network header is; none if it is of no known
/// protocol. `is_ethernet`: the frame starts with an Ethernet header,
/// not with IP.
#[inline(always)]
pub fn innermost<F: Frame>(frame: &F, is_ethernet: bool) -> Option<(u32, Seen)> {
    let mut network = 0;
    let mut is_ethernet = is_ethernet;
    for opened in 0..=TUNNELS_MAX {
        // A bare IP header states its version.
        let mut ethertype = ETHERTYPE_IPV4;
        if is_ethernet {
            (ethertype, network) = frame.link(network)?;
        }
        ethertype = frame.forget(ethertype.into()) as u16;
        network = frame.forget(network) & OFFSET_MAX;
        match frame.inspect(network, ethertype, opened < TUNNELS_MAX) {
            Inspection::Unknown => return None,
            Inspection::Packet(Seen { digest, headers }) => {
                let headers = frame.forget(headers);
                return Some((network, Seen { digest, headers }));
            }
            Inspection::Tunnel(inner) => {
                network = frame.forget(network + inner.at) & OFFSET_MAX;
                is_ethernet = inner.is_ethernet;
            }
        }
    }
    None
}

/// Inspects a packet.
#[inline(always)]
#[must_use]
pub fn inspect<V: View>(view: &V, options: &InspectOptions<impl Fn(u16) -> bool>) -> Inspection {
    match (options.ethertype, view.word(0) >> 4 & 0x0f) {
        (ETHERTYPE_ARP, _) => arp(view),
        (ETHERTYPE_IPV4 | ETHERTYPE_IPV6, 4) => ipv4(view, options),
        (ETHERTYPE_IPV4 | ETHERTYPE_IPV6, 6) => ipv6(view, options),
        _ => Inspection::Unknown,
    }
}

#[inline(always)]
fn ipv4<V: View>(view: &V, options: &InspectOptions<impl Fn(u16) -> bool>) -> Inspection {
    let header_words = view.word(0) & 0x0f;
    let protocol = view.word(2) >> 8 & 0xff;
    let id = view.word(1) & 0xffff;
    let fragment = (view.word(1) >> 16) as u16;
    let is_later = fragment & 0x1fff_u16.to_be() != 0;
    let is_fragment = is_later || fragment & 0x2000_u16.to_be() != 0;
    // A fragment has no ports, and options move them: the identification serves for both.
    let by_number = |headers| packet(digest(protocol, [id, 0, 0, 0, 0, 0]), headers);
    if is_later {
        return by_number(header_words * 4 + KEY_PAYLOAD);
    }
    if header_words != IPV4_WORDS as u32 {
        return by_number(WHOLE);
    }
    match transport::<IPV4_WORDS, V>(view, protocol, id, options) {
        Inspection::Packet(seen) if is_fragment => by_number(seen.headers),
        other => other,
    }
}

#[inline(always)]
fn ipv6<V: View>(view: &V, options: &InspectOptions<impl Fn(u16) -> bool>) -> Inspection {
    let protocol = view.word(1) >> 16 & 0xff;
    // Flow label: bytes 1 to 3, of byte 1 only the low half.
    let id = view.word(0) & 0xffff_0f00;
    match protocol {
        PROTOCOL_FRAGMENT => {
            let is_later = (view.word(IPV6_WORDS) >> 16) as u16 & 0xfff8_u16.to_be() != 0;
            let headers = (IPV6_WORDS as u32 + 2) * 4 + KEY_PAYLOAD;
            packet(
                digest(protocol, [view.word(IPV6_WORDS + 1), 0, 0, 0, 0, 0]),
                if is_later { headers } else { WHOLE },
            )
        }
        // Linux limits nested tunnels by this option (RFC 2473).
        PROTOCOL_DESTINATION_OPTIONS
            if options.opens
                && view.word(IPV6_WORDS) & 0xff00 == 0
                && matches!(view.word(IPV6_WORDS) & 0xff, IPV4_INSIDE | IPV6_INSIDE) =>
        {
            Inspection::Tunnel(Inner {
                at: (IPV6_WORDS as u32 + 2) * 4,
                is_ethernet: false,
            })
        }
        _ => transport::<IPV6_WORDS, V>(view, protocol, id, options),
    }
}

#[inline(always)]
fn packet(digest: u32, headers: u32) -> Inspection {
    Inspection::Packet(Seen { digest, headers })
}

/// `AT`: word of the transport header.
#[inline(always)]
fn transport<const AT: usize, V: View>(
    view: &V,
    protocol: u32,
    id: u32,
    options: &InspectOptions<impl Fn(u16) -> bool>,
) -> Inspection {
    let at = AT as u32 * 4;
    if options.opens
        && let Some(inner) = inside::<AT, V>(view, protocol, &options.is_vxlan)
    {
        return Inspection::Tunnel(inner);
    }
    let payload = [
        view.word(AT + 2),
        view.word(AT + 3),
        view.word(AT + 4),
        view.word(AT + 5),
    ];
    let [p0, p1, p2, p3] = payload;
    let (digest, headers) = match protocol {
        PROTOCOL_TCP => (
            digest(protocol, [view.word(AT + 1), view.word(AT + 2), 0, 0, 0, 0]),
            at + (view.word(AT + 3) >> 4 & 0x0f) * 4 + KEY_PAYLOAD,
        ),
        PROTOCOL_UDP => (
            digest(protocol, [id, view.word(AT + 1) & 0xffff, p0, p1, p2, p3]),
            at + UDP_WORDS as u32 * 4 + KEY_PAYLOAD,
        ),
        // An echo request and its reply have the same digest.
        PROTOCOL_ICMP | PROTOCOL_ICMPV6 => {
            let is_echo = matches!(view.word(AT) & 0xff, 0 | 8 | 128 | 129);
            let (id, kind, sequence) = if is_echo {
                (0, 0, view.word(AT + 1) >> 16)
            } else {
                (id, view.word(AT) & 0xffff, view.word(AT + 1))
            };
            // Of the packet that an error is about, what no translation changes.
            let [p2, p3] = match is_error(protocol, view.word(AT) & 0xff) {
                true => [0, 0],
                false => [p2, p3],
            };
            let digest = digest(protocol, [id ^ kind, sequence, p0, p1, p2, p3]);
            (digest, WHOLE)
        }
        _ => (
            digest(protocol, [id, view.word(AT), view.word(AT + 1), p0, p1, p2]),
            if AT == IPV6_WORDS && is_extension(protocol) {
                WHOLE
            } else {
                at + KEY_PAYLOAD
            },
        ),
    };
    packet(digest, headers)
}

/// Whether an ICMP message of that type is about a packet, whose begin it has (RFC 792, RFC 4443).
#[inline(always)]
fn is_error(protocol: u32, kind: u32) -> bool {
    match protocol {
        PROTOCOL_ICMP => matches!(kind, 3 | 4 | 5 | 11 | 12),
        _ => matches!(kind, 1..=4),
    }
}

/// Whether it is an IPv6 extension header, which another header follows.
#[inline(always)]
fn is_extension(protocol: u32) -> bool {
    matches!(
        protocol,
        PROTOCOL_HOP_BY_HOP
            | PROTOCOL_ROUTING
            | PROTOCOL_AUTHENTICATION
            | PROTOCOL_DESTINATION_OPTIONS
    )
}

/// The packet in a tunnel. `AT`: word of the transport header.
#[inline(always)]
fn inside<const AT: usize, V: View>(
    view: &V,
    protocol: u32,
    is_vxlan: impl Fn(u16) -> bool,
) -> Option<Inner> {
    let at = AT as u32 * 4;
    match protocol {
        PROTOCOL_UDP => {
            let port = ((view.word(AT) >> 16) as u16).swap_bytes();
            let header = view.word(AT + UDP_WORDS);
            if is_vxlan(port) {
                return (header & VXLAN_FLAG != 0).then_some(Inner {
                    at: at + (UDP_WORDS + VXLAN_WORDS) as u32 * 4,
                    is_ethernet: true,
                });
            }
            let has_version_0 = header & 0xc0 == 0;
            if port != GENEVE_PORT || !has_version_0 {
                return None;
            }
            let option_words = header & 0x3f;
            Some(Inner {
                at: at + (UDP_WORDS as u32 + GENEVE_WORDS + option_words) * 4,
                is_ethernet: parse::is_inside(((header >> 16) as u16).swap_bytes())?,
            })
        }
        GRE => {
            let header = view.word(AT);
            let len = parse::gre_len((header as u16).swap_bytes())?;
            Some(Inner {
                at: at + len as u32,
                is_ethernet: parse::is_inside(((header >> 16) as u16).swap_bytes())?,
            })
        }
        IPV4_INSIDE | IPV6_INSIDE => Some(Inner {
            at,
            is_ethernet: false,
        }),
        _ => None,
    }
}

/// A request and its reply have the same digest.
#[inline(always)]
fn arp<V: View>(view: &V) -> Inspection {
    let sender = view.word(3) >> 16 | view.word(4) << 16;
    let target = view.word(6);
    let digest = digest(u32::from(ETHERTYPE_ARP), [sender ^ target, 0, 0, 0, 0, 0]);
    packet(digest, WHOLE)
}

/// Mixes the words so that every bit of the result depends on all of them.
#[inline(always)]
fn digest(protocol: u32, [a, b, c, d, e, f]: [u32; 6]) -> u32 {
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let mix = |hash: u64, word: u64| {
        let hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ hash >> 32
    };
    let hash = mix(u64::from(protocol), pair(a, b));
    let hash = mix(mix(hash, pair(c, d)), pair(e, f));
    (hash.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32) as u32
}

#[cfg(test)]
mod tests;
