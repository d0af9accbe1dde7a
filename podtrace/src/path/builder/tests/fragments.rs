//! Fragments belong to the first.
mod gathered;
mod reassembled;

use proptest::prelude::*;

use super::*;
use crate::packet::Fragment;

fn fragment(offset: u16) -> Packet {
    let mut packet = packet("10.244.1.3");
    if offset > 0 {
        packet.transport = Transport::Fragment;
        packet.payload_hash = 0;
    }
    packet.length = 1020;
    if let Network::Ip(ip) = &mut packet.network {
        ip.id = 9;
        ip.fragment = Some(Fragment {
            id: 9,
            offset,
            more: offset < 2000,
        });
    }
    packet
}

/// The identification tells equal fragments apart.
#[test]
fn fragments_of_two_packets_are_not_equal() {
    for offset in [0, 1000, 2000] {
        let one = fragment(offset);
        let mut other = one.clone();
        if let Network::Ip(ip) = &mut other.network {
            ip.id = 10;
            ip.fragment = ip.fragment.map(|part| Fragment { id: 10, ..part });
        }
        assert_ne!(one.key(), other.key(), "{offset}");
    }
}

/// Feeds fragments one after the other.
fn follow(offsets: &[u16], taps: usize) -> Vec<Path> {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    for (number, offset) in (1..).zip(offsets) {
        for (ts_ns, interface, direction) in &TO_POD2[..taps] {
            let event = event(ts_ns + number, *interface, *direction, &fragment(*offset));
            builder.push(&event, &world);
        }
    }
    builder.expire(1_000_000_000);
    let mut paths = finished(&mut builder);
    paths.sort_by_key(|path| path.id);
    paths
}

#[test]
fn fragments_belong_to_the_first_in_any_order() {
    for (offsets, first) in [
        ([0, 1000, 2000], 1),
        ([1000, 0, 2000], 2),
        ([2000, 1000, 0], 3),
    ] {
        for taps in [2, 4] {
            let paths = follow(&offsets, taps);
            assert_eq!(paths.len(), 3);
            for (path, offset) in paths.iter().zip(offsets) {
                let of = path.fragment_of.map(|of| (of.packet, of.in_tunnel));
                assert_eq!(of, (offset > 0).then_some((first, false)));
            }
        }
    }
}

/// Who reassembles drops all fragments together.
#[test]
fn what_is_lost_with_the_first_says_so() {
    let paths = follow(&[0, 1000, 2000], 2);
    for path in &paths {
        assert_eq!(path.outcome, Outcome::NotSeenFurther);
    }
    let with_it: Vec<_> = paths
        .iter()
        .map(|path| path.fragment_of.map(|of| of.is_lost_with_it))
        .collect();
    assert_eq!(with_it, [None, Some(true), Some(true)]);
    let paths = follow(&[0, 1000], 4);
    assert!(paths[1].fragment_of.is_some_and(|of| !of.is_lost_with_it));
}

/// As a bridge does whose packets connection tracking sees.
#[test]
fn packet_that_is_whole_between_its_fragments_is_not_lost() {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    let mut whole = fragment(0);
    whole.length = 3000;
    if let Network::Ip(ip) = &mut whole.network {
        ip.fragment = None;
    }
    let push = |builder: &mut Builder, tap: usize, packet: &Packet| {
        let (ts_ns, interface, direction) = TO_POD2[tap];
        builder.push(&event(ts_ns, interface, direction, packet), &world)
    };
    for tap in [0, 1] {
        for offset in [0, 1000, 2000] {
            push(&mut builder, tap, &fragment(offset));
        }
    }
    let between = push(&mut builder, 1, &whole);
    for tap in [2, 3] {
        for offset in [0, 1000, 2000] {
            push(&mut builder, tap, &fragment(offset));
        }
    }
    builder.expire(1_000_000_000);
    for path in finished(&mut builder) {
        let is_whole = path.id == between;
        assert_eq!(path.outcome == Outcome::Unknown, is_whole, "{}", path.id);
        assert_eq!(path.hops.len(), if is_whole { 1 } else { 4 });
    }
}

