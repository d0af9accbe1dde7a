//! Packets that go in a circle.
use super::*;
use crate::path::Circle;

const SECOND: u64 = 1_000_000_000;

fn with_ttl(ttl: u8) -> Packet {
    let mut packet = packet("192.0.2.1");
    if let Network::Ip(ip) = &mut packet.network {
        ip.ttl = ttl;
    }
    packet
}

/// Between the node's bridge and the second pod, which sends it back.
const ROUND: [(u32, Direction); 4] = [
    (VETH2, Egress),
    (VETH2, Ingress),
    (CNI0, Ingress),
    (CNI0, Egress),
];

/// What two routers send to each other until its TTL has gone is one path.
#[test]
fn loop_of_routers_is_one_path() {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    builder.push(&event(1, POD1, Egress, &with_ttl(64)), &world);
    builder.push(&event(2, VETH1, Ingress, &with_ttl(64)), &world);
    let mut ts_ns = 10;
    for ttl in (4..64).rev() {
        for (interface, direction) in &ROUND[ttl as usize % 2 * 2..][..2] {
            ts_ns += 1;
            let id = builder.push(
                &event(ts_ns, *interface, *direction, &with_ttl(ttl)),
                &world,
            );
            assert_eq!(id, 1);
        }
    }
    builder.expire(SECOND);
    let paths = finished(&mut builder);
    assert_eq!((paths.len(), paths[0].outcome), (1, Outcome::Loop));
    assert_eq!(paths[0].circle, Some(Circle { hop: 2, times: 30 }));
    assert_eq!(paths[0].hops.len(), 2 + 2 * ROUND.len());
    assert!(!paths[0].ambiguous);
}

/// Bridges change no TTL, and never stop.
#[test]
fn loop_of_bridges_is_said_once() {
    let world = world();
    let mut question = packet("10.244.1.9");
    question.link = question.link.map(|link| Link {
        destination: Mac([0xff; 6]),
        ..link
    });
    let mut builder = Builder::new(TIMEOUT_NS);
    builder.push(&event(1, POD1, Egress, &question), &world);
    for round in 0..1000 {
        for (number, (interface, direction)) in ROUND[..2].iter().enumerate() {
            let ts_ns = 2 + round * 2 + number as u64;
            builder.push(&event(ts_ns, *interface, *direction, &question), &world);
        }
    }
    builder.expire(20 * SECOND);
    let paths = finished(&mut builder);
    assert_eq!((paths.len(), paths[0].outcome), (1, Outcome::Loop));
    assert_eq!(paths[0].circle, Some(Circle { hop: 1, times: 256 }));
    assert_eq!(paths[0].hops.len(), 5);
    assert!(!builder.is_waiting());
}

/// [`with_ttl`], for the second pod.
fn to_pod2(ttl: u8) -> Packet {
    let mut packet = with_ttl(ttl);
    if let Network::Ip(ip) = &mut packet.network {
        ip.destination = "10.244.1.3".parse().unwrap();
    }
    packet
}

/// A packet that a pod routes passes the bridge twice, and arrives.
#[test]
fn detour_arrives() {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    let way = [
        (POD1, Egress, 64),
        (VETH1, Ingress, 64),
        (CNI0, Ingress, 64),
        (CNI0, Egress, 63),
        (CNI0, Ingress, 62),
        (CNI0, Egress, 61),
        (VETH2, Egress, 61),
        (POD2, Ingress, 61),
        (POD2, Socket, 61),
    ];
    for (ts_ns, (interface, direction, ttl)) in (1..).zip(way) {
        builder.push(&event(ts_ns, interface, direction, &to_pod2(ttl)), &world);
    }
    let paths = finished(&mut builder);
    assert_eq!((paths.len(), paths[0].outcome), (1, Outcome::Delivered));
    assert_eq!(paths[0].hops.len(), way.len());
    assert_eq!(paths[0].circle, Some(Circle { hop: 2, times: 2 }));
}

