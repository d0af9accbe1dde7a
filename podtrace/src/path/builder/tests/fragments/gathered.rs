//! Fragments that wait for the others of their packet.
mod mixed;

use proptest::prelude::*;

use super::*;
use crate::{path::summary::Summary, world::fixture::leave_sockets};

const SECOND: u64 = 1_000_000_000;

/// Where a fragment is until its pod has it.
const TAPS: [(u32, Direction); 4] = [
    (POD1, Egress),
    (VETH1, Ingress),
    (VETH2, Egress),
    (POD2, Ingress),
];

/// A fragment of a datagram, by its bytes, the number of taps that it passes, and how long it waits
/// before the last two.
type Sent = ((u32, u32), usize, u64);

/// All fragments of a datagram, each when it is seen; in order of time.
fn seen(whole: &Packet, sent: &[Sent]) -> Vec<Event> {
    let mut events = Vec::new();
    for (number, ((from, to), taps, wait_ns)) in (1..).zip(sent) {
        let packet = cut(whole, *from, *to);
        for (hop, tap) in TAPS.into_iter().take(*taps).enumerate() {
            let ts_ns = 1000 * hop as u64 + number + if hop > 1 { *wait_ns } else { 0 };
            events.push(event(ts_ns, tap.0, tap.1, &packet));
        }
    }
    events.sort_by_key(|event| event.ts_ns);
    events
}

/// The paths that the events make, with a sweep each 100 ms.
fn joined(world: &World, events: &[Event]) -> Vec<Path> {
    let mut builder = Builder::new(TIMEOUT_NS);
    let (mut swept, mut paths) = (0, Vec::new());
    for event in events {
        while swept + SECOND / 10 <= event.ts_ns {
            swept += SECOND / 10;
            builder.expire(swept);
        }
        builder.push(event, world);
        paths.extend(finished(&mut builder));
    }
    builder.expire(swept + 100 * SECOND);
    assert!(!builder.is_waiting());
    paths.extend(finished(&mut builder));
    paths
}

fn summary(paths: &[Path]) -> Summary {
    let mut summary = Summary::default();
    for path in paths {
        summary.count(path, path.late_of);
    }
    summary
}

fn count(paths: &[Path], outcome: Outcome) -> u64 {
    summary(paths).outcomes[outcome.index()]
}

const ALL: [(u32, u32); 3] = [(0, 1000), (1000, 2000), (2000, 3000)];

/// The one that is lost has a place; the others are not lost where they wait for it.
#[test]
fn loss_of_a_fragment_is_laid_to_where_it_was_seen_last() {
    let mut world = world();
    for watched in [true, false] {
        if !watched {
            leave_sockets(&mut world);
        }
        for lost in 0..3 {
            for lost_after in 1..4 {
                let sent = [0, 1, 2].map(|number| {
                    let taps = if number == lost { lost_after } else { 4 };
                    (ALL[number], taps, 0)
                });
                let paths = joined(&world, &seen(&large(3000), &sent));
                assert_eq!(paths.len(), 3);
                for path in paths {
                    let is_lost = path.hops.len() == lost_after;
                    let expected = match is_lost {
                        true => Outcome::NotSeenFurther,
                        false => Outcome::Unknown,
                    };
                    assert_eq!(path.outcome, expected, "{lost} {lost_after} {watched}");
                    assert_eq!(path.lacks_fragments, !is_lost);
                }
            }
        }
    }
}

/// Who looks at the packet on its way puts it together, too.
#[test]
fn fragments_that_wait_for_another_on_their_way_are_not_lost_there() {
    let sent = [(ALL[0], 2, 0), (ALL[1], 1, 0), (ALL[2], 2, 0)];
    let paths = joined(&world(), &seen(&large(3000), &sent));
    let outcomes: Vec<_> = paths.iter().map(|path| path.outcome).collect();
    assert_eq!(count(&paths, Outcome::NotSeenFurther), 1, "{outcomes:?}");
    assert_eq!(count(&paths, Outcome::Unknown), 2);
}

