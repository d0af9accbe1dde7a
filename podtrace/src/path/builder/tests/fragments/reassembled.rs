//! Packets that are whole between their fragments.
use proptest::prelude::*;

use super::*;

/// Where it is in fragments before a bridge reassembles it for connection tracking.
const BEFORE: [(u32, Direction); 2] = [(POD1, Egress), (VETH1, Ingress)];

/// Feeds the fragments of a datagram, then it as a whole between their taps, and then the same
/// fragments; returns all paths.
fn whole_between(whole: &Packet, between: &Packet, parts: &[(u32, u32)]) -> Vec<Path> {
    let mut builder = Builder::new(TIMEOUT_NS);
    let mut ts_ns = 0;
    let mut pass = |builder: &mut Builder, taps: &[(u32, Direction)]| {
        for tap in taps {
            for (from, to) in parts {
                ts_ns += 10;
                push(builder, ts_ns, *tap, &cut(whole, *from, *to));
            }
        }
        ts_ns += 10;
        ts_ns
    };
    let ts_ns = pass(&mut builder, &BEFORE);
    push(&mut builder, ts_ns, (CNI0, Ingress), between);
    let ts_ns = pass(&mut builder, &IN_FRAGMENTS);
    push(&mut builder, ts_ns, (POD2, Socket), whole);
    builder.expire(1_000_000_000);
    let mut paths = finished(&mut builder);
    paths.sort_by_key(|path| path.id);
    paths
}

#[test]
fn packet_that_is_reassembled_on_its_way_belongs_to_its_fragments() {
    let whole = large(3000);
    let paths = whole_between(&whole, &whole, &[(0, 1448), (2896, 3000), (1448, 2896)]);
    assert_eq!(paths.len(), 3);
    for path in &paths {
        assert_eq!((path.outcome, path.hops.len()), (Outcome::Delivered, 7));
        assert_eq!(path.hops[2].interface, CNI0);
        assert!(!path.ambiguous && !path.incomplete);
    }
}

#[test]
fn whole_packet_that_is_not_of_the_fragments_stays_apart() {
    let whole = large(3000);
    let parts = [(0, 1448), (1448, 2896), (2896, 3000)];
    let mut other_id = whole.clone();
    let mut other_protocol = whole.clone();
    if let (Network::Ip(one), Network::Ip(other)) =
        (&mut other_id.network, &mut other_protocol.network)
    {
        one.id = 10;
        other.protocol = 6;
    }
    let mut other_ports = whole.clone();
    if let Transport::Udp { source, .. } = &mut other_ports.transport {
        *source = 9;
    }
    let others = [
        other_id,
        other_protocol,
        other_ports,
        large(2900),
        large(3100),
    ];
    for other in others {
        let paths = whole_between(&whole, &other, &parts);
        let hops: Vec<_> = paths.iter().map(|path| path.hops.len()).collect();
        assert_eq!(hops, [6, 6, 6, 1], "{other:?}");
    }
    // Without the last of them nobody reassembles it.
    let paths = whole_between(&whole, &whole, &parts[..2]);
    let apart = paths.iter().filter(|path| path.hops[0].interface == CNI0);
    assert_eq!(apart.count(), 1);
}

/// A bridge that translates it, too, sends fragments on that show nothing of the ends before.
#[test]
fn packet_that_is_translated_where_it_is_whole_is_not_lost_there() {
    let whole = large(3000);
    let mut after = whole.clone();
    if let Network::Ip(ip) = &mut after.network {
        ip.destination = "10.244.1.9".parse().unwrap();
    }
    let mut builder = Builder::new(TIMEOUT_NS);
    for (number, (from, to)) in [(0, 1448), (1448, 2896), (2896, 3000)]
        .into_iter()
        .enumerate()
    {
        for (tap, ts_ns) in BEFORE.into_iter().zip([10, 100]) {
            push(
                &mut builder,
                ts_ns + number as u64,
                tap,
                &cut(&whole, from, to),
            );
        }
    }
    push(&mut builder, 200, (CNI0, Ingress), &after);
    builder.expire(1_000_000_000);
    for path in finished(&mut builder) {
        assert_eq!(path.outcome, Outcome::Unknown, "{path:#?}");
    }
}