#[test]
fn rest_of_a_tunnels_packet_belongs_to_the_inner_packet() {
    let world = world();
    let mut inner = packet("10.244.2.2");
    let mut builder = Builder::new(TIMEOUT_NS);
    builder.push(&event(1, POD1, Egress, &inner), &world);
    inner.tunnel = Some(Tunnel {
        source: "192.168.77.11".parse().unwrap(),
        destination: "192.168.77.12".parse().unwrap(),
        carrier: Carrier::Vxlan(1),
        id: 0,
        fragment: Some(9),
    });
    builder.push(&event(2, UPLINK, Egress, &inner), &world);
    let mut rest = fragment(1000);
    if let Network::Ip(ip) = &mut rest.network {
        ip.source = "192.168.77.11".parse().unwrap();
        ip.destination = "192.168.77.12".parse().unwrap();
    }
    builder.push(&event(3, UPLINK, Egress, &rest), &world);
    let paths = finished(&mut builder);
    let of = paths[1].fragment_of.unwrap();
    assert_eq!((of.packet, of.in_tunnel), (paths[0].id, true));
}

/// A datagram with this many bytes behind its IP header.
pub(super) fn large(bytes: u32) -> Packet {
    let mut packet = packet("10.244.1.3");
    packet.length = 20 + bytes;
    packet.transport = Transport::Udp {
        source: 5000,
        destination: 53,
        payload: bytes - 8,
    };
    if let Network::Ip(ip) = &mut packet.network {
        ip.id = 9;
    }
    packet
}

/// A fragment of such a datagram.
pub(super) fn cut(whole: &Packet, from: u32, to: u32) -> Packet {
    let mut part = whole.clone();
    let total = whole.length - 20;
    part.length = 20 + to - from;
    match &mut part.transport {
        Transport::Udp { payload, .. } if from == 0 => *payload = to - 8,
        transport => *transport = Transport::Fragment,
    }
    // The first bytes of the packet are those of its first fragment.
    part.payload_hash ^= from;
    if let Network::Ip(ip) = &mut part.network {
        ip.ttl = 63;
        ip.fragment = Some(Fragment {
            id: ip.id,
            offset: from as u16,
            more: to < total,
        });
    }
    part
}

/// Where it is whole, and where it is in fragments.
const WHOLE: [(u32, Direction); 3] = [(POD1, Egress), (VETH1, Ingress), (CNI0, Ingress)];
const IN_FRAGMENTS: [(u32, Direction); 3] = [(CNI0, Egress), (VETH2, Egress), (POD2, Ingress)];

fn push(builder: &mut Builder, ts_ns: u64, tap: (u32, Direction), packet: &Packet) -> u64 {
    builder.push(&event(ts_ns, tap.0, tap.1, packet), &world())
}

/// Feeds a datagram and then its fragments, these bytes each; returns all paths.
fn on_the_way(whole: &Packet, parts: &[(u32, u32)], reaches_socket: bool) -> Vec<Path> {
    let mut builder = Builder::new(TIMEOUT_NS);
    for (ts_ns, tap) in (1..).zip(WHOLE) {
        push(&mut builder, ts_ns, tap, whole);
    }
    for (number, (from, to)) in (1..).zip(parts) {
        for (hop, tap) in (1..).zip(IN_FRAGMENTS) {
            let ts_ns = 1000 * hop + number;
            push(&mut builder, ts_ns, tap, &cut(whole, *from, *to));
        }
    }
    if reaches_socket {
        push(&mut builder, 9000, (POD2, Socket), whole);
    }
    builder.expire(1_000_000_000);
    finished(&mut builder)
}

#[test]
fn packet_that_is_cut_on_its_way_is_one_path() {
    let whole = large(3000);
    let paths = on_the_way(&whole, &[(0, 1448), (2896, 3000), (1448, 2896)], true);
    let [path] = &paths[..] else {
        panic!("{paths:#?}");
    };
    assert_eq!((path.outcome, path.hops.len()), (Outcome::Delivered, 7));
    assert!(path.in_fragments && !path.ambiguous);
    for hop in 0..7 {
        let seen = path.segments_at(hop).map(|seen| (seen.packets, seen.bytes));
        assert_eq!(seen, (3..6).contains(&hop).then_some((3, 3000)));
    }
}

