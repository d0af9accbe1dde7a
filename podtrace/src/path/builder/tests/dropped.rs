//! Packets that the kernel says it has dropped.
use super::*;
use crate::{
    model::{drop::KernelDrop, origin::Origin},
    packet::{TCP_ACK, TCP_SYN},
    path::dropped::Dropped,
    world::fixture::leave_sockets,
};

const SECOND: u64 = 1_000_000_000;

pub(super) fn drop_at(ts_ns: u64, netns: u64, reason: &str) -> KernelDrop {
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
    let Dropped { by, hops, .. } = path.dropped.as_deref().unwrap();
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
        let ends = paths[0]
            .dropped
            .as_ref()
            .and_then(|dropped| dropped.translated);
        assert_eq!(
            ends,
            translated.ends().filter(|_| outcome == Outcome::Dropped)
        );
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

/// A packet that has reached a pod which drops it, shown or not; no tap tells of its sockets.
#[test]
fn arrived_packet_was_dropped_where_it_arrived() {
    let mut world = world();
    leave_sockets(&mut world);
    let echo = Transport::Echo {
        reply: false,
        id: 7,
        sequence: 1,
    };
    let syn_ack = tcp((80, 5000), 1, 2, TCP_SYN | TCP_ACK);
    let data = Transport::Tcp {
        source: 80,
        destination: 5000,
        sequence: 9,
        acknowledgment: 2,
        flags: TCP_ACK,
        payload: 100,
    };
    for (transport, is_shown, reason, outcome) in [
        (echo, false, "NETFILTER_DROP", Outcome::Dropped),
        (echo, true, "NETFILTER_DROP", Outcome::Dropped),
        // A raw socket of another ping.
        (echo, false, "SOCKET_FILTER", Outcome::Delivered),
        (syn_ack, false, "NETFILTER_DROP", Outcome::Dropped),
        (syn_ack, false, "IP_RPFILTER", Outcome::Dropped),
        (data, false, "NETFILTER_DROP", Outcome::Dropped),
        (data, false, "XFRM_POLICY", Outcome::Dropped),
        (data, false, "TCP_OLD_DATA", Outcome::Delivered),
    ] {
        let mut packet = packet("10.244.1.3");
        packet.transport = transport;
        let mut builder = Builder::new(TIMEOUT_NS);
        builder.push(&event(1000, VETH2, Egress, &packet), &world);
        builder.push(&event(2000, POD2, Ingress, &packet), &world);
        builder.expire(SECOND);
        let mut path = builder.take_only_finished().unwrap();
        assert_eq!(path.outcome, Outcome::Delivered, "{transport:?}");
        if is_shown {
            builder.keep(path.clone());
        }
        builder.drop_packet(&Origin::default(), &drop_at(3000, NETNS2, reason), &packet);
        builder.join_drops(SECOND, &world);
        if is_shown {
            path = builder.take_only_finished().unwrap();
            assert_eq!(path.late_of.map(|before| before.id), Some(1));
        } else {
            builder.amend(&mut path, &world);
        }
        assert_eq!(path.outcome, outcome, "{transport:?} {reason}");
    }
}

/// A SYN-ACK and its copy, with equal headers: each drop is of the one before it.
#[test]
fn equal_packets_are_dropped_one_by_one() {
    let mut world = world();
    leave_sockets(&mut world);
    let mut packet = packet("10.244.1.3");
    packet.transport = tcp((80, 5000), 1, 2, TCP_SYN | TCP_ACK);
    for dropped_ns in [vec![3000, 13_000], vec![3000], vec![13_000]] {
        let mut builder = Builder::new(TIMEOUT_NS);
        for begun_ns in [1000, 11_000] {
            builder.push(&event(begun_ns, VETH2, Egress, &packet), &world);
            builder.push(&event(begun_ns + 1000, POD2, Ingress, &packet), &world);
        }
        for ts_ns in &dropped_ns {
            let drop = drop_at(*ts_ns, NETNS2, "NETFILTER_DROP");
            builder.drop_packet(&Origin::default(), &drop, &packet);
        }
        builder.join_drops(SECOND, &world);
        builder.expire(SECOND);
        for mut path in finished(&mut builder) {
            builder.amend(&mut path, &world);
            let is_dropped = dropped_ns.contains(&(path.last_ns() + 1000));
            assert_eq!(
                path.outcome == Outcome::Dropped,
                is_dropped,
                "{dropped_ns:?}"
            );
        }
    }
}

/// Of a flood, a kernel tells the first drops only: what it does not tell of has not arrived for
/// sure. `sender`: that of a packet, by its number.
fn outcomes_of_flood(
    dropped: u16,
    (reason, function): (&str, &str),
    has_socket: bool,
    sender: impl Fn(u16) -> String,
) -> Vec<Outcome> {
    let mut world = world();
    if !has_socket {
        leave_sockets(&mut world);
    }
    let mut builder = Builder::new(TIMEOUT_NS);
    let numbered = |number: u16| {
        let mut packet = packet("10.244.1.3");
        if let Network::Ip(ip) = &mut packet.network {
            (ip.id, ip.source) = (number.into(), sender(number).parse().unwrap());
        }
        packet
    };
    for number in 0..80 {
        let (packet, ts_ns) = (numbered(number), 10_000 * u64::from(number));
        builder.push(&event(ts_ns, VETH2, Egress, &packet), &world);
        builder.push(&event(ts_ns + 1000, POD2, Ingress, &packet), &world);
        if has_socket {
            builder.push(&event(ts_ns + 1500, POD2, Socket, &packet), &world);
        }
        if number < dropped {
            let mut drop = drop_at(ts_ns + 2000, NETNS2, reason);
            drop.function = Some(function.into());
            builder.drop_packet(&Origin::default(), &drop, &packet);
        }
    }
    builder.join_drops(SECOND, &world);
    builder.expire(SECOND);
    let mut paths = finished(&mut builder);
    paths.sort_unstable_by_key(|path| path.id);
    let outcomes = paths.into_iter().map(|mut path| {
        builder.amend(&mut path, &world);
        assert_eq!(path.is_untold, path.outcome == Outcome::Unknown);
        path.outcome
    });
    outcomes.collect()
}

#[test]
fn packets_of_a_flood_of_drops_are_not_delivered_for_sure() {
    const FIREWALL: (&str, &str) = ("NETFILTER_DROP", "nf_hook_slow");
    const SOCKET: (&str, &str) = ("SOCKET_RCVBUFF", "udp_queue_rcv_one_skb");
    let one = |_: u16| "10.244.1.2".to_owned();
    let many = |number: u16| format!("10.244.1.{}", 100 + number);
    let (delivered, unknown) = (Outcome::Delivered, Outcome::Unknown);
    for (by, has_socket) in [(FIREWALL, false), (SOCKET, false), (SOCKET, true)] {
        for (dropped, outcomes) in [
            (15, outcomes_of_flood(15, by, has_socket, one)),
            (16, outcomes_of_flood(16, by, has_socket, one)),
            (63, outcomes_of_flood(63, by, has_socket, many)),
            (64, outcomes_of_flood(64, by, has_socket, many)),
        ] {
            let (first, rest) = outcomes.split_at(dropped);
            let expected = if matches!(dropped, 16 | 64) {
                unknown
            } else {
                delivered
            };
            assert!(
                first.iter().all(|one| *one == Outcome::Dropped),
                "{by:?} {first:?}"
            );
            assert!(
                rest.iter().all(|one| *one == expected),
                "{by:?} {dropped} {rest:?}"
            );
        }
    }
    // What is dropped behind the socket takes nothing from what has arrived.
    let outcomes = outcomes_of_flood(80, ("QUEUE_PURGE", "udp_destruct_common"), true, one);
    assert!(outcomes.iter().all(|one| *one == delivered));
}

/// A datagram that its socket has no room for, whether a tap tells of sockets or not, and before or
/// after its path has ended.
#[test]
fn datagram_that_its_socket_refuses_was_dropped() {
    let (mut bare, with_sockets) = (world(), world());
    leave_sockets(&mut bare);
    for (reason, function, outcome) in [
        (
            "SOCKET_RCVBUFF",
            Some("udp_queue_rcv_one_skb"),
            Outcome::Dropped,
        ),
        (
            "SOCKET_RCVBUFF",
            Some("__udp_enqueue_schedule_skb"),
            Outcome::Dropped,
        ),
        ("SOCKET_RCVBUFF", None, Outcome::Dropped),
        (
            "PROTO_MEM",
            Some("udpv6_queue_rcv_one_skb"),
            Outcome::Dropped,
        ),
        (
            "NOT_SPECIFIED",
            Some("udp_queue_rcv_one_skb"),
            Outcome::Dropped,
        ),
        // Copies of others, and what nobody has read when its socket closes.
        ("SOCKET_RCVBUFF", Some("raw_rcv"), Outcome::Delivered),
        (
            "QUEUE_PURGE",
            Some("udp_destruct_common"),
            Outcome::Delivered,
        ),
        (
            "NOT_SPECIFIED",
            Some("udp_destruct_common"),
            Outcome::Delivered,
        ),
    ] {
        for (world, has_socket) in [(&bare, false), (&with_sockets, true)] {
            let packet = packet("10.244.1.3");
            let mut builder = Builder::new(TIMEOUT_NS);
            builder.push(&event(1000, VETH2, Egress, &packet), world);
            builder.push(&event(2000, POD2, Ingress, &packet), world);
            if has_socket {
                builder.push(&event(2500, POD2, Socket, &packet), world);
            }
            let mut drop = drop_at(3000, NETNS2, reason);
            drop.function = function.map(Into::into);
            builder.drop_packet(&Origin::default(), &drop, &packet);
            builder.join_drops(SECOND, world);
            builder.expire(SECOND);
            let mut path = builder.take_only_finished().unwrap();
            builder.amend(&mut path, world);
            assert_eq!(path.outcome, outcome, "{reason} {function:?} {has_socket}");
        }
    }
}

/// Where nobody listens, a reset follows, unless it dies.
#[test]
fn connection_that_nobody_listens_for_was_dropped() {
    let (mut bare, with_sockets) = (world(), world());
    leave_sockets(&mut bare);
    let data = tcp((5000, 80), 1, 2, TCP_ACK);
    for (world, transport, outcome) in [
        (&bare, None, Outcome::Dropped),
        (&with_sockets, None, Outcome::Dropped),
        // What comes for a connection that is closed.
        (&bare, Some(data), Outcome::Delivered),
    ] {
        let mut packet = syn("10.244.1.3");
        packet.transport = transport.unwrap_or(packet.transport);
        let mut builder = Builder::new(TIMEOUT_NS);
        builder.push(&event(1000, VETH2, Egress, &packet), world);
        builder.push(&event(2000, POD2, Ingress, &packet), world);
        let mut drop = drop_at(3000, NETNS2, "NO_SOCKET");
        drop.function = Some("tcp_v4_rcv".into());
        builder.drop_packet(&Origin::default(), &drop, &packet);
        builder.join_drops(SECOND, world);
        builder.expire(SECOND);
        let mut path = builder.take_only_finished().unwrap();
        builder.amend(&mut path, world);
        assert_eq!(path.outcome, outcome, "{transport:?}");
    }
}

/// A firewall that rejects a packet answers and drops it, in either order.
#[test]
fn rejected_packet_was_refused() {
    let mut world = world();
    leave_sockets(&mut world);
    let syn = syn("10.244.1.3");
    let mut reset = packet("10.244.1.2");
    if let Network::Ip(ip) = &mut reset.network {
        (ip.source, ip.protocol) = ("10.244.1.3".parse().unwrap(), 6);
    }
    reset.transport = tcp((80, 5000), 0, 78, crate::packet::TCP_RST | TCP_ACK);
    for answers_first in [true, false] {
        let mut builder = Builder::new(TIMEOUT_NS);
        builder.push(&event(1000, VETH2, Egress, &syn), &world);
        builder.push(&event(2000, POD2, Ingress, &syn), &world);
        let drop = |builder: &mut Builder| {
            let drop = drop_at(3000, NETNS2, "NETFILTER_DROP");
            builder.drop_packet(&Origin::default(), &drop, &syn);
            builder.join_drops(SECOND, &world);
        };
        if !answers_first {
            drop(&mut builder);
        }
        builder.push(&event(3500, POD2, Egress, &reset), &world);
        builder.push(&event(4000, VETH2, Ingress, &reset), &world);
        if answers_first {
            drop(&mut builder);
        }
        builder.expire(SECOND);
        let mut path = finished(&mut builder).remove(0);
        builder.amend(&mut path, &world);
        assert_eq!(path.outcome, Outcome::Refused, "{answers_first}");
        assert!(path.dropped.is_some());
    }
}

/// A copy that a bridge has flooded to another pod is dropped there.
#[test]
fn packet_has_arrived_if_another_namespace_drops_a_copy() {
    let packet = packet("10.244.1.3");
    let taps = [(VETH2, Egress), (POD2, Ingress)];
    let mut world = world();
    leave_sockets(&mut world);
    for (netns, outcome) in [(NETNS2, Outcome::Dropped), (NETNS1, Outcome::Delivered)] {
        let mut syn = syn("10.244.1.3");
        syn.link = packet.link;
        let paths = dropped_after(&taps, &syn, &syn, netns, &world);
        assert_eq!(paths[0].outcome, outcome);
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
