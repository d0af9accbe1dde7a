//! Paths through nodes without a bridge or VXLAN, and stray frames.
mod tunnels;

use super::*;
use crate::{
    model::{
        origin::Origin,
        snapshot::{Holder, NamespaceInfo, Snapshot},
    },
    packet::{Arp, Framing},
    update::Update,
};

/// Numbers of the interfaces of two nodes without bridges, each with a pod of one interface
/// and one that routes between two networks.
const POD: u32 = 0;
const CALI: u32 = 1;
const NIC: u32 = 2;
const TUNL: u32 = 3;
const FAR_NIC: u32 = 4;
const FAR_TUNL: u32 = 5;
const FAR_CALI: u32 = 6;
const FAR_POD: u32 = 7;
const ROUTER_CALI: u32 = 8;
const ROUTER: u32 = 9;
const ROUTER_NET1: u32 = 10;

const NETNS_OF_FAR: u64 = 20;
const NETNS_OF_ROUTER: u64 = 30;

/// The MAC address of an interface.
fn mac(interface: u32) -> Mac {
    Mac([2, 7, 0, 0, 0, interface as u8])
}

fn nodes() -> World {
    let mut world = World::default();
    world.nodes = vec!["worker1".into(), "worker2".into()];
    let origin = Origin {
        session: 0,
        nodes: 0..2,
    };
    for (node, netns, leads_to, role, name) in [
        (0, NETNS1, None, Role::Pod, "eth0"),
        (0, 1, Some(NETNS1), Role::Veth, "cali1"),
        (0, 1, None, Role::Uplink, "ens3"),
        (0, 1, None, Role::Other, "tunl0"),
        (1, 2, None, Role::Uplink, "ens3"),
        (1, 2, None, Role::Other, "tunl0"),
        (1, 2, Some(NETNS_OF_FAR), Role::Veth, "cali2"),
        (1, NETNS_OF_FAR, None, Role::Pod, "eth0"),
        (0, 1, Some(NETNS_OF_ROUTER), Role::Veth, "cali3"),
        (0, NETNS_OF_ROUTER, None, Role::Pod, "eth0"),
        (0, NETNS_OF_ROUTER, None, Role::Pod, "net1"),
    ] {
        let number = world.tap_points.next_number();
        let point = TapPoint {
            node,
            node_name: format!("worker{}", node + 1).into(),
            ifindex: number,
            framing: match name {
                "tunl0" => Framing::Ip,
                _ => Framing::Ethernet,
            },
            mac: (name != "tunl0").then(|| mac(number)),
            ..tap_point(name, netns, leads_to, role)
        };
        world.apply(&origin, &Update::TapPoint { number, point });
    }
    let held = [
        ("10.244.1.2", 0, Some(NETNS1)),
        ("10.0.0.11", 0, None),
        ("172.17.0.1", 0, None),
        ("10.244.9.2", 0, Some(NETNS_OF_ROUTER)),
        ("10.244.2.2", 1, Some(NETNS_OF_FAR)),
        ("10.0.0.12", 1, None),
        ("172.17.0.1", 1, None),
        // Two have the same address.
        ("10.244.7.7", 0, Some(NETNS1)),
        ("10.244.7.7", 1, Some(NETNS_OF_FAR)),
    ];
    let held =
        held.map(|(address, node, netns)| (address.parse().unwrap(), Holder { node, netns }));
    let spaces = [(NETNS1, 0), (NETNS_OF_FAR, 1), (NETNS_OF_ROUTER, 0)];
    let spaces = spaces.map(|(id, node)| NamespaceInfo {
        id,
        node,
        ..NamespaceInfo::default()
    });
    let snapshot = Snapshot {
        namespaces: spaces.into(),
        addresses: held.into_iter().collect(),
        ..Snapshot::default()
    };
    world.apply(&origin, &Update::Snapshot(Box::new(snapshot)));
    world
}

const BEGIN: u64 = 1000;

/// A hop of a frame for the MAC address of an interface.
type Seen = (u32, Direction, Mac);

/// The outcomes of packets to an address, with the number of their hops.
fn outcomes(destination: &str, seen: &[Seen]) -> Vec<(Outcome, usize)> {
    let template = packet(destination);
    let seen = seen.iter().map(|(interface, direction, to)| {
        let link = template.link.map(|link| Link {
            destination: *to,
            ..link
        });
        let packet = Packet {
            link,
            ..template.clone()
        };
        (*interface, *direction, packet)
    });
    ended(&nodes(), seen.collect())
}