const PARTS: [(u32, u32); 3] = [(0, 1448), (1448, 2896), (2896, 3000)];

/// A packet as it is sent to a Service, and as the bridge sends it to the pod that it chooses.
fn to_service(id: u32, port: u16) -> [Packet; 2] {
    [("10.96.0.10", 53), ("10.244.1.3", 5353)].map(|(address, to)| {
        let mut packet = large(3000);
        if let Network::Ip(ip) = &mut packet.network {
            ip.destination = address.parse().unwrap();
            ip.id = id;
            ip.ttl = 63;
        }
        packet.transport = Transport::Udp {
            source: port,
            destination: to,
            payload: 2992,
        };
        packet
    })
}

/// Feeds packets to a Service in fragments, each as a whole behind its translation, and then in
/// these fragments, through so many taps; returns all paths.
fn through_a_service(
    sent: &[[Packet; 2]],
    shape: impl Fn(&Packet) -> Packet,
    parts: &[(u32, u32)],
    taps: usize,
) -> Vec<Path> {
    let mut builder = Builder::new(TIMEOUT_NS);
    let mut ts_ns = 0;
    let mut pass = |tap: (u32, Direction), packet: &Packet| {
        ts_ns += 10;
        push(&mut builder, ts_ns, tap, &shape(packet));
    };
    for tap in BEFORE {
        for [before, _] in sent {
            for (from, to) in PARTS {
                pass(tap, &cut(before, from, to));
            }
        }
    }
    for [_, after] in sent {
        pass((CNI0, Ingress), after);
        for tap in &IN_FRAGMENTS[..taps] {
            for (from, to) in parts {
                pass(*tap, &cut(after, *from, *to));
            }
        }
        if taps == IN_FRAGMENTS.len() {
            pass((POD2, Socket), after);
        }
    }
    builder.expire(1_000_000_000);
    let mut paths = finished(&mut builder);
    paths.sort_by_key(|path| path.id);
    paths
}

#[test]
fn packet_to_a_service_that_a_bridge_puts_together_belongs_to_its_fragments() {
    let sent = [to_service(9, 5000), to_service(10, 5000)];
    let paths = through_a_service(&sent, Packet::clone, &PARTS, 3);
    assert_eq!(paths.len(), 6);
    for (number, path) in paths.iter().enumerate() {
        assert_eq!((path.outcome, path.hops.len()), (Outcome::Delivered, 7));
        assert!(!path.ambiguous && !path.incomplete, "{path:#?}");
        let [translation] = &path.translations[..] else {
            panic!("{path:#?}");
        };
        let to: IpAddr = "10.244.1.3".parse().unwrap();
        let ports = (number % 3 == 0).then_some((5000, 5353));
        let after = translation.after;
        assert_eq!((translation.hop, after.destination), (2, to));
        assert_eq!(after.ports, ports);
    }
}

#[test]
fn fragments_to_a_service_that_are_lost_behind_the_bridge_are_lost_there() {
    let paths = through_a_service(&[to_service(9, 5000)], Packet::clone, &PARTS, 2);
    let ends: Vec<_> = paths
        .iter()
        .map(|path| (path.outcome, path.hops.len()))
        .collect();
    assert_eq!(ends, [(Outcome::NotSeenFurther, 5); 3]);
    // Cut in other places: nothing shows which of them has which bytes.
    let other = [(0, 1000), (1000, 3000)];
    let paths = through_a_service(&[to_service(9, 5000)], Packet::clone, &other, 3);
    let outcomes: Vec<_> = paths.iter().map(|path| path.outcome).collect();
    let (unknown, delivered) = (Outcome::Unknown, Outcome::Delivered);
    assert_eq!(outcomes, [unknown, unknown, unknown, delivered, delivered]);
}

