//! Refused packets.
use super::*;
use crate::{
    packet::{IcmpError, TunnelKind},
    path::{
        LateOf,
        Outcome::{Delivered, LeftNode, Refused, Unanswered},
        refusal::{Carried, Reason, Refusal},
    },
    world::fixture::{CNI0, POD2, UPLINK, VETH2},
};

/// The text names who refused a packet, where the packet was, and why.
#[test]
fn refused_packet_says_by_whom_and_why() {
    let world = world();
    let icmp = |kind, code, value| {
        Reason::Icmp(IcmpError {
            is_v4: true,
            kind,
            code,
            value,
        })
    };
    let mut out = String::new();
    let at_bridge = (CNI0, Egress);
    let refused = |(hops, by, at, reason): (usize, &str, _, _), ts_ns| {
        let mut path = path(1);
        path.hops.truncate(hops);
        path.outcome = Refused;
        path.refusal = Some(Box::new(Refusal {
            packet: 2,
            by: by.parse().unwrap(),
            at: Some(at),
            ts_ns,
            reason,
            carried: None,
            hops,
        }));
        path
    };
    for (said, outcome) in [
        ((2, "10.244.1.1", at_bridge, icmp(3, 4, 1450)), Refused),
        ((2, "10.244.1.3", at_bridge, Reason::Reset), Refused),
        (
            (2, "198.51.100.7", (UPLINK, Ingress), icmp(11, 0, 0)),
            Refused,
        ),
        ((4, "10.244.1.3", (POD2, Egress), icmp(3, 3, 0)), Refused),
        (
            (4, "10.244.1.3", (VETH2, Ingress), Reason::Reset),
            Delivered,
        ),
        ((2, "10.244.1.1", at_bridge, icmp(3, 99, 0)), Refused),
        (
            (2, "10.244.1.1", at_bridge, icmp(5, 1, 0x0a00_0001)),
            LeftNode,
        ),
    ] {
        let mut path = refused(said, 1);
        path.outcome = outcome;
        view(false).outcome(&mut out, &path, &world);
    }
    let mut late = refused((2, "10.244.1.1", at_bridge, icmp(3, 1, 0)), 3_000_002_000);
    late.late_of = Some(LateOf {
        id: 1,
        hops: 2,
        outcome: Outcome::NotSeenFurther,
        ambiguous: false,
        incomplete: false,
    });
    view(false).outcome(&mut out, &late, &world);
    late.outcome = Delivered;
    view(false).outcome(&mut out, &late, &world);
    for (by, port) in [(TunnelKind::Vxlan, Some(8472)), (TunnelKind::Ipip, None)] {
        let (kind, code) = port.map_or((3, 2), |_| (3, 3));
        let mut path = refused(
            (3, "192.168.77.12", (UPLINK, Ingress), icmp(kind, code, 0)),
            1,
        );
        path.refusal.as_mut().unwrap().carried = Some(Carried { by, port });
        view(false).outcome(&mut out, &path, &world);
    }
    insta::assert_snapshot!(out, @r"
                    refused by worker1 (10.244.1.1) after veth1 ingress: fragmentation needed, MTU 1450
                    refused by worker1 after veth1 ingress: connection refused
                    refused by 198.51.100.7 after veth1 ingress of worker1: TTL exceeded
                    refused by default/mypod2 (10.244.1.3): port unreachable
                    delivered in 3.0 µs, refused by default/mypod2: connection refused
                    refused by worker1 (10.244.1.1) after veth1 ingress: ICMP type 3 code 99
                    left the node, reported by worker1 (10.244.1.1): redirect to 10.0.0.1
                    refused by worker1 (10.244.1.1) after veth1 ingress: host unreachable (after 3000.0 ms, corrects what was shown before)
                    delivered in 1.0 µs, refused by worker1 (10.244.1.1): host unreachable (after 3000.0 ms, corrects what was shown before)
                    refused by 192.168.77.12 after veth2 egress of worker1: port unreachable (VXLAN 8472)
                    refused by 192.168.77.12 after veth2 egress of worker1: protocol unreachable (IPIP)
    ");
}

#[test]
fn socket_that_was_not_seen_to_answer_is_named() {
    let (world, mut out) = (world(), String::new());
    let mut path = path(1);
    path.outcome = Unanswered;
    view(false).outcome(&mut out, &path, &world);
    insta::assert_snapshot!(out.trim(), @"reached default/mypod2, its socket was not seen to answer: the accept queue may be full");
}

#[test]
fn datagram_for_many_that_no_socket_took_says_so() {
    let (world, mut out) = (world(), String::new());
    let mut path = path(1);
    path.is_untaken = true;
    for (outcome, hops) in [
        (Outcome::NoReceiver, 4),
        (Outcome::Unknown, 4),
        (Outcome::Unknown, 2),
    ] {
        path.outcome = outcome;
        path.hops.truncate(hops);
        view(false).outcome(&mut out, &path, &world);
    }
    insta::assert_snapshot!(out, @r"
                    no receiver: reached default/mypod2, no container's socket took it
                    unknown: reached default/mypod2, no socket was seen to take it
                    unknown: reached worker1, no socket was seen to take it
    ");
}
