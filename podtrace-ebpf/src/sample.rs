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
    /// Equal at all hops, spread evenly.
    pub digest: u32,
    /// Bytes from the network header on that are headers, with the payload that
    /// tells equal ones apart; `u32::MAX`: all of it counts as such.
    pub headers: u32,
    /// Where the network header of the packet inside VXLAN is, from this one's.
    pub inner: Option<u32>,
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
            let inner = (AT + UDP_WORDS + VXLAN_WORDS) * 4 + ETHERNET_LEN;
            Seen {
                digest: digest(protocol, [id, view.word(AT + 1) & 0xffff, p0, p1, p2, p3]),
                headers: at + UDP_WORDS as u32 * 4 + KEY_PAYLOAD,
                inner: is_vxlan.then_some(inner as u32),
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PORTS: [u16; VXLAN_PORTS_MAX] = [8472, 0, 0, 0];

    fn view(packet: &[u8]) -> Copied {
        let mut bytes = [0; VIEW_LEN];
        let len = packet.len().min(VIEW_LEN);
        bytes[..len].copy_from_slice(&packet[..len]);
        let mut words = [0; VIEW_WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        Copied(words)
    }

    /// What is different at each hop.
    #[derive(Clone, Copy, Debug)]
    struct Hop {
        ttl: u8,
        checksum: u16,
        ends: [u8; 8],
        ports: [u16; 2],
    }

    const HOP: Hop = Hop {
        ttl: 64,
        checksum: 0x1234,
        ends: [10, 244, 1, 2, 10, 244, 2, 3],
        ports: [4000, 53],
    };

    fn ipv4(hop: Hop, protocol: u8, id: u16, transport: &[u8]) -> Vec<u8> {
        let len = 20 + transport.len() as u16;
        let mut packet = vec![0x45, 0];
        packet.extend(len.to_be_bytes());
        packet.extend(id.to_be_bytes());
        packet.extend([0x40, 0, hop.ttl, protocol]);
        packet.extend(hop.checksum.to_be_bytes());
        packet.extend(hop.ends);
        packet.extend(transport);
        packet
    }

    fn ipv6(hop: Hop, protocol: u8, label: u16, transport: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0];
        packet.extend(label.to_be_bytes());
        packet.extend((transport.len() as u16).to_be_bytes());
        packet.extend([protocol, hop.ttl]);
        packet.extend(hop.ends.repeat(4));
        packet.extend(transport);
        packet
    }

    fn udp(hop: Hop, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(hop.ports.iter().flat_map(|port| port.to_be_bytes()));
        bytes.extend((8 + payload.len() as u16).to_be_bytes());
        bytes.extend(hop.checksum.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn tcp(hop: Hop, sequence: u32, acknowledgment: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(hop.ports.iter().flat_map(|port| port.to_be_bytes()));
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(acknowledgment.to_be_bytes());
        bytes.extend([0x80, 0x10, 1, 1]);
        bytes.extend(hop.checksum.to_be_bytes());
        bytes.extend([0; 14]);
        bytes
    }

    fn echo(hop: Hop, kind: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 0];
        bytes.extend(hop.checksum.to_be_bytes());
        bytes.extend([0, 7]);
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn seen(ethertype: u16, packet: &[u8]) -> Seen {
        look(ethertype, &view(packet), &PORTS).unwrap()
    }

    proptest! {
        #[test]
        fn digest_stays_the_same_on_the_way(
            ttl: u8, checksum: u16, ends: [u8; 8], ports: [u16; 2],
            id: u16, numbers: [u32; 2], payload in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            prop_assume!(ports[1] != PORTS[0]);
            let there = Hop { ttl, checksum, ends, ports };
            for (protocol, transport) in [
                (17, [HOP, there].map(|hop| udp(hop, &payload))),
                (6, [HOP, there].map(|hop| tcp(hop, numbers[0], numbers[1]))),
            ] {
                let [here, there_] = &transport;
                let four = [(HOP, here), (there, there_)]
                    .map(|(hop, transport)| seen(ETHERTYPE_IPV4, &ipv4(hop, protocol, id, transport)));
                prop_assert_eq!(four[0], four[1]);
                let six = [(HOP, here), (there, there_)]
                    .map(|(hop, transport)| seen(ETHERTYPE_IPV6, &ipv6(hop, protocol, id, transport)));
                prop_assert_eq!(six[0], six[1]);
            }
        }

        #[test]
        fn any_bytes_are_looked_at(ethertype: u16, packet in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = look(ethertype, &view(&packet), &PORTS);
        }
    }

    #[test]
    fn echo_request_and_reply_are_taken_together() {
        let payload = [7; 56];
        let request = seen(
            ETHERTYPE_IPV4,
            &ipv4(HOP, 1, 11, &echo(HOP, 8, 3, &payload)),
        );
        let reply = seen(
            ETHERTYPE_IPV4,
            &ipv4(HOP, 1, 99, &echo(HOP, 0, 3, &payload)),
        );
        let other = seen(
            ETHERTYPE_IPV4,
            &ipv4(HOP, 1, 11, &echo(HOP, 8, 4, &payload)),
        );
        assert_eq!(request, reply);
        assert_ne!(request.digest, other.digest);
    }

    #[test]
    fn arp_request_and_reply_are_taken_together() {
        let message = |operation, sender: [u8; 4], target: [u8; 4]| {
            let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 1];
            bytes.extend(sender);
            bytes.extend([2, 0, 0, 0, 0, 2]);
            bytes.extend(target);
            seen(ETHERTYPE_ARP, &bytes)
        };
        let (one, other) = ([10, 244, 1, 2], [10, 244, 1, 3]);
        assert_eq!(message(1, one, other), message(2, other, one));
        assert_ne!(message(1, one, other), message(1, one, [10, 244, 1, 4]));
    }

    #[test]
    fn packet_in_a_tunnel_is_found() {
        let vxlan = [8, 0, 0, 0, 0, 0, 1, 0];
        let to = Hop {
            ports: [50_000, PORTS[0]],
            ..HOP
        };
        let outer = udp(to, &vxlan);
        assert_eq!(
            seen(ETHERTYPE_IPV4, &ipv4(to, 17, 0, &outer)).inner,
            Some(50)
        );
        assert_eq!(
            seen(ETHERTYPE_IPV6, &ipv6(to, 17, 0, &outer)).inner,
            Some(70)
        );
        let elsewhere = udp(HOP, &vxlan);
        assert_eq!(
            seen(ETHERTYPE_IPV4, &ipv4(HOP, 17, 0, &elsewhere)).inner,
            None
        );
        let no_port = look(ETHERTYPE_IPV4, &view(&ipv4(to, 17, 0, &outer)), &[0; 4]);
        assert_eq!(no_port.unwrap().inner, None);
    }

    #[test]
    fn all_fragments_of_a_datagram_are_taken_together() {
        let mut first = ipv4(HOP, 17, 500, &udp(HOP, &[1; 40]));
        let mut last = ipv4(HOP, 17, 500, &[9; 40]);
        first[6..8].copy_from_slice(&0x2000u16.to_be_bytes());
        last[6..8].copy_from_slice(&185u16.to_be_bytes());
        let (first, last) = (seen(ETHERTYPE_IPV4, &first), seen(ETHERTYPE_IPV4, &last));
        assert_eq!(first.digest, last.digest);
        assert_eq!(last.headers, 20 + KEY_PAYLOAD);
    }

    #[test]
    fn headers_end_behind_what_tells_packets_apart() {
        let headers = |protocol, transport: &[u8]| {
            seen(ETHERTYPE_IPV4, &ipv4(HOP, protocol, 1, transport)).headers
        };
        assert_eq!(headers(17, &udp(HOP, &[0; 30])), 20 + 8 + KEY_PAYLOAD);
        assert_eq!(headers(6, &tcp(HOP, 1, 2)), 20 + 32 + KEY_PAYLOAD);
        assert_eq!(headers(1, &echo(HOP, 8, 1, &[0; 30])), u32::MAX);
        let six = seen(ETHERTYPE_IPV6, &ipv6(HOP, 17, 1, &udp(HOP, &[0; 30])));
        assert_eq!(six.headers, 40 + 8 + KEY_PAYLOAD);
    }

    /// One in eight of packets that are nearly the same.
    #[test]
    fn digests_are_spread_evenly() {
        const COUNT: u32 = 80_000;
        for protocol in [6, 17] {
            let taken = (0..COUNT).filter(|n| {
                let transport = match protocol {
                    6 => tcp(HOP, n * 1448, 77),
                    _ => udp(HOP, &n.to_be_bytes()),
                };
                let seen = seen(ETHERTYPE_IPV4, &ipv4(HOP, protocol, 0, &transport));
                seen.digest <= u32::MAX / 8
            });
            let taken = taken.count() as u32;
            assert!(
                taken.abs_diff(COUNT / 8) < COUNT / 200,
                "{protocol}: {taken}"
            );
        }
    }

    #[test]
    fn other_protocols_are_not_ours_to_tell_apart() {
        assert_eq!(look(0x88cc, &view(&[0; 60]), &PORTS), None);
    }
}
