//! Equal packets.
use super::*;
use crate::model::{drop::KernelDrop, origin::Origin};

#[test]
fn equal_packets_one_after_the_other_are_two_paths() {
    let later = TO_POD2.map(|(ts, interface, direction)| (ts + 10_000, interface, direction));
    let mut builder = join_hops("10.244.1.3", &[TO_POD2, later].concat());
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 2);
    assert!(
        paths
            .iter()
            .all(|path| path.hops.len() == 5 && !path.ambiguous)
    );
}

#[test]
fn concurrent_equal_packets_are_joined_in_order_and_marked() {
    let hops: Vec<_> = TO_POD2
        .iter()
        .flat_map(|(ts, interface, direction)| {
            [
                (*ts, *interface, *direction),
                (ts + 100, *interface, *direction),
            ]
        })
        .collect();
    let paths = finished(&mut join_hops("10.244.1.3", &hops));
    assert_eq!(paths.len(), 2);
    assert!(paths.iter().all(|path| path.hops.len() == 5));
    assert!(paths[0].ambiguous);
}

/// The same numbers return before it is certain that no copy of the first reply follows.
#[test]
fn reply_belongs_to_the_request_before_it() {
    let world = world();
    let mut builder = Builder::new(TIMEOUT_NS);
    let echo = |reply| {
        let (id, sequence) = (1, 1);
        let mut packet = packet(if reply { "10.244.1.1" } else { "10.244.1.3" });
        packet.transport = Transport::Echo {
            reply,
            id,
            sequence,
        };
        if let Network::Ip(ip) = &mut packet.network {
            ip.source = if reply { "10.244.1.3" } else { "10.244.1.1" }
                .parse()
                .unwrap();
        }
        packet
    };
    for begin_ns in [1000, 2000] {
        builder.push(&event(begin_ns, CNI0, Egress, &echo(false)), &world);
        builder.push(&event(begin_ns + 300, CNI0, Ingress, &echo(true)), &world);
    }
    builder.expire(SETTLE_NS + 3000);
    let paths = finished(&mut builder);
    let replies = paths.iter().filter_map(|path| path.round_trip.as_ref());
    let times: Vec<_> = replies.map(|trip| trip.total_ns()).collect();
    assert_eq!(times, [300, 300]);
}

#[test]
fn equal_packets_of_two_pods_are_two_paths() {
    for first in [(1, POD1, Egress), (1, VETH1, Ingress)] {
        for second in [(2, POD2, Egress), (2, VETH2, Ingress)] {
            let mut builder = join_hops("10.244.1.9", &[first, second]);
            builder.finish();
            assert_eq!(finished(&mut builder).len(), 2);
        }
    }
}

#[test]
fn equal_packet_long_after_another_that_died_has_its_own_path() {
    let late = 100_000_000;
    let died = [TO_POD2[0], TO_POD2[1]];
    let arrived = TO_POD2.map(|(ts, interface, direction)| (ts + late, interface, direction));
    let mut builder = join_hops("10.244.1.3", &[&died[..], &arrived[..]].concat());
    builder.finish();
    let hops: Vec<_> = finished(&mut builder)
        .iter()
        .map(|path| path.hops.len())
        .collect();
    assert_eq!(hops, [5, 2]);
}

/// An equal packet follows one that the kernel has dropped.
#[test]
fn dropped_packet_leaves_what_follows_to_an_equal_one() {
    let (world, packet) = (world(), packet("10.244.1.3"));
    let mut builder = Builder::new(TIMEOUT_NS);
    let push = |builder: &mut Builder, ts_ns, (interface, direction)| {
        builder.push(&event(ts_ns, interface, direction, &packet), &world)
    };
    let taps = TO_POD2.map(|(_, interface, direction)| (interface, direction));
    for first_ns in [1000, 3000] {
        for (ts_ns, tap) in (first_ns..).zip(&taps[..2]) {
            push(&mut builder, ts_ns, *tap);
        }
        if first_ns == 1000 {
            let drop = KernelDrop {
                ts_ns: 2000,
                ..KernelDrop::default()
            };
            builder.drop_packet(&Origin::default(), &drop, &packet);
            builder.join_drops(2500, &world);
        }
    }
    for (ts_ns, tap) in (4000..).zip(&taps[2..]) {
        assert_eq!(push(&mut builder, ts_ns, *tap), 2);
    }
}