#[test]
fn datagram_whose_last_fragment_comes_late_was_slow() {
    let (mut world, whole) = (world(), large(3000));
    for watched in [true, false] {
        if !watched {
            leave_sockets(&mut world);
        }
        for (wait_ns, slow) in [
            (SECOND / 5, 0),
            (2 * SECOND, 3),
            (15 * SECOND, 3),
            (29 * SECOND, 3),
        ] {
            let sent = [(ALL[0], 4, 0), (ALL[1], 4, 0), (ALL[2], 4, wait_ns)];
            let mut events = seen(&whole, &sent);
            if watched {
                events.push(event(wait_ns + 9000, POD2, Socket, &whole));
            }
            let paths = joined(&world, &events);
            assert_eq!(count(&paths, Outcome::Delivered), 3, "{wait_ns} {watched}");
            assert_eq!(summary(&paths).packets, 3);
            let late = paths.iter().filter(|path| path.late_of.is_some());
            assert_eq!(late.count(), slow);
        }
    }
}

/// Nobody waits for so long.
#[test]
fn fragment_that_comes_after_the_others_were_dropped_is_another() {
    let whole = large(3000);
    let sent = [(ALL[0], 4, 0), (ALL[1], 4, 0), (ALL[2], 4, 31 * SECOND)];
    let paths = joined(&world(), &seen(&whole, &sent));
    assert!(paths.iter().all(|path| path.late_of.is_none()));
    assert_eq!(count(&paths, Outcome::Delivered), 0);
}

/// Where a packet is whole first, and cut on its way.
#[test]
fn packet_whose_last_fragment_comes_late_was_slow() {
    let whole = large(3000);
    for wait_ns in [2 * SECOND, 29 * SECOND] {
        let mut events: Vec<_> = (1..)
            .zip(WHOLE)
            .map(|(ts_ns, tap)| event(ts_ns, tap.0, tap.1, &whole))
            .collect();
        for (number, (from, to)) in (1..).zip(ALL) {
            let wait_ns = if to == 3000 { wait_ns } else { 0 };
            for (hop, tap) in (1..).zip(IN_FRAGMENTS) {
                let ts_ns = wait_ns + 1000 * hop + number;
                events.push(event(ts_ns, tap.0, tap.1, &cut(&whole, from, to)));
            }
        }
        events.push(event(wait_ns + 9000, POD2, Socket, &whole));
        events.sort_by_key(|event| event.ts_ns);
        let paths = joined(&world(), &events);
        let [lost, again] = &paths[..] else {
            panic!("{paths:#?}");
        };
        assert_eq!(lost.outcome, Outcome::NotSeenFurther);
        assert_eq!(lost.segments_at(5).map(|seen| seen.bytes), Some(2000));
        assert_eq!(again.outcome, Outcome::Delivered);
        assert_eq!(again.late_of.map(|before| before.id), Some(lost.id));
        assert!(again.lateness_ns().is_some());
    }
}

/// They came further, but the packet is lost where all of it was seen last.
#[test]
fn packet_that_lacks_a_fragment_is_lost_where_it_was_whole() {
    let paths = on_the_way(&large(3000), &[(0, 1448), (2896, 3000)], false);
    assert_eq!(paths[0].hops_until_lost(), 3);
}

/// The outer packet of one in a tunnel, in fragments that come to this node.
fn in_tunnel(rest: &[(u32, u32, u64)], first_ns: u64, inside_ns: Option<u64>) -> Vec<Path> {
    let mut inner = packet("10.244.1.3");
    if let Network::Ip(ip) = &mut inner.network {
        ip.source = "10.244.2.2".parse().unwrap();
    }
    inner.length = 1400;
    let [far, here] = ["192.168.77.12", "10.244.1.1"].map(|text| text.parse().unwrap());
    let tunnel = Tunnel {
        source: far,
        destination: here,
        carrier: Carrier::Vxlan(1),
        id: 9,
        fragment: Some(9),
    };
    let mut outer = inner.clone();
    outer.tunnel = Some(tunnel);
    let mut first = event(first_ns, UPLINK, Ingress, &outer);
    // Its outer packet has 1000 bytes behind its IP header.
    first.wire_len = 14 + 20 + 1000;
    let mut events = vec![first];
    for (from, to, ts_ns) in rest {
        let mut rest = cut(&large(1450), *from, *to);
        if let Network::Ip(ip) = &mut rest.network {
            (ip.source, ip.destination) = (far, here);
        }
        if let Some(link) = &mut rest.link {
            link.destination = mac_of(NODE);
        }
        events.push(event(*ts_ns, UPLINK, Ingress, &rest));
    }
    if let Some(ts_ns) = inside_ns {
        for (hop, tap) in (0..).zip([(VETH2, Egress), (POD2, Ingress), (POD2, Socket)]) {
            events.push(event(ts_ns + hop, tap.0, tap.1, &inner));
        }
    }
    events.sort_by_key(|event| event.ts_ns);
    joined(&world(), &events)
}