fn ended(world: &World, seen: Vec<(u32, Direction, Packet)>) -> Vec<(Outcome, usize)> {
    let mut builder = Builder::new(TIMEOUT_NS);
    for (ts_ns, (interface, direction, packet)) in (BEGIN..).step_by(1000).zip(seen) {
        builder.push(&event(ts_ns, interface, direction, &packet), world);
    }
    builder.expire(BEGIN + 2 * TIMEOUT_NS);
    builder.finish();
    let paths = finished(&mut builder);
    let brief = paths.iter().map(|path| (path.outcome, path.hops.len()));
    brief.collect()
}

const GROUP: Mac = Mac([1, 0, 0x5e, 1, 2, 3]);
const NOBODY: Mac = Mac([2, 9, 9, 9, 9, 9]);

#[test]
fn what_a_pod_without_a_bridge_sends_to_its_node_is_delivered() {
    let sent = |to| [(POD, Egress, to), (CALI, Ingress, to)];
    for (address, to, outcome) in [
        ("10.0.0.11", mac(CALI), Outcome::Delivered),
        // An address that several nodes have is this node's here.
        ("172.17.0.1", mac(CALI), Outcome::Delivered),
        // The node has the address, and nobody the MAC address.
        ("10.0.0.11", NOBODY, Outcome::NotSeenFurther),
        // The node is to send it on.
        ("10.244.2.2", mac(CALI), Outcome::NotSeenFurther),
        // Nothing shows whether a socket of the node wants it.
        ("239.1.2.3", GROUP, Outcome::Unknown),
    ] {
        let found = outcomes(address, &sent(to));
        assert_eq!(found, [(outcome, 2)], "{address} {to:?}");
    }
}

#[test]
fn frame_for_a_neighbour_is_not_delivered() {
    for (address, to, outcome) in [
        ("10.0.0.11", mac(NIC), Outcome::Delivered),
        ("10.0.0.11", NOBODY, Outcome::Unknown),
        ("10.0.0.99", NOBODY, Outcome::Unknown),
        // Nobody says who it is for, and the node takes it.
        ("10.0.0.99", mac(NIC), Outcome::NotSeenFurther),
        ("239.1.2.3", GROUP, Outcome::Unknown),
    ] {
        let found = outcomes(address, &[(NIC, Ingress, to)]);
        assert_eq!(found, [(outcome, 1)], "{address} {to:?}");
    }
}

/// The node may translate what is for such a port, and drop it then.
#[test]
fn packet_for_a_node_port_is_not_delivered_by_reaching_the_node() {
    for (port, outcome) in [
        (29_999, Outcome::Delivered),
        (30_000, Outcome::Unknown),
        (32_767, Outcome::Unknown),
        (32_768, Outcome::Delivered),
    ] {
        let to_port = Packet {
            transport: Transport::Udp {
                source: 40_000,
                destination: port,
                payload: 8,
            },
            ..packet("10.0.0.11")
        };
        let to_port = Packet {
            link: to_port.link.map(|link| Link {
                destination: mac(NIC),
                ..link
            }),
            ..to_port
        };
        let found = ended(&nodes(), vec![(NIC, Ingress, to_port)]);
        assert_eq!(found, [(outcome, 1)], "{port}");
    }
}

#[test]
fn address_that_two_have_is_the_one_that_gets_the_frame() {
    let to = mac(POD);
    let found = outcomes("10.244.7.7", &[(CALI, Egress, to), (POD, Ingress, to)]);
    assert_eq!(found, [(Outcome::Delivered, 2)]);
    let found = outcomes(
        "10.244.7.7",
        &[(CALI, Egress, NOBODY), (POD, Ingress, NOBODY)],
    );
    assert_eq!(found, [(Outcome::NotSeenFurther, 2)]);
}

/// A neighbour entry of before gives the pod what is another's.
#[test]
fn packet_for_another_is_not_delivered_to_a_pod_that_gets_it() {
    let to = mac(POD);
    let seen = [(CALI, Egress, to), (POD, Ingress, to)];
    for (address, outcome) in [
        ("10.244.1.2", Outcome::Delivered),
        ("10.244.2.2", Outcome::NotSeenFurther),
        ("198.51.100.1", Outcome::Unknown),
        ("169.254.20.10", Outcome::Delivered),
    ] {
        assert_eq!(outcomes(address, &seen), [(outcome, 2)], "{address}");
    }
}

