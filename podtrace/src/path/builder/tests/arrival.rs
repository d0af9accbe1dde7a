//! Where a packet arrives, or leaves the node.
use super::*;

#[test]
fn packet_that_arrives_is_one_path() {
    let mut builder = join_hops("10.244.1.3", &TO_POD2);
    let [path] = &finished(&mut builder)[..] else {
        panic!("one path");
    };
    assert_eq!(path.outcome, Outcome::Delivered);
    assert_eq!(path.hops.len(), 5);
    assert_eq!(path.duration_ns(), 4000);
    assert!(!path.ambiguous && !builder.is_waiting());
}

#[test]
fn packet_for_the_node_ends_at_its_bridge() {
    let hops = [(1, POD1, Egress), (2, VETH1, Ingress), (3, CNI0, Ingress)];
    let mut builder = join_hops("10.244.1.1", &hops);
    assert!(finished(&mut builder).is_empty(), "a socket may follow");
    builder.expire(SETTLE_NS + 4);
    let paths = finished(&mut builder);
    assert_eq!(paths[0].outcome, Outcome::Delivered);
    assert_eq!(paths[0].hops.len(), 3);
}

#[test]
fn packet_in_a_tunnel_leaves_for_the_vtep_unless_that_node_is_traced() {
    let vtep: IpAddr = "192.168.77.12".parse().unwrap();
    let mut tunnelled = packet("10.244.2.2");
    tunnelled.tunnel = Some(Tunnel {
        source: "192.168.77.11".parse().unwrap(),
        destination: vtep,
        carrier: Carrier::Vxlan(1),
        id: 0,
        fragment: None,
    });
    for traced in [false, true] {
        let mut world = world();
        if traced {
            apply_snapshot(&mut world, &[vtep]);
        }
        let mut builder = Builder::new(1);
        builder.push(&event(1, UPLINK, Egress, &tunnelled), &world);
        let finished = finished(&mut builder);
        assert_eq!(finished.is_empty(), traced);
        if let Some(path) = finished.first() {
            assert_eq!(path.outcome, Outcome::LeftForVtep(vtep));
        }
    }
}

/// Uncertain clocks can show such times.
#[test]
fn packet_does_not_leave_a_node_after_it_has_come_to_another() {
    let vtep: IpAddr = "192.168.77.12".parse().unwrap();
    let mut world = world();
    apply_snapshot(&mut world, &[vtep]);
    let there = world.tap_points.next_number();
    let point = TapPoint {
        node: 1,
        node_name: "worker2".into(),
        ..world.tap_points.get(UPLINK).unwrap().clone()
    };
    world.tap_points.set(there, point);
    let mut tunnelled = packet("10.244.2.2");
    tunnelled.tunnel = Some(Tunnel {
        source: "192.168.77.11".parse().unwrap(),
        destination: vtep,
        carrier: Carrier::Vxlan(1),
        id: 0,
        fragment: None,
    });
    for (hops, paths) in [
        ([(UPLINK, Egress), (there, Ingress)], 1),
        ([(there, Ingress), (UPLINK, Egress)], 2),
    ] {
        let mut builder = Builder::new(TIMEOUT_NS);
        for (ts_ns, (interface, direction)) in (1000..).zip(hops) {
            builder.push(&event(ts_ns, interface, direction, &tunnelled), &world);
        }
        builder.finish();
        assert_eq!(finished(&mut builder).len(), paths);
    }
}

/// A bridge or a VLAN device receives next what its port or the uplink received; its address
/// counts.
#[test]
fn packet_goes_up_from_a_port_and_with_a_vlan_tag() {
    for (vlan, is_port, hops) in [(Some(100), false, 2), (None, true, 2), (Some(0), false, 1)] {
        let mut world = world();
        let mut uplink = world.tap_points.get(UPLINK).unwrap().clone();
        uplink.is_port = is_port;
        world.tap_points.set(UPLINK, uplink);
        let to_node = packet("10.244.1.1");
        let mut tagged = to_node.clone();
        tagged.vlan = vlan;
        let mut builder = Builder::new(TIMEOUT_NS);
        builder.push(&event(1000, UPLINK, Ingress, &tagged), &world);
        builder.expire(100_000_000);
        builder.push(&event(100_000_500, CNI0, Ingress, &to_node), &world);
        builder.expire(SETTLE_NS + 200_000_000);
        let path = finished(&mut builder).remove(0);
        assert_eq!(path.hops.len(), hops, "{vlan:?} {is_port}");
        assert_eq!(path.outcome, Outcome::Delivered);
    }
}

