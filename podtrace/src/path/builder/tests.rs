mod late;
mod limits;
mod losses;
mod segments;
mod translation;

use std::net::IpAddr;

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::*;
use crate::{
    model::tap_point::{Role, TapPoint},
    packet::{Carrier, Ip, Link, Mac, Network, Packet, Transport, Tunnel},
    world::fixture::{
        CGROUP1, CGROUP2, CNI0, NETNS1, NETNS2, POD1, POD2, UPLINK, VETH1, VETH2, apply_snapshot,
        mac_of, world,
    },
};

fn packet(destination: &str) -> Packet {
    Packet {
        tunnel: None,
        vlan: None,
        shim: None,
        link: Some(Link {
            source: Mac([2; 6]),
            destination: mac_of(NETNS2),
            ethertype: 0x0800,
        }),
        network: Network::Ip(Ip {
            source: "10.244.1.2".parse().unwrap(),
            destination: destination.parse().unwrap(),
            ttl: 64,
            protocol: 17,
            id: 0,
            fragment: None,
        }),
        transport: Transport::Udp {
            source: 5000,
            destination: 53,
            payload: 4,
        },
        payload_hash: 9,
        length: 32,
    }
}

fn event(ts_ns: u64, interface: u32, direction: Direction, packet: &Packet) -> Event {
    Event {
        ts_ns,
        interface,
        direction,
        wire_len: 46,
        gso_segments: 0,
        cgroup: match (interface, direction) {
            (POD1, Egress) => CGROUP1,
            (POD2, Socket) => CGROUP2,
            _ => CGROUP_NONE,
        },
        packet: packet.clone(),
        vlan_tci: None,
        captured: bytes::Bytes::new(),
        link: crate::packet::link::ETHERNET,
    }
}

use Direction::{Egress, Ingress, Socket};

/// Takes the paths that have ended.
fn finished(builder: &mut Builder) -> Vec<Path> {
    builder.take_finished().map(|path| *path).collect()
}

/// A path with this id.
pub(crate) fn path(id: u64) -> Path {
    let mut paths = finished(&mut stitch("10.244.1.3", &TO_POD2));
    let mut path = paths.remove(0);
    path.id = id;
    path
}

/// Such a path that left for another node, its second hop in a tunnel.
pub(crate) fn path_to_vtep(id: u64) -> Path {
    let vtep: IpAddr = "192.168.77.12".parse().unwrap();
    let mut path = path(id);
    path.hops[1].tunnel = Some(Box::new(Tunnel {
        source: "192.168.77.11".parse().unwrap(),
        destination: vtep,
        carrier: Carrier::Vxlan(1),
    }));
    path.outcome = Outcome::LeftForVtep(vtep);
    path.ambiguous = true;
    path
}

/// The answer to a SYN.
pub(crate) const SYN_ACK: Transport = Transport::Tcp {
    source: 40_000,
    destination: 80,
    sequence: u32::MAX,
    acknowledgment: 7,
    flags: 0x12,
    payload: 100,
};

/// Feeds the hops of packets to `destination`; returns the finished paths.
pub(crate) fn stitch(destination: &str, hops: &[(u64, u32, Direction)]) -> Builder {
    let world = world();
    let packet = packet(destination);
    let mut builder = Builder::new(500_000_000);
    for (ts_ns, interface, direction) in hops {
        builder.push(&event(*ts_ns, *interface, *direction, &packet), &world);
    }
    builder
}

const TO_POD2: [(u64, u32, Direction); 5] = [
    (1000, POD1, Egress),
    (2000, VETH1, Ingress),
    (3000, VETH2, Egress),
    (4000, POD2, Ingress),
    (5000, POD2, Socket),
];

#[test]
fn packet_that_arrives_is_one_path() {
    let mut builder = stitch("10.244.1.3", &TO_POD2);
    let [path] = &finished(&mut builder)[..] else {
        panic!("one path");
    };
    assert_eq!(path.outcome, Outcome::Delivered);
    assert_eq!(path.hops.len(), 5);
    assert_eq!(path.duration_ns(), 4000);
    assert!(!path.ambiguous && !builder.is_waiting());
}