#[test]
fn packet_in_a_tunnel_whose_outer_fragment_is_lost_is_not_lost_here() {
    let paths = in_tunnel(&[], 1, None);
    assert_eq!(paths[0].outcome, Outcome::Unknown);
    assert!(paths[0].lacks_fragments);
    let paths = in_tunnel(&[(1000, 1200, 2)], 1, None);
    assert!(paths.iter().all(|path| path.lacks_fragments));
    // All of it has come.
    let paths = in_tunnel(&[(1000, 1450, 2)], 1, None);
    assert!(paths.iter().all(|path| !path.lacks_fragments));
    assert_eq!(count(&paths, Outcome::NotSeenFurther), 1);
    assert_eq!(count(&paths, Outcome::Delivered), 1);
}

#[test]
fn packet_in_a_tunnel_whose_outer_fragment_comes_late_was_slow() {
    for (first_ns, rest_ns) in [(1, 20 * SECOND), (20 * SECOND, 1)] {
        let whole_ns = first_ns.max(rest_ns) + 5;
        let paths = in_tunnel(&[(1000, 1450, rest_ns)], first_ns, Some(whole_ns));
        assert_eq!(count(&paths, Outcome::Delivered), 2, "{paths:#?}");
        assert_eq!(
            paths.iter().filter(|path| path.late_of.is_some()).count(),
            1
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Datagrams of one identification between the same ends, their fragments in any order: no
    /// fragment is joined to what a socket gets of another datagram unless it says that it may be so.
    #[test]
    fn fragments_of_one_identification_are_never_joined_to_others_in_silence(
        sizes in prop::collection::vec(120u32..400, 2..5),
        order in prop::collection::vec(any::<u16>(), 60),
        lost in prop::collection::vec(0u8..8, 60),
        gap_ns in prop::sample::select(vec![10u64, 30_000_000, SECOND]),
    ) {
        // By their ports.
        let packets: Vec<_> = (0..).zip(&sizes).map(|(number, size)| {
            let mut packet = large(8 * size);
            if let Transport::Udp { source, .. } = &mut packet.transport {
                *source = 5000 + number;
            }
            packet
        }).collect();
        let (mut order, mut lost) = (order.into_iter(), lost.into_iter());
        let mut sent = Vec::new();
        let mut whole = vec![true; packets.len()];
        for (number, packet) in packets.iter().enumerate() {
            let total = packet.length - 20;
            for from in (0..total).step_by(800) {
                let taps = if lost.next() == Some(0) { 2 } else { 4 };
                whole[number] &= taps == 4;
                let at = number as u64 * gap_ns + u64::from(order.next().unwrap_or_default());
                sent.push((at, number, cut(packet, from, total.min(from + 800)), taps));
            }
        }
        let mut events = Vec::new();
        for (at, number, packet, taps) in &sent {
            for (hop, tap) in (0u64..).zip(&TAPS[..*taps]) {
                events.push((*number, event(at + hop * 20_000, tap.0, tap.1, packet)));
            }
        }
        for (number, packet) in packets.iter().enumerate().filter(|(number, _)| whole[*number]) {
            let mut own = events.iter().filter(|(of, _)| *of == number).map(|(_, event)| event.ts_ns);
            let last = own.by_ref().max().unwrap_or_default();
            events.push((number, event(last + 1, POD2, Socket, packet)));
        }
        events.sort_by_key(|(_, event)| event.ts_ns);
        let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
        let mut given = std::collections::BTreeMap::<u64, std::collections::BTreeSet<usize>>::new();
        let (mut swept, mut paths) = (0, Vec::new());
        for (number, event) in &events {
            while swept + SECOND / 10 <= event.ts_ns {
                swept += SECOND / 10;
                builder.expire(swept);
            }
            let id = builder.push(event, &world);
            given.entry(id).or_default().insert(*number);
            for id in builder.further() {
                given.entry(*id).or_default().insert(*number);
            }
            paths.extend(finished(&mut builder));
        }
        builder.expire(swept + 100 * SECOND);
        paths.extend(finished(&mut builder));
        for path in &paths {
            let of = given.get(&path.id).cloned().unwrap_or_default();
            prop_assert!(of.len() < 2 || path.ambiguous, "{of:?}: {path:?}");
        }
    }
}