#[test]
fn way_through_a_pod_that_routes_is_one_path() {
    let (to_router, away) = (mac(ROUTER), NOBODY);
    let through = [
        (POD, Egress, mac(CALI)),
        (CALI, Ingress, mac(CALI)),
        (ROUTER_CALI, Egress, to_router),
        (ROUTER, Ingress, to_router),
        (ROUTER_NET1, Egress, away),
        (NIC, Egress, mac(FAR_NIC)),
        (FAR_NIC, Ingress, mac(FAR_NIC)),
        (FAR_CALI, Egress, mac(FAR_POD)),
        (FAR_POD, Ingress, mac(FAR_POD)),
    ];
    let found = outcomes("10.244.2.2", &through);
    assert_eq!(found, [(Outcome::Delivered, 9)]);
    let found = outcomes(
        "198.51.100.1",
        &[&through[..5], &[(NIC, Egress, away)]].concat(),
    );
    assert_eq!(found, [(Outcome::LeftNode, 6)]);
    // What it does with it is not seen.
    let found = outcomes("198.51.100.1", &through[..4]);
    assert_eq!(found, [(Outcome::Unknown, 4)]);
}

/// The address says nothing, and the MAC address does.
#[test]
fn crossing_to_an_address_that_nobody_knows_is_one_path() {
    let crossing = |to| [(NIC, Egress, to), (FAR_NIC, Ingress, to)];
    let found = outcomes("198.51.100.1", &crossing(mac(FAR_NIC)));
    assert_eq!(found, [(Outcome::NotSeenFurther, 2)]);
    let found = outcomes("198.51.100.1", &crossing(mac(FAR_NIC))[..1]);
    assert_eq!(found, [(Outcome::NotSeenFurther, 1)]);
    let found = outcomes("198.51.100.1", &[(NIC, Egress, NOBODY)]);
    assert_eq!(found, [(Outcome::LeftNode, 1)]);
    let on = [
        (FAR_CALI, Egress, mac(FAR_POD)),
        (FAR_POD, Ingress, mac(FAR_POD)),
    ];
    let found = outcomes("10.244.7.7", &[&crossing(mac(FAR_NIC))[..], &on].concat());
    assert_eq!(found, [(Outcome::Delivered, 4)]);
}

#[test]
fn crossing_of_a_group_is_one_path() {
    let found = outcomes(
        "239.1.2.3",
        &[(NIC, Egress, GROUP), (FAR_NIC, Ingress, GROUP)],
    );
    assert_eq!(found, [(Outcome::Unknown, 2)]);
    let found = outcomes("239.1.2.3", &[(NIC, Egress, GROUP)]);
    assert_eq!(found, [(Outcome::LeftNode, 1)]);
}

fn question(target: &str) -> Packet {
    let mut question = packet("10.0.0.1");
    question.network = Network::Arp(Arp {
        operation: 1,
        sender_mac: Mac([2; 6]),
        sender: "10.0.0.1".parse().unwrap(),
        target_mac: Mac([0; 6]),
        target: target.parse().unwrap(),
    });
    question.transport = Transport::None;
    question.link = question.link.map(|link| Link {
        destination: Mac([0xff; 6]),
        ..link
    });
    question
}

#[test]
fn question_for_somebody_elsewhere_is_not_lost() {
    let world = nodes();
    for (target, interface, outcome) in [
        ("10.0.0.11", NIC, Outcome::Delivered),
        ("10.0.0.77", NIC, Outcome::NoReceiver),
        ("10.0.0.12", NIC, Outcome::NoReceiver),
        // Proxy ARP: the node answers for all.
        ("10.244.2.2", CALI, Outcome::Delivered),
    ] {
        let seen = vec![(interface, Ingress, question(target))];
        assert_eq!(ended(&world, seen), [(outcome, 1)], "{target}");
    }
    let crossing = |target| {
        let question = question(target);
        vec![
            (NIC, Egress, question.clone()),
            (FAR_NIC, Ingress, question),
        ]
    };
    let found = ended(&world, crossing("10.0.0.12"));
    assert_eq!(found, [(Outcome::Delivered, 2)]);
    let found = ended(&world, crossing("10.0.0.77"));
    assert_eq!(found, [(Outcome::NoReceiver, 2)]);
}

/// LLDP and LACP end at the cable.
#[test]
fn control_frames_are_for_nobody_behind() {
    let world = nodes();
    let mut lldp = packet("10.0.0.1");
    lldp.network = Network::Other;
    lldp.transport = Transport::None;
    lldp.link = lldp.link.map(|link| Link {
        destination: Mac([1, 0x80, 0xc2, 0, 0, 0xe]),
        ethertype: 0x88cc,
        ..link
    });
    let found = ended(&world, vec![(NIC, Ingress, lldp.clone())]);
    assert_eq!(found, [(Outcome::NoReceiver, 1)]);
    let found = ended(&world, vec![(NIC, Egress, lldp)]);
    assert_eq!(found, [(Outcome::LeftNode, 1)]);
}
