//! Packets that the kernel says it has dropped.
use super::*;
use crate::{
    model::{drop::KernelDrop, origin::Origin},
    path::dropped::Dropped,
};

const SECOND: u64 = 1_000_000_000;

fn drop_at(ts_ns: u64, netns: u64, reason: &str) -> KernelDrop {
    KernelDrop {
        ts_ns,
        reason: Some(reason.into()),
        function: Some("nf_hook_slow".into()),
        netns,
        ..KernelDrop::default()
    }
}

/// A packet passes these taps, a microsecond each, and is dropped then.
fn dropped_after(
    taps: &[(u32, Direction)],
    packet: &Packet,
    of_drop: &Packet,
    netns: u64,
    world: &World,
) -> Vec<Path> {
    let mut builder = Builder::new(TIMEOUT_NS);
    for (number, (interface, direction)) in (1..).zip(taps) {
        builder.push(&event(number * 1000, *interface, *direction, packet), world);
    }
    builder.drop_packet(
        &Origin::default(),
        &drop_at(50_000, netns, "NETFILTER_DROP"),
        of_drop,
    );
    builder.join_drops(60_000, world);
    builder.expire(SECOND);
    finished(&mut builder)
}

const TO_BRIDGE: [(u32, Direction); 3] = [(POD1, Egress), (VETH1, Ingress), (CNI0, Ingress)];

#[test]
fn packet_that_is_not_seen_further_was_dropped() {
    let packet = packet("10.244.2.9");
    let paths = dropped_after(&TO_BRIDGE, &packet, &packet, 0, &world());
    let [path] = &paths[..] else {
        panic!("{paths:?}");
    };
    assert_eq!(path.outcome, Outcome::Dropped);
    let Dropped { by, hops } = path.dropped.as_deref().unwrap();
    assert_eq!((by.reason.as_deref(), *hops), (Some("NETFILTER_DROP"), 3));
}

#[test]
fn packet_without_a_socket_was_dropped() {
    let packet = packet("10.244.1.3");
    let taps = [(VETH2, Egress), (POD2, Ingress)];
    let paths = dropped_after(&taps, &packet, &packet, NETNS2, &world());
    assert_eq!(paths[0].outcome, Outcome::Dropped);
}

/// The kernel drops copies of it, too.
#[test]
fn packet_that_goes_on_was_not_dropped() {
    let world = world();
    let packet = packet("10.244.1.3");
    let mut builder = Builder::new(TIMEOUT_NS);
    builder.push(&event(1000, POD1, Egress, &packet), &world);
    builder.drop_packet(&Origin::default(), &drop_at(1500, 0, "OTHERHOST"), &packet);
    builder.join_drops(1600, &world);
    for (ts_ns, interface, direction) in &TO_POD2[1..] {
        builder.push(&event(*ts_ns, *interface, *direction, &packet), &world);
    }
    builder.drop_packet(
        &Origin::default(),
        &drop_at(6000, NETNS2, "NO_SOCKET"),
        &packet,
    );
    builder.join_drops(SECOND, &world);
    builder.expire(SECOND);
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 1);
    assert_eq!(paths[0].outcome, Outcome::Delivered);
    assert_eq!(paths[0].dropped, None);
}

/// Its destination was translated before it was dropped.
#[test]
fn packet_is_dropped_with_other_ends() {
    let world = world();
    let service = packet("10.96.0.10");
    let translated = packet("10.244.2.7");
    let here = world.tap_points.get(CNI0).unwrap().netns_id;
    for (netns, outcome) in [
        (here, Outcome::Dropped),
        (here + 77, Outcome::NotSeenFurther),
    ] {
        let paths = dropped_after(&TO_BRIDGE, &service, &translated, netns, &world);
        assert_eq!(paths[0].outcome, outcome);
    }
}

/// The neighbour did not answer for seconds.
#[test]
fn report_is_corrected_by_a_late_drop() {
    let world = world();
    let packet = packet("10.244.2.9");
    let mut builder = Builder::new(TIMEOUT_NS);
    builder.push(&event(1000, CNI0, Ingress, &packet), &world);
    builder.expire(SECOND);
    assert_eq!(finished(&mut builder)[0].outcome, Outcome::NotSeenFurther);
    builder.drop_packet(
        &Origin::default(),
        &drop_at(3 * SECOND, 0, "NEIGH_FAILED"),
        &packet,
    );
    builder.join_drops(4 * SECOND, &world);
    builder.expire(4 * SECOND);
    let paths = finished(&mut builder);
    assert_eq!(paths[0].outcome, Outcome::Dropped);
    assert_eq!(paths[0].late_of.map(|before| before.id), Some(1));
}

