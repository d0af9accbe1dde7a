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

/// A packet that a pod routes passes the bridge twice, and arrives.
#[test]
fn detour_arrives() {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    let to = |ttl: u8| {
        let mut packet = with_ttl(ttl);
        if let Network::Ip(ip) = &mut packet.network {
            ip.destination = "10.244.1.3".parse().unwrap();
        }
        packet
    };
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
        builder.push(&event(ts_ns, interface, direction, &to(ttl)), &world);
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