#[test]
fn equal_packets_one_after_the_other_are_two_paths() {
    let later = TO_POD2.map(|(ts, interface, direction)| (ts + 10_000, interface, direction));
    let mut builder = stitch("10.244.1.3", &[TO_POD2, later].concat());
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 2);
    assert!(
        paths
            .iter()
            .all(|path| path.hops.len() == 5 && !path.ambiguous)
    );
}

#[test]
fn equal_packets_at_once_are_told_apart_by_order_and_marked() {
    let hops: Vec<_> = TO_POD2
        .iter()
        .flat_map(|(ts, interface, direction)| {
            [
                (*ts, *interface, *direction),
                (ts + 100, *interface, *direction),
            ]
        })
        .collect();
    let paths = finished(&mut stitch("10.244.1.3", &hops));
    assert_eq!(paths.len(), 2);
    assert!(paths.iter().all(|path| path.hops.len() == 5));
    assert!(paths[0].ambiguous);
}

#[test]
fn packet_for_the_node_ends_at_its_bridge() {
    let hops = [(1, POD1, Egress), (2, VETH1, Ingress), (3, CNI0, Ingress)];
    let mut builder = stitch("10.244.1.1", &hops);
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

#[test]
fn packet_that_stays_away_is_not_missing_where_only_a_part_is_watched() {
    let mut builder = stitch("10.244.1.3", &TO_POD2[..2]);
    builder.set_partial_view();
    builder.expire(600_000_000);
    assert_eq!(finished(&mut builder)[0].outcome, Outcome::Unknown);
}

#[test]
fn packet_that_stays_away_is_not_missing_while_interfaces_are_attached_to() {
    const MS: u64 = 1_000_000;
    for (from_ns, until_ns, outcome, incomplete) in [
        (0, None, Outcome::Unknown, true),
        (0, Some(MS), Outcome::Unknown, true),
        (400 * MS, None, Outcome::Unknown, false),
        (400 * MS, Some(500 * MS), Outcome::Unknown, false),
        (700 * MS, None, Outcome::NotSeenFurther, false),
        (700 * MS, Some(900 * MS), Outcome::NotSeenFurther, false),
    ] {
        let mut builder = stitch("10.244.1.3", &TO_POD2[..2]);
        builder.begin_partial_view(7, from_ns);
        if let Some(until_ns) = until_ns {
            builder.end_partial_view(7, until_ns);
        }
        builder.expire(600 * MS);
        let path = finished(&mut builder).remove(0);
        assert_eq!((path.outcome, path.incomplete), (outcome, incomplete));
    }
}

#[test]
fn packet_that_stays_away_is_not_missing_where_events_came_too_late() {
    let begin_ns = TO_POD2[0].0;
    let mut builder = stitch("10.244.1.3", &TO_POD2[..2]);
    builder.note_late(begin_ns, begin_ns + 2_000_000);
    builder.expire(600_000_000);
    let path = finished(&mut builder).remove(0);
    assert_eq!((path.outcome, path.incomplete), (Outcome::Unknown, true));
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
    });
    for (hops, paths) in [
        ([(UPLINK, Egress), (there, Ingress)], 1),
        ([(there, Ingress), (UPLINK, Egress)], 2),
    ] {
        let mut builder = Builder::new(500_000_000);
        for (ts_ns, (interface, direction)) in (1000..).zip(hops) {
            builder.push(&event(ts_ns, interface, direction, &tunnelled), &world);
        }
        builder.finish();
        assert_eq!(finished(&mut builder).len(), paths);
    }
}

/// A bridge or a VLAN device gets next what its port or the uplink has got, and
/// only with it the node.
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
        let mut builder = Builder::new(500_000_000);
        builder.push(&event(1000, UPLINK, Ingress, &tagged), &world);
        builder.expire(100_000_000);
        builder.push(&event(100_000_500, CNI0, Ingress, &to_node), &world);
        builder.expire(SETTLE_NS + 200_000_000);
        let path = finished(&mut builder).remove(0);
        assert_eq!(path.hops.len(), hops, "{vlan:?} {is_port}");
        assert_eq!(path.outcome, Outcome::Delivered);
    }
}