/// An equal packet whose first hop was lost does not count as the same packet again.
#[test]
fn equal_packet_is_no_loop() {
    let world = world();
    let equal = packet("10.244.1.3");
    for (is_lost, has_first) in [(true, false), (false, true)] {
        let mut builder = Builder::new(TIMEOUT_NS);
        for (ts_ns, interface, direction) in &TO_POD2[..3] {
            builder.push(&event(*ts_ns, *interface, *direction, &equal), &world);
        }
        if is_lost {
            builder.record_loss(3500, 3600);
        }
        for (ts_ns, interface, direction) in &TO_POD2[usize::from(!has_first)..3] {
            builder.push(&event(ts_ns + 3000, *interface, *direction, &equal), &world);
        }
        builder.finish();
        let paths = finished(&mut builder);
        assert_eq!(paths.len(), 2);
        assert!(paths.iter().all(|path| path.circle.is_none()));
    }
}

/// Between the node and a router that is not traced, from a pod and back.
fn over_a_router(rounds: u8, is_shown: bool) -> Vec<Path> {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    let mut waiting: Option<Box<Path>> = None;
    let mut push = |builder: &mut Builder, ts_ns, interface, direction, ttl| {
        let mut waits = waiting.take();
        let event = event(ts_ns, interface, direction, &with_ttl(ttl));
        builder.push_or_recall(&event, &world, |id| waits.take_if(|path| path.id == id));
        waiting = waits.or_else(|| match is_shown {
            true => None,
            false => builder.take_only_finished(),
        });
        if let Some(path) = is_shown.then(|| builder.take_only_finished()).flatten() {
            builder.keep(path);
        }
    };
    push(&mut builder, 1, POD1, Egress, 64);
    push(&mut builder, 2, VETH1, Ingress, 64);
    push(&mut builder, 3, UPLINK, Egress, 63);
    for round in 0..rounds {
        let ts_ns = 10 + 10 * u64::from(round);
        push(&mut builder, ts_ns, UPLINK, Ingress, 62 - 2 * round);
        push(&mut builder, ts_ns + 1, UPLINK, Egress, 61 - 2 * round);
    }
    builder.expire(SECOND);
    let mut paths = finished(&mut builder);
    paths.extend(waiting.map(|path| *path));
    paths
}

/// Each round leaves the node, and comes back with a lower TTL.
#[test]
fn loop_over_a_router_that_is_not_traced_is_one_path() {
    for is_shown in [false, true] {
        let paths = over_a_router(20, is_shown);
        let [path] = &paths[..] else {
            panic!("{paths:#?}");
        };
        assert_eq!(path.outcome, Outcome::Loop);
        assert_eq!(path.circle, Some(Circle { hop: 2, times: 21 }));
        assert_eq!(path.hops.len(), 2 + 4);
        assert!(!path.ambiguous);
        let before = path.late_of.map(|before| (before.outcome, before.hops));
        assert_eq!(before, is_shown.then_some((Outcome::LeftNode, 3)));
    }
    // What never comes back has left.
    let paths = over_a_router(0, false);
    assert_eq!((paths.len(), paths[0].outcome), (1, Outcome::LeftNode));
}

/// Nor does a packet that comes back once go in a circle.
#[test]
fn packet_that_a_router_sends_back_goes_on() {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    builder.push(&event(1, POD1, Egress, &to_pod2(64)), &world);
    builder.push(&event(2, UPLINK, Egress, &to_pod2(63)), &world);
    let left = builder.take_only_finished().unwrap();
    let mut waits = Some(left);
    builder.push_or_recall(&event(3, UPLINK, Ingress, &to_pod2(62)), &world, |_| {
        waits.take()
    });
    for (ts_ns, interface, direction) in &TO_POD2[2..] {
        builder.push(&event(*ts_ns, *interface, *direction, &to_pod2(61)), &world);
    }
    let paths = finished(&mut builder);
    assert_eq!((paths.len(), paths[0].outcome), (1, Outcome::Delivered));
    assert_eq!((paths[0].hops.len(), paths[0].circle), (6, None));
}

/// Nothing tells which of two equal packets came back, or whether one did at all.
#[test]
fn equal_packets_that_have_left_do_not_come_back() {
    for (sent, ttl) in [(2, 62), (1, 63), (1, 64)] {
        let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
        for number in 0..sent {
            builder.push(&event(10 * number, POD1, Egress, &with_ttl(64)), &world);
            builder.push(
                &event(10 * number + 1, UPLINK, Egress, &with_ttl(63)),
                &world,
            );
        }
        let event = event(100, UPLINK, Ingress, &with_ttl(ttl));
        let id = builder.push_or_recall(&event, &world, |_| panic!("recalled"));
        assert_eq!(id, sent + 1);
    }
}