/// An echo request that has reached a pod whose firewall drops it, shown or not.
#[test]
fn arrived_packet_was_dropped_where_it_arrived() {
    let world = world();
    let mut echo = packet("10.244.1.3");
    echo.transport = Transport::Echo {
        reply: false,
        id: 7,
        sequence: 1,
    };
    for (is_shown, reason, outcome) in [
        (false, "NETFILTER_DROP", Outcome::Dropped),
        (true, "NETFILTER_DROP", Outcome::Dropped),
        // A raw socket of another ping.
        (false, "SOCKET_FILTER", Outcome::Delivered),
    ] {
        let mut builder = Builder::new(TIMEOUT_NS);
        builder.push(&event(1000, VETH2, Egress, &echo), &world);
        builder.push(&event(2000, POD2, Ingress, &echo), &world);
        builder.expire(SECOND);
        let mut path = builder.take_only_finished().unwrap();
        assert_eq!(path.outcome, Outcome::Delivered);
        if is_shown {
            builder.keep(path.clone());
        }
        builder.drop_packet(&Origin::default(), &drop_at(3000, NETNS2, reason), &echo);
        builder.join_drops(SECOND, &world);
        if is_shown {
            path = builder.take_only_finished().unwrap();
            assert_eq!(path.late_of.map(|before| before.id), Some(1));
        } else {
            builder.amend(&mut path, &world);
        }
        assert_eq!(path.outcome, outcome);
    }
}

/// The kernel says so while its path waits for copies.
#[test]
fn packet_is_dropped_as_it_arrives() {
    let mut echo = packet("10.244.1.3");
    echo.transport = Transport::Echo {
        reply: false,
        id: 7,
        sequence: 1,
    };
    let taps = [(VETH2, Egress), (POD2, Ingress)];
    let paths = dropped_after(&taps, &echo, &echo, NETNS2, &world());
    assert_eq!(paths[0].outcome, Outcome::Dropped);
}

/// A queue of the card has dropped it, of this node or of another.
#[test]
fn packet_that_has_left_was_dropped_on_its_way_out() {
    let world = world();
    let packet = packet("10.244.2.9");
    let here = world.tap_points.get(UPLINK).unwrap().netns_id;
    for (netns, is_dropped) in [(here, true), (here + 77, false)] {
        let mut builder = Builder::new(TIMEOUT_NS);
        builder.push(&event(1000, CNI0, Ingress, &packet), &world);
        builder.push(&event(2000, UPLINK, Egress, &packet), &world);
        builder.expire(SECOND);
        let mut path = builder.take_only_finished().unwrap();
        assert_eq!(path.outcome, Outcome::LeftNode);
        builder.drop_packet(
            &Origin::default(),
            &drop_at(3000, netns, "QDISC_DROP"),
            &packet,
        );
        builder.join_drops(SECOND, &world);
        builder.amend(&mut path, &world);
        assert_eq!(path.outcome == Outcome::Dropped, is_dropped);
    }
}

/// Any of them may have been translated so.
#[test]
fn packets_that_are_alike_but_for_their_ends_are_not_taken_for_one_another() {
    let world = world();
    let here = world.tap_points.get(CNI0).unwrap().netns_id;
    let mut builder = Builder::new(TIMEOUT_NS);
    for (ts_ns, service) in (1..).zip(["10.96.0.10", "10.96.0.11", "10.96.0.12"]) {
        builder.push(&event(ts_ns, CNI0, Ingress, &packet(service)), &world);
    }
    let drop = drop_at(3000, here, "NETFILTER_DROP");
    builder.drop_packet(&Origin::default(), &drop, &packet("10.244.2.7"));
    assert_eq!(builder.join_drops(SECOND, &world), []);
    builder.expire(SECOND);
    let paths = finished(&mut builder);
    assert!(paths.iter().all(|path| path.dropped.is_none()));
}