/// flannel.1 floods nothing: router solicitations and MLD end there on a healthy node. Who
/// asks for a neighbour does wait for somebody.
#[test]
fn nobody_waits_for_what_a_tunnel_is_told_of_groups() {
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
        ("ff02::1:ff00:1", solicited, Outcome::NotSeenFurther),
        ("ff05::2", Transport::Other, Outcome::NotSeenFurther),
        ("239.1.2.3", Transport::Other, Outcome::NotSeenFurther),
    ] {
        let packet = Packet {
            transport,
            ..packet(to)
        };
        let mut builder = Builder::new(500_000_000);
        builder.push(&event(1000, tunnel, Egress, &packet), &world);
        builder.expire(501_000_000);
        assert_eq!(finished(&mut builder)[0].outcome, outcome, "{to}");
    }
}

#[test]
fn packet_under_way_at_the_end_is_said_to_be() {
    let mut builder = stitch("10.244.1.3", &TO_POD2[..3]);
    builder.finish();
    assert_eq!(finished(&mut builder)[0].outcome, Outcome::InFlight);
}

/// As from a pod of another node: a bridge floods what it does not know.
#[test]
fn packet_that_another_pod_sees_is_delivered_where_it_is_for() {
    let flooded = [(1000, CNI0, Ingress), (2000, POD1, Ingress)];
    let mut builder = stitch("10.244.1.3", &flooded);
    builder.expire(SETTLE_NS + 3000);
    assert!(finished(&mut builder).is_empty());
    builder.expire(500_002_001);
    let paths = finished(&mut builder);
    assert_eq!(paths[0].outcome, Outcome::NotSeenFurther);

    let hops = [&flooded[..], &[(3000, POD2, Ingress), (3001, POD2, Socket)]].concat();
    let mut builder = stitch("10.244.1.3", &hops);
    builder.expire(SETTLE_NS + 3002);
    let paths = finished(&mut builder);
    assert_eq!((paths.len(), paths[0].hops.len()), (1, 4));
    assert_eq!(paths[0].outcome, Outcome::Delivered);
}

#[test]
fn packet_that_no_socket_takes_has_only_reached_the_pod() {
    let mut builder = stitch("10.244.1.3", &TO_POD2[..4]);
    builder.expire(SETTLE_NS + 3000);
    assert!(finished(&mut builder).is_empty());
    builder.expire(SETTLE_NS + 4001);
    let paths = finished(&mut builder);
    assert_eq!(paths[0].outcome, Outcome::NoSocket);
    assert_eq!(paths[0].sockets().count(), 0);
}

/// A connection that has ended is the kernel's, and so is one that is refused.
#[test]
fn packet_for_the_kernel_is_delivered_without_a_socket() {
    let world = world();
    for (flags, payload, outcome) in [
        (0x10, 0, Outcome::Delivered),
        (0x11, 0, Outcome::Delivered),
        (0x14, 0, Outcome::Delivered),
        (0x02, 0, Outcome::NoSocket),
        (0x18, 9, Outcome::NoSocket),
    ] {
        let mut builder = Builder::new(500_000_000);
        let mut packet = packet("10.244.1.3");
        packet.transport = Transport::Tcp {
            source: 1,
            destination: 2,
            sequence: 3,
            acknowledgment: 4,
            flags,
            payload,
        };
        for (ts_ns, interface, direction) in &TO_POD2[..4] {
            builder.push(&event(*ts_ns, *interface, *direction, &packet), &world);
        }
        builder.expire(SETTLE_NS + 4001);
        assert_eq!(finished(&mut builder)[0].outcome, outcome, "{flags:#x}");
    }
}

/// A question for an address reaches everybody, and is delivered to one.
#[test]
fn question_is_delivered_to_the_one_asked() {
    use crate::packet::Arp;

    let world = world();
    let unspecified = "0.0.0.0".parse().unwrap();
    let sender = "10.244.1.2".parse().unwrap();
    for (sender, target, until, outcome) in [
        (sender, "10.244.1.3", 4, Outcome::Delivered),
        (sender, "10.244.1.3", 2, Outcome::NotSeenFurther),
        (sender, "10.244.1.9", 4, Outcome::NotSeenFurther),
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
        let mut builder = Builder::new(500_000_000);
        for (ts_ns, interface, direction) in &TO_POD2[..until] {
            builder.push(&event(*ts_ns, *interface, *direction, &question), &world);
        }
        builder.expire(600_000_000);
        let path = finished(&mut builder).remove(0);
        assert_eq!(path.outcome, outcome, "{target} {until}");
    }
}