/// IPv6 shows no identification in a whole packet: its first bytes and its length tell.
#[test]
fn ipv6_packet_to_a_service_belongs_to_the_only_fragments_that_it_can_be_of() {
    let shape = |packet: &Packet| {
        let service: IpAddr = "10.96.0.10".parse().unwrap();
        let is_before = packet.destination() == Some(service);
        let mut packet = in_ipv6(packet, packet.ipv4_id().unwrap_or_default().into());
        if let (Network::Ip(ip), true) = (&mut packet.network, is_before) {
            ip.destination = "fd00::9".parse().unwrap();
        }
        packet
    };
    let hops = |sent: &[[Packet; 2]]| {
        let paths = through_a_service(sent, shape, &PARTS, 2);
        let hops = paths.iter().map(|path| path.hops.len());
        hops.collect::<Vec<_>>()
    };
    assert_eq!(hops(&[to_service(9, 5000)]), [5; 3]);
    // By their ports.
    assert_eq!(hops(&[to_service(9, 5000), to_service(10, 5001)]), [5; 6]);
    // Nothing shows which of both the first is.
    let equal = hops(&[to_service(9, 5000), to_service(10, 5000)]);
    assert_eq!(equal, [4, 4, 4, 5, 5, 5, 1]);
}

/// The same packet in IPv6: a fragment of it has an identification and a header more.
fn in_ipv6(packet: &Packet, id: u32) -> Packet {
    let mut packet = packet.clone();
    packet.length += 20;
    if let Network::Ip(ip) = &mut packet.network {
        (ip.source, ip.destination) = ("fd00::2".parse().unwrap(), "fd00::3".parse().unwrap());
        ip.id = 0;
        if let Some(fragment) = &mut ip.fragment {
            fragment.id = id;
            packet.length += 8;
        }
    }
    packet
}

#[test]
fn ipv6_packet_that_is_reassembled_belongs_to_the_only_fragments_that_it_can_be_of() {
    let parts = [(0, 1448), (1448, 2896), (2896, 3000)];
    let (whole, mut other) = (large(3000), large(3000));
    if let Transport::Udp { source, .. } = &mut other.transport {
        *source = 9;
    }
    let hops = |sent: &[(u32, &Packet)], between: &Packet| {
        let mut builder = Builder::new(TIMEOUT_NS);
        for (id, packet) in sent {
            for (from, to) in parts {
                let part = in_ipv6(&cut(packet, from, to), *id);
                push(&mut builder, u64::from(*id), BEFORE[0], &part);
                push(&mut builder, u64::from(*id), BEFORE[1], &part);
            }
        }
        push(&mut builder, 99, (CNI0, Ingress), &in_ipv6(between, 0));
        builder.expire(1_000_000_000);
        let mut paths = finished(&mut builder);
        paths.sort_by_key(|path| path.id);
        let hops = paths.iter().map(|path| path.hops.len());
        hops.collect::<Vec<_>>()
    };
    assert_eq!(hops(&[(1, &whole)], &whole), [3; 3]);
    assert_eq!(hops(&[(1, &whole)], &other), [2, 2, 2, 1]);
    assert_eq!(hops(&[(1, &whole)], &large(2992)), [2, 2, 2, 1]);
    assert_eq!(
        hops(&[(1, &other), (2, &whole)], &whole),
        [2, 2, 2, 3, 3, 3]
    );
    // Nothing shows which of both.
    assert_eq!(
        hops(&[(1, &whole), (2, &whole)], &whole),
        [2, 2, 2, 2, 2, 2, 1]
    );
}

#[test]
fn large_ipv6_packet_beside_fragments_of_others_is_lost() {
    let outcome = |lost: &Packet| {
        let (mut builder, whole) = (Builder::new(TIMEOUT_NS), large(3000));
        for (from, to) in PARTS {
            for (ts_ns, tap) in (1..).zip(BEFORE) {
                push(
                    &mut builder,
                    ts_ns,
                    tap,
                    &in_ipv6(&cut(&whole, from, to), 1),
                );
            }
        }
        let lost = push(&mut builder, 9, (CNI0, Ingress), &in_ipv6(lost, 0));
        builder.expire(1_000_000_000);
        let paths = finished(&mut builder);
        let path = paths.into_iter().find(|path| path.id == lost);
        path.map(|path| path.outcome)
    };
    let with_port = |port: u16, hash: u32, bytes: u32| {
        let mut packet = large(bytes);
        packet.payload_hash = hash;
        if let Transport::Udp { destination, .. } = &mut packet.transport {
            *destination = port;
        }
        packet
    };
    let lost = Some(Outcome::NotSeenFurther);
    assert_eq!(outcome(&with_port(9, 9, 3008)), Some(Outcome::Unknown));
    // With other first bytes, or less than the fragments have.
    assert_eq!(outcome(&with_port(9, 8, 3008)), lost);
    assert_eq!(outcome(&with_port(9, 9, 2992)), lost);
}

