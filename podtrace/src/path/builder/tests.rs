use super::*;
use crate::packet::{Framing, Ip, Link, Mac, Transport, Tunnel};

/// Interfaces of a node with two pods, by number.
const POD1: u32 = 0;
const VETH1: u32 = 1;
const VETH2: u32 = 2;
const POD2: u32 = 3;
const CNI0: u32 = 4;
const UPLINK: u32 = 5;

pub(crate) fn world() -> World {
    let mut world = World::default();
    for (name, pod, role) in [
        ("eth0", Some("default/mypod1"), Role::Pod),
        ("veth1", None, Role::Veth),
        ("veth2", None, Role::Veth),
        ("eth0", Some("default/mypod2"), Role::Pod),
        ("cni0", None, Role::Bridge),
        ("eth0", None, Role::Uplink),
    ] {
        world.places.add(Place {
            node: 0,
            node_name: "worker1".into(),
            pod: pod.map(Into::into),
            netns_cookie: 1,
            ifindex: 2,
            name: name.into(),
            role,
            framing: Framing::Ethernet,
        });
    }
    for (address, pod) in [
        ("10.244.1.2", Some("default/mypod1")),
        ("10.244.1.3", Some("default/mypod2")),
        ("10.244.1.1", None),
    ] {
        let owner = (0, pod.map(Into::into));
        world.addresses.insert(address.parse().unwrap(), owner);
    }
    world
}

fn packet(destination: &str) -> Packet {
    Packet {
        tunnel: None,
        vlan: None,
        link: Some(Link {
            source: Mac([2; 6]),
            destination: Mac([2; 6]),
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
        key: packet.key(),
        packet: packet.clone(),
    }
}

use Direction::{Egress, Ingress};

/// Feeds the hops of packets to `destination`; what came of them.
pub(crate) fn stitch(destination: &str, hops: &[(u64, u32, Direction)]) -> Builder {
    let world = world();
    let packet = packet(destination);
    let mut builder = Builder::new(500_000_000);
    for (ts_ns, interface, direction) in hops {
        builder.push(&event(*ts_ns, *interface, *direction, &packet), &world);
    }
    builder
}

const TO_POD2: [(u64, u32, Direction); 4] = [
    (1000, POD1, Egress),
    (2000, VETH1, Ingress),
    (3000, VETH2, Egress),
    (4000, POD2, Ingress),
];

#[test]
fn packet_that_arrives_is_one_path() {
    let mut builder = stitch("10.244.1.3", &TO_POD2);
    let [path] = &builder.take_finished()[..] else {
        panic!("one path");
    };
    assert_eq!(path.outcome, Outcome::Delivered);
    assert_eq!(path.hops.len(), 4);
    assert_eq!(path.duration_ns(), 3000);
    assert!(!path.ambiguous && !builder.is_waiting());
}

#[test]
fn equal_packets_one_after_the_other_are_two_paths() {
    let later = TO_POD2.map(|(ts, interface, direction)| (ts + 10_000, interface, direction));
    let mut builder = stitch("10.244.1.3", &[TO_POD2, later].concat());
    let paths = builder.take_finished();
    assert_eq!(paths.len(), 2);
    assert!(
        paths
            .iter()
            .all(|path| path.hops.len() == 4 && !path.ambiguous)
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
    let paths = stitch("10.244.1.3", &hops).take_finished();
    assert_eq!(paths.len(), 2);
    assert!(paths.iter().all(|path| path.hops.len() == 4));
    assert!(paths[0].ambiguous);
}

#[test]
fn packet_for_the_node_ends_at_its_bridge() {
    let hops = [(1, POD1, Egress), (2, VETH1, Ingress), (3, CNI0, Ingress)];
    let paths = stitch("10.244.1.1", &hops).take_finished();
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
        vni: 1,
    });
    for traced in [false, true] {
        let mut world = world();
        if traced {
            world.addresses.insert(vtep, (1, None));
        }
        let mut builder = Builder::new(1);
        builder.push(&event(1, UPLINK, Egress, &tunnelled), &world);
        let finished = builder.take_finished();
        assert_eq!(finished.is_empty(), traced);
        if let Some(path) = finished.first() {
            assert_eq!(path.outcome, Outcome::LeftForVtep(vtep));
        }
    }
}

#[test]
fn packet_that_stays_away_is_missing_only_if_no_event_was_lost() {
    for (lost, expected) in [
        (None, Outcome::NotSeenFurther),
        (Some(999), Outcome::NotSeenFurther),
        (Some(1000), Outcome::EventsLost),
    ] {
        let mut builder = stitch("10.244.1.3", &TO_POD2[..2]);
        builder.expire(400_000_000, lost);
        assert!(builder.take_finished().is_empty());
        builder.expire(600_000_000, lost);
        assert_eq!(builder.take_finished()[0].outcome, expected);
    }
}

#[test]
fn packet_under_way_at_the_end_is_said_to_be() {
    let mut builder = stitch("10.244.1.3", &TO_POD2[..3]);
    builder.finish();
    assert_eq!(builder.take_finished()[0].outcome, Outcome::InFlight);
}