#[test]
fn socket_that_gets_a_datagram_whole_ends_the_way_of_its_fragments() {
    let world = world();
    let mut builder = Builder::new(500_000_000);
    let whole = packet("10.244.1.3");
    for offset in [0, 1480] {
        let mut fragment = whole.clone();
        fragment.length = 20;
        let Network::Ip(ip) = &mut fragment.network else {
            panic!("an IP packet");
        };
        ip.fragment = Some(crate::packet::Fragment {
            id: 0,
            offset,
            more: offset == 0,
        });
        for (ts_ns, interface, direction) in &TO_POD2[..4] {
            let event = event(
                *ts_ns + u64::from(offset),
                *interface,
                *direction,
                &fragment,
            );
            builder.push(&event, &world);
        }
    }
    builder.push(&event(9000, POD2, Socket, &whole), &world);
    builder.expire(SETTLE_NS + 9001);
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 2);
    for path in paths {
        assert_eq!(path.hops.len(), 5);
        assert_eq!(path.outcome, Outcome::Delivered);
    }
}

#[test]
fn socket_behind_a_translation_in_the_pod_ends_the_way_too() {
    let world = world();
    for same_end in [true, false] {
        let mut builder = stitch("10.244.1.3", &TO_POD2[..4]);
        let mut redirected = packet("127.0.0.6");
        redirected.link = None;
        if let Transport::Udp {
            source,
            destination,
            ..
        } = &mut redirected.transport
        {
            *destination = 15006;
            if !same_end {
                *source += 1;
            }
        }
        builder.push(&event(5000, POD2, Socket, &redirected), &world);
        let paths = finished(&mut builder);
        let hops: Vec<_> = paths.iter().map(|path| path.hops.len()).collect();
        // Else it is a packet of its own, and the other one is still waited for.
        assert_eq!(hops, if same_end { [5] } else { [1] });
        assert_eq!(builder.is_waiting(), !same_end);
    }
}

#[test]
fn arrived_when_the_trace_ends_says_that_more_may_have_come() {
    let mut builder = stitch("10.244.1.3", &TO_POD2[..4]);
    builder.finish();
    let path = &finished(&mut builder)[0];
    assert_eq!((path.outcome, path.incomplete), (Outcome::Delivered, true));
}

#[test]
fn copies_for_several_sockets_are_of_one_path() {
    let world = world();
    let mut builder = Builder::new(500_000_000);
    let mut reply = packet("10.244.1.3");
    reply.transport = Transport::Echo {
        reply: true,
        id: 1,
        sequence: 2,
    };
    for (ts_ns, interface, direction) in TO_POD2 {
        builder.push(&event(ts_ns, interface, direction, &reply), &world);
    }
    let mut copy = event(5001, POD2, Socket, &reply);
    builder.push(&copy, &world);
    copy.cgroup = CGROUP1;
    builder.push(&copy, &world);
    builder.expire(SETTLE_NS + 5002);
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 1);
    let owners: Vec<_> = paths[0].sockets().map(|hop| hop.cgroup).collect();
    assert_eq!(owners, [CGROUP2, CGROUP1]);
}

/// The same numbers again, before it is sure that no copy of the first reply follows.
#[test]
fn reply_belongs_to_the_request_before_it() {
    let world = world();
    let mut builder = Builder::new(500_000_000);
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
fn copy_for_another_mac_address_does_not_arrive() {
    let world = world();
    let mut builder = Builder::new(500_000_000);
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

#[test]
fn equal_packets_of_two_pods_are_two_paths() {
    for first in [(1, POD1, Egress), (1, VETH1, Ingress)] {
        for second in [(2, POD2, Egress), (2, VETH2, Ingress)] {
            let mut builder = stitch("10.244.1.9", &[first, second]);
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
    let mut builder = stitch("10.244.1.3", &[&died[..], &arrived[..]].concat());
    builder.finish();
    let hops: Vec<_> = finished(&mut builder)
        .iter()
        .map(|path| path.hops.len())
        .collect();
    assert_eq!(hops, [5, 2]);
}
