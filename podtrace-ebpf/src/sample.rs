//! What `--sample` and `--headers-only` go by: a look at the first bytes of a
//! packet.
//!
//! The digest is made of what stays the same on a packet's way, through tunnels,
//! routers and address translation: so the same packets are taken at every tap
//! of every node. Checksums are left out, offloads change them; addresses and
//! ports are left out, services change them. Padding behind a short packet is
//! zero, as drivers write it.
//!
//! Written for the kernel: words at fixed places, as the verifier likes it.

use crate::{
    config::{KEY_PAYLOAD, VXLAN_PORTS_MAX},
    parse::{ETHERNET_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
};

/// Words of a [`View`]: an IPv6 header and 24 bytes more.
pub const VIEW_WORDS: usize = 16;
/// Bytes of a [`View`].
pub const VIEW_LEN: usize = VIEW_WORDS * 4;

/// The first bytes of a packet from its network header.
pub trait View {
    /// Word number `at`, less than [`VIEW_WORDS`], as it stands in memory; zero
    /// behind the packet's end.
    fn word(&self, at: usize) -> u32;
}

/// A view that is a copy.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Copied(pub [u32; VIEW_WORDS]);

impl View for Copied {
    #[inline(always)]
    fn word(&self, at: usize) -> u32 {
        self.0[at]
    }
}

/// What a packet's first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Equal at all hops, spread evenly; not made of a packet with another inside,
    /// as that one's counts.
    pub digest: u32,
    /// Bytes from the network header on that are headers, with the payload that
    /// tells equal ones apart; `u32::MAX`: all of it counts as such.
    pub headers: u32,
    /// The packet inside VXLAN.
    pub inner: Option<Inner>,
}

/// A packet inside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Where its network header is, from the outer one's, in bytes.
    pub at: u32,
    /// Its EtherType, just before it, if that is in the view.
    pub ethertype: Option<u16>,
}

const PROTOCOL_ICMP: u32 = 1;
const PROTOCOL_TCP: u32 = 6;
const PROTOCOL_UDP: u32 = 17;
const PROTOCOL_FRAGMENT: u32 = 44;
const PROTOCOL_ICMPV6: u32 = 58;
/// The I flag of a VXLAN header (RFC 7348).
const VXLAN_FLAG: u32 = 0x08;
/// Words of UDP and VXLAN headers.
const UDP_WORDS: usize = 2;
const VXLAN_WORDS: usize = 2;

/// Looks at a packet of that EtherType; none when it is not one of ours to tell
/// apart: it is always taken, whole.
#[inline(always)]
#[must_use]
pub fn look<V: View>(
    ethertype: u16,
    view: &V,
    vxlan_ports: &[u16; VXLAN_PORTS_MAX],
) -> Option<Seen> {
    match ethertype {
        ETHERTYPE_IPV4 => Some(ipv4(view, vxlan_ports)),
        ETHERTYPE_IPV6 => Some(ipv6(view, vxlan_ports)),
        ETHERTYPE_ARP => Some(arp(view)),
        _ => None,
    }
}

#[inline(always)]
fn ipv4<V: View>(view: &V, vxlan_ports: &[u16; VXLAN_PORTS_MAX]) -> Seen {
    const WORDS: usize = 5;
    let header_words = view.word(0) & 0x0f;
    let protocol = view.word(2) >> 8 & 0xff;
    let id = view.word(1) & 0xffff;
    let fragment = (view.word(1) >> 16) as u16 & 0x3fff_u16.to_be();
    // A fragment has no ports; options move them: both go by their number.
    if fragment != 0 || header_words != WORDS as u32 {
        return Seen {
            digest: digest(protocol, [id, 0, 0, 0, 0, 0]),
            headers: header_words * 4 + KEY_PAYLOAD,
            inner: None,
        };
    }
    transport::<WORDS, V>(view, protocol, id, vxlan_ports)
}