/// The outcomes of fragments that nothing joins to what is seen behind them.
fn outcomes(behind: &[((u32, Direction), Packet)]) -> Vec<Outcome> {
    let mut builder = Builder::new(TIMEOUT_NS);
    let whole = large(3000);
    for (from, to) in [(0, 1448), (1448, 2896), (2896, 3000)] {
        for (ts_ns, tap) in (1..).zip(BEFORE) {
            push(&mut builder, ts_ns, tap, &cut(&whole, from, to));
        }
    }
    for (ts_ns, (tap, packet)) in (9..).zip(behind) {
        push(&mut builder, ts_ns, *tap, packet);
    }
    builder.expire(1_000_000_000);
    let mut paths = finished(&mut builder);
    paths.sort_by_key(|path| path.id);
    for path in &paths[..3] {
        assert_eq!(path.is_reassembled, path.outcome == Outcome::Unknown);
        assert!(
            !path
                .fragment_of
                .is_some_and(|of| of.is_lost_with_it && path.is_reassembled)
        );
    }
    paths[..3].iter().map(|path| path.outcome).collect()
}

#[test]
fn what_goes_on_in_another_shape_is_not_lost() {
    let renamed = |packet: &Packet| {
        let mut packet = packet.clone();
        if let Network::Ip(ip) = &mut packet.network {
            ip.destination = "10.244.2.9".parse().unwrap();
            ip.id = 10;
        }
        packet
    };
    let whole = large(3000);
    let lost = [Outcome::NotSeenFurther; 3];
    let unknown = [Outcome::Unknown; 3];
    // Translated as a whole, or cut in other places.
    let out = (CNI0, Egress);
    assert_eq!(outcomes(&[]), lost);
    assert_eq!(outcomes(&[(out, renamed(&whole))]), unknown);
    let other_cut =
        [(0, 1000), (1000, 3000)].map(|(from, to)| (out, cut(&renamed(&whole), from, to)));
    assert_eq!(outcomes(&other_cut), unknown);
    // Of another length, incomplete, sent by a pod, or the answer.
    assert_eq!(outcomes(&[(out, renamed(&large(2900)))]), lost);
    assert_eq!(outcomes(&other_cut[..1]), lost);
    assert_eq!(outcomes(&[((POD2, Egress), renamed(&whole))]), lost);
    let mut answer = renamed(&whole);
    if let Network::Ip(ip) = &mut answer.network {
        (ip.source, ip.destination) = ("10.244.1.3".parse().unwrap(), ip.source);
    }
    assert_eq!(outcomes(&[(out, answer)]), lost);
}

proptest! {
    /// However it is cut, in whatever order the fragments come, and whatever else is under way
    /// between the same two.
    #[test]
    fn whole_packet_belongs_to_all_its_fragments_and_to_no_others(
        bytes in 600u32..9000,
        size in 1u32..200,
        order in any::<u64>(),
        other_id in 1u32..20,
        other_bytes in 600u32..9000,
    ) {
        let cuts = |bytes: u32| {
            let size = (8 * size).max(bytes.div_ceil(60).next_multiple_of(8));
            let starts = (0..bytes).step_by(size as usize);
            let parts: Vec<_> = starts.map(|from| (from, bytes.min(from + size))).collect();
            parts
        };
        let whole = large(bytes);
        let mut parts = cuts(bytes);
        parts.sort_by_key(|(from, _)| order.rotate_left(from % 64).wrapping_mul(u64::from(*from) | 1));
        prop_assume!(parts.len() > 1);
        let paths = whole_between(&whole, &whole, &parts);
        prop_assert_eq!(paths.len(), parts.len());
        for path in &paths {
            prop_assert_eq!((path.outcome, path.hops.len()), (Outcome::Delivered, 7));
        }
        let mut other = large(other_bytes);
        if let Network::Ip(ip) = &mut other.network {
            ip.id = other_id;
        }
        let is_it = other == whole;
        let paths = whole_between(&whole, &other, &parts);
        let others = paths.iter().filter(|path| path.packet == other).count();
        prop_assert_eq!(others, usize::from(!is_it));
    }
}