/// flannel.1 floods nothing: router solicitations and MLD end there on a healthy node. A
/// neighbour solicitation does wait for a reply.
#[test]
fn group_packets_into_a_tunnel_are_not_missing() {
    let mut world = world();
    let tunnel = world.tap_points.next_number();
    let point = TapPoint {
        role: Role::Vxlan,
        ..world.tap_points.get(CNI0).unwrap().clone()
    };
    world.tap_points.set(tunnel, point);
    let solicited = Transport::Neighbor {
        advertisement: false,
        target: "fe80::1".parse().unwrap(),
        mac: None,
    };
    let router = Transport::Icmp { kind: 133, code: 0 };
    for (to, transport, outcome) in [
        ("ff02::2", router, Outcome::NoReceiver),
        ("224.0.0.22", Transport::Other, Outcome::NoReceiver),
        ("ff02::1:ff00:1", solicited, Outcome::Unanswered),
        ("ff05::2", Transport::Other, Outcome::NotSeenFurther),
        ("239.1.2.3", Transport::Other, Outcome::NotSeenFurther),
    ] {
        let packet = Packet {
            transport,
            ..packet(to)
        };
        let mut builder = Builder::new(TIMEOUT_NS);
        builder.push(&event(1000, tunnel, Egress, &packet), &world);
        builder.expire(501_000_000);
        assert_eq!(finished(&mut builder)[0].outcome, outcome, "{to}");
    }
}

/// A bridge floods a frame to an address that it does not know to all pods.
#[test]
fn flooded_packet_is_delivered_to_its_receiver_only() {
    let flooded = [(1000, CNI0, Ingress), (2000, POD1, Ingress)];
    let mut builder = join_hops("10.244.1.3", &flooded);
    builder.expire(SETTLE_NS + 3000);
    assert!(finished(&mut builder).is_empty());
    builder.expire(500_002_001);
    let paths = finished(&mut builder);
    assert_eq!(paths[0].outcome, Outcome::NotSeenFurther);

    let hops = [&flooded[..], &[(3000, POD2, Ingress), (3001, POD2, Socket)]].concat();
    let mut builder = join_hops("10.244.1.3", &hops);
    builder.expire(SETTLE_NS + 3002);
    let paths = finished(&mut builder);
    assert_eq!((paths.len(), paths[0].hops.len()), (1, 4));
    assert_eq!(paths[0].outcome, Outcome::Delivered);
}

/// A request for an address reaches everybody, and is delivered to one.
#[test]
fn neighbour_request_is_delivered_to_its_target() {
    use crate::packet::Arp;

    let world = world();
    let unspecified = "0.0.0.0".parse().unwrap();
    let sender = "10.244.1.2".parse().unwrap();
    for (sender, target, until, outcome) in [
        (sender, "10.244.1.3", 4, Outcome::Delivered),
        (sender, "10.244.1.3", 2, Outcome::Unanswered),
        (sender, "10.244.1.9", 4, Outcome::Unanswered),
        (unspecified, "10.244.1.9", 4, Outcome::NoReceiver),
        (sender, "10.244.1.2", 4, Outcome::Delivered),
    ] {
        let mut question = packet("10.244.1.3");
        question.network = Network::Arp(Arp {
            operation: 1,
            sender_mac: Mac([2; 6]),
            sender,
            target_mac: Mac([0; 6]),
            target: target.parse().unwrap(),
        });
        question.transport = Transport::None;
        question.link = question.link.map(|link| Link {
            destination: Mac([0xff; 6]),
            ..link
        });
        let mut builder = Builder::new(TIMEOUT_NS);
        for (ts_ns, interface, direction) in &TO_POD2[..until] {
            builder.push(&event(*ts_ns, *interface, *direction, &question), &world);
        }
        builder.expire(600_000_000);
        let path = finished(&mut builder).remove(0);
        assert_eq!(path.outcome, outcome, "{target} {until}");
    }
}

#[test]
fn copy_for_another_mac_address_does_not_arrive() {
    let world = world();
    let mut builder = Builder::new(TIMEOUT_NS);
    let mut stray = packet("10.244.1.9");
    stray.link = stray.link.map(|link| Link {
        destination: Mac([4; 6]),
        ..link
    });
    for (ts_ns, interface, direction) in &TO_POD2[..4] {
        builder.push(&event(*ts_ns, *interface, *direction, &stray), &world);
    }
    builder.expire(600_000_000);
    let paths = finished(&mut builder);
    assert_eq!(paths[0].outcome, Outcome::NotSeenFurther);
}