#[inline(always)]
fn ipv6<V: View>(view: &V, vxlan_ports: &[u16; VXLAN_PORTS_MAX]) -> Seen {
    const WORDS: usize = 10;
    let protocol = view.word(1) >> 16 & 0xff;
    if protocol == PROTOCOL_FRAGMENT {
        return Seen {
            digest: digest(protocol, [view.word(WORDS + 1), 0, 0, 0, 0, 0]),
            headers: (WORDS as u32 + 2) * 4 + KEY_PAYLOAD,
            inner: None,
        };
    }
    // Flow label: bytes 1 to 3, of the first only the low half.
    let id = view.word(0) & 0xffff_0f00;
    transport::<WORDS, V>(view, protocol, id, vxlan_ports)
}

/// `AT`: word of the transport header.
#[inline(always)]
fn transport<const AT: usize, V: View>(
    view: &V,
    protocol: u32,
    id: u32,
    vxlan_ports: &[u16; VXLAN_PORTS_MAX],
) -> Seen {
    let at = AT as u32 * 4;
    let payload = [
        view.word(AT + 2),
        view.word(AT + 3),
        view.word(AT + 4),
        view.word(AT + 5),
    ];
    let [p0, p1, p2, p3] = payload;
    match protocol {
        PROTOCOL_TCP => Seen {
            digest: digest(protocol, [view.word(AT + 1), view.word(AT + 2), 0, 0, 0, 0]),
            headers: at + (view.word(AT + 3) >> 4 & 0x0f) * 4 + KEY_PAYLOAD,
            inner: None,
        },
        PROTOCOL_UDP => {
            let port = ((view.word(AT) >> 16) as u16).swap_bytes();
            let is_vxlan = port != 0
                && (port == vxlan_ports[0]
                    || port == vxlan_ports[1]
                    || port == vxlan_ports[2]
                    || port == vxlan_ports[3])
                && p0 & VXLAN_FLAG != 0;
            let headers = at + UDP_WORDS as u32 * 4 + KEY_PAYLOAD;
            if is_vxlan {
                return Seen {
                    digest: 0,
                    headers,
                    inner: Some(inner::<AT, V>(view)),
                };
            }
            Seen {
                digest: digest(protocol, [id, view.word(AT + 1) & 0xffff, p0, p1, p2, p3]),
                headers,
                inner: None,
            }
        }
        // An echo request and its reply have the same digest.
        PROTOCOL_ICMP | PROTOCOL_ICMPV6 => {
            let is_echo = matches!(view.word(AT) & 0xff, 0 | 8 | 128 | 129);
            let (id, kind, sequence) = if is_echo {
                (0, 0, view.word(AT + 1) >> 16)
            } else {
                (id, view.word(AT) & 0xffff, view.word(AT + 1))
            };
            Seen {
                digest: digest(protocol, [id ^ kind, sequence, p0, p1, p2, p3]),
                headers: u32::MAX,
                inner: None,
            }
        }
        _ => Seen {
            digest: digest(protocol, [id, view.word(AT), view.word(AT + 1), p0, p1, p2]),
            headers: at + KEY_PAYLOAD,
            inner: None,
        },
    }
}

/// `AT`: word of the UDP header.
#[inline(always)]
fn inner<const AT: usize, V: View>(view: &V) -> Inner {
    let ethernet = AT + UDP_WORDS + VXLAN_WORDS;
    // Both addresses are before it.
    let ethertype = ethernet + 3;
    Inner {
        at: (ethernet * 4 + ETHERNET_LEN) as u32,
        ethertype: (ethertype < VIEW_WORDS).then(|| (view.word(ethertype) as u16).swap_bytes()),
    }
}

/// A request and its reply have the same digest.
#[inline(always)]
fn arp<V: View>(view: &V) -> Seen {
    let sender = view.word(3) >> 16 | view.word(4) << 16;
    let target = view.word(6);
    Seen {
        digest: digest(u32::from(ETHERTYPE_ARP), [sender ^ target, 0, 0, 0, 0, 0]),
        headers: u32::MAX,
        inner: None,
    }
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