/// Nobody gets the rest.
#[test]
fn packet_that_lacks_a_fragment_is_lost() {
    let whole = large(3000);
    let paths = on_the_way(&whole, &[(0, 1448), (2896, 3000)], false);
    assert_eq!(paths.len(), 1);
    assert_eq!(paths[0].outcome, Outcome::NotSeenFurther);
    assert_eq!(paths[0].segments_at(5).map(|seen| seen.bytes), Some(1552));
}

#[test]
fn fragment_of_another_packet_has_a_path_of_its_own() {
    let whole = large(3000);
    let mut other_ports = large(3000);
    if let Transport::Udp { source, .. } = &mut other_ports.transport {
        *source = 9;
    }
    let mut other_id = whole.clone();
    if let Network::Ip(ip) = &mut other_id.network {
        ip.id = 10;
    }
    for part in [
        // Longer than the whole, or not as long.
        cut(&large(3100), 2896, 3100),
        cut(&large(2900), 2896, 2900),
        cut(&other_ports, 0, 1448),
        cut(&other_id, 1448, 2896),
    ] {
        let mut builder = Builder::new(TIMEOUT_NS);
        for (ts_ns, tap) in (1..).zip(WHOLE) {
            assert_eq!(push(&mut builder, ts_ns, tap, &whole), 1);
        }
        assert_eq!(push(&mut builder, 9, IN_FRAGMENTS[0], &part), 2);
    }
}

/// One identification for all: nothing tells whose fragment it is.
#[test]
fn fragments_of_equal_identification_stay_apart() {
    let (one, other) = (large(3000), large(4000));
    let mut builder = Builder::new(TIMEOUT_NS);
    for (ts_ns, packet) in [(1, &one), (2, &other)] {
        for tap in WHOLE {
            push(&mut builder, ts_ns, tap, packet);
        }
    }
    // Only one of them is as long.
    assert_eq!(
        push(&mut builder, 8, IN_FRAGMENTS[0], &cut(&one, 2896, 3000)),
        1
    );
    assert_eq!(
        push(&mut builder, 9, IN_FRAGMENTS[0], &cut(&one, 1448, 2896)),
        3
    );
    builder.finish();
    let ambiguous = finished(&mut builder)
        .into_iter()
        .map(|path| path.ambiguous);
    assert_eq!(ambiguous.collect::<Vec<_>>(), [true; 3]);
}

proptest! {
    /// However it is cut, and in whatever order the fragments come.
    #[test]
    fn all_fragments_are_of_the_packet(
        bytes in 600u32..9000,
        size in 1u32..200,
        order in any::<u64>(),
        lost in any::<prop::sample::Index>(),
        is_lost: bool,
    ) {
        let size = (8 * size).max(bytes.div_ceil(60).next_multiple_of(8));
        let starts = (0..bytes).step_by(size as usize);
        let mut parts: Vec<_> = starts.map(|from| (from, bytes.min(from + size))).collect();
        parts.sort_by_key(|(from, _)| order.rotate_left(from % 64).wrapping_mul(u64::from(*from) | 1));
        prop_assume!(parts.len() > 1);
        if is_lost {
            parts.remove(lost.index(parts.len()));
        }
        let paths = on_the_way(&large(bytes), &parts, !is_lost);
        prop_assert_eq!(paths.len(), 1);
        let outcome = if is_lost { Outcome::NotSeenFurther } else { Outcome::Delivered };
        prop_assert_eq!(paths[0].outcome, outcome);
        let expected: u32 = parts.iter().map(|(from, to)| to - from).sum();
        let seen = paths[0].segments_at(5).unwrap();
        prop_assert_eq!((seen.packets as usize, seen.bytes), (parts.len(), expected));
    }
}
