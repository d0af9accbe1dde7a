//! Two nodes with two named pods each, joined by flannel.
use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
};

use podtrace::{
    model::{
        origin::Origin,
        pod::{Container, Pod},
        snapshot::{CgroupPath, Holder, NamespaceInfo, NewCgroup, Snapshot},
        subnet::RemoteSubnet,
        tap_point::{Role, TapPoint},
    },
    packet::{Framing, Mac},
    update::Update,
    world::World,
};

/// The MAC address of both bridges.
pub(crate) const BRIDGE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// An interface of each node.
pub(crate) type Tap = u32;
pub(crate) const POD_A: Tap = 0;
pub(crate) const POD_B: Tap = 1;
pub(crate) const VETH_A: Tap = 2;
pub(crate) const VETH_B: Tap = 3;
pub(crate) const BRIDGE: Tap = 4;
pub(crate) const VXLAN: Tap = 5;
pub(crate) const UPLINK: Tap = 6;
const TAPS: u32 = 7;

pub(crate) const NODE_NAMES: [&str; 2] = ["k8s-worker1", "k8s-worker2"];

/// The interface's number in the session.
pub(crate) fn number(node: usize, tap: Tap) -> u32 {
    node as u32 * TAPS + tap
}

/// Id of a node's own namespace.
fn node_netns(node: usize) -> u64 {
    100 + node as u64
}

/// Id of the namespace of a pod, given by node and number there.
fn pod_netns((node, pod): (usize, usize)) -> u64 {
    200 + 10 * node as u64 + pod as u64
}

/// Cgroup of a pod's container.
pub(crate) fn cgroup(pod: (usize, usize)) -> u64 {
    9000 + pod_netns(pod)
}

pub(crate) fn pod_mac((node, pod): (usize, usize)) -> [u8; 6] {
    [2, 1, 0, 0, node as u8, pod as u8]
}

pub(crate) fn vtep_mac(node: usize) -> [u8; 6] {
    [2, 2, 0, 0, 0, node as u8]
}

pub(crate) fn uplink_mac(node: usize) -> [u8; 6] {
    [2, 3, 0, 0, 0, node as u8]
}

pub(crate) fn pod_address((node, pod): (usize, usize)) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, node as u8 + 1, pod as u8 + 2)
}

pub(crate) fn node_address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 56, node as u8 + 11)
}

/// Everything known before the first packet.
pub(crate) fn world() -> World {
    of(&[0, 1])
}

/// What is known of these nodes, which have their numbers in this order.
pub(crate) fn of(nodes: &[usize]) -> World {
    let mut world = World::default();
    world.nodes = nodes.iter().map(|node| NODE_NAMES[*node].into()).collect();
    for (number, node) in nodes.iter().enumerate() {
        add_places(&mut world, number, *node);
    }
    take_snapshot(&mut world, nodes);
    for (number, node) in nodes.iter().enumerate() {
        run_pods(&mut world, number, *node);
    }
    world
}

fn add_places(world: &mut World, place: usize, node: usize) {
    let pods = [pod_netns((node, 0)), pod_netns((node, 1))];
    let own = node_netns(node);
    for (name, netns, leads_to, role, mac) in [
        ("eth0", pods[0], None, Role::Pod, pod_mac((node, 0))),
        ("eth0", pods[1], None, Role::Pod, pod_mac((node, 1))),
        (
            "veth37e44462",
            own,
            Some(pods[0]),
            Role::Veth,
            [2, 4, 0, 0, 0, 0],
        ),
        (
            "veth9b1c02fe",
            own,
            Some(pods[1]),
            Role::Veth,
            [2, 4, 0, 0, 0, 1],
        ),
        ("cni0", own, None, Role::Bridge, BRIDGE_MAC),
        ("flannel.1", own, None, Role::Vxlan, vtep_mac(node)),
        ("eth0", own, None, Role::Uplink, uplink_mac(node)),
    ] {
        let number = world.tap_points.next_number();
        let point = TapPoint {
            node: place,
            node_name: NODE_NAMES[node].into(),
            in_pod: role == Role::Pod,
            leads_to,
            peer_name: None,
            netns_id: netns,
            ifindex: 2,
            name: name.into(),
            role,
            framing: Framing::Ethernet,
            captured_link: None,
            is_port: false,
            mac: Some(Mac(mac)),
        };
        world.tap_points.set(number, point);
    }
}

fn take_snapshot(world: &mut World, nodes: &[usize]) {
    let mut namespaces = Vec::new();
    let mut addresses: HashSet<(IpAddr, Holder)> = HashSet::new();
    let mut subnets = Vec::new();
    for (number, node) in nodes.iter().copied().enumerate() {
        for pod in [(node, 0), (node, 1)] {
            let holder = Holder {
                node: number,
                netns: Some(pod_netns(pod)),
            };
            addresses.insert((pod_address(pod).into(), holder));
            namespaces.push(NamespaceInfo {
                id: pod_netns(pod),
                node: number,
                watched: true,
                ..NamespaceInfo::default()
            });
        }
        let own = Holder {
            node: number,
            netns: None,
        };
        let third = node as u8 + 1;
        for address in [
            node_address(node),
            Ipv4Addr::new(10, 244, third, 0),
            Ipv4Addr::new(10, 244, third, 1),
        ] {
            addresses.insert((address.into(), own));
        }
        let other = 1 - node;
        subnets.push(vec![RemoteSubnet {
            prefix: Ipv4Addr::new(10, 244, other as u8 + 1, 0).into(),
            len: 24,
            vtep: node_address(other).into(),
            device: "flannel.1".into(),
        }]);
    }
    let snapshot = Snapshot {
        namespaces,
        addresses,
        subnets,
        watches_sockets: true,
        ..Snapshot::default()
    };
    let origin = Origin {
        session: 0,
        nodes: 0..nodes.len(),
    };
    world.apply(&origin, &Update::Snapshot(Box::new(snapshot)));
}

/// The session of both nodes.
pub(crate) fn origin() -> Origin {
    Origin {
        session: 0,
        nodes: 0..2,
    }
}

fn run_pods(world: &mut World, place: usize, node: usize) {
    let pods = [0, 1].map(|number| {
        let pod = (node, number);
        let id = format!("{:064x}", cgroup(pod));
        let path = CgroupPath::At(format!("/kubepods/pod{number}/{id}"));
        world.identities.sockets().learn(&NewCgroup {
            id: cgroup(pod),
            ts_ns: 0,
            path,
            members: None,
        });
        Pod {
            namespace: "default".into(),
            name: format!("mypod{}", 2 * node + number + 1),
            uid: format!("uid-{node}-{number}"),
            sandbox_id: format!("{:064x}", 1 + cgroup(pod)),
            addresses: vec![pod_address(pod).into()],
            netns_id: Some(pod_netns(pod)),
            containers: vec![Container {
                id,
                name: "main".into(),
                ..Container::default()
            }],
            ..Pod::default()
        }
    });
    world.identities.set_pods(place, &pods, 0);
    world.identities.runtime_answers(place, place);
}
