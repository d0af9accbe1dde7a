//! A node with two pods, for tests.
use std::net::IpAddr;

use super::World;
use crate::{
    model::{
        origin::Origin,
        pod::{Container, Pod},
        snapshot::{CgroupPath, Holder, NamespaceInfo, NewCgroup, Snapshot},
        tap_point::{Role, TapPoint},
    },
    packet::{Framing, Mac},
    update::Update,
};

/// Interfaces of a node with two pods, by number.
pub(crate) const POD1: u32 = 0;
pub(crate) const VETH1: u32 = 1;
pub(crate) const VETH2: u32 = 2;
pub(crate) const POD2: u32 = 3;
pub(crate) const CNI0: u32 = 4;
pub(crate) const UPLINK: u32 = 5;

/// Ids of the namespaces: the node's own and the pods'.
pub(crate) const NODE: u64 = 1;
pub(crate) const NETNS1: u64 = 2;
pub(crate) const NETNS2: u64 = 3;

/// Cgroups of a container in each pod.
pub(crate) const CGROUP1: u64 = 11;
pub(crate) const CGROUP2: u64 = 12;

/// An interface of the first node, or of a pod there.
pub(crate) fn tap_point(name: &str, netns: u64, leads_to: Option<u64>, role: Role) -> TapPoint {
    TapPoint {
        node: 0,
        node_name: "worker1".into(),
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
        mac: None,
    }
}

pub(crate) fn world() -> World {
    let mut world = World {
        nodes: vec!["worker1".into(), "worker2".into()],
        ..World::default()
    };
    for (name, netns, leads_to, role) in [
        ("eth0", NETNS1, None, Role::Pod),
        ("veth1", NODE, Some(NETNS1), Role::Veth),
        ("veth2", NODE, Some(NETNS2), Role::Veth),
        ("eth0", NETNS2, None, Role::Pod),
        ("cni0", NODE, None, Role::Bridge),
        ("eth0", NODE, None, Role::Uplink),
    ] {
        let number = world.tap_points.next_number();
        let point = TapPoint {
            is_port: role == Role::Veth,
            mac: Some(mac_of(netns)),
            ..tap_point(name, netns, leads_to, role)
        };
        world.tap_points.set(number, point);
    }
    apply_snapshot(&mut world, &[]);
    run_containers(&mut world);
    world
}

/// The MAC address of all interfaces in a namespace.
pub(crate) fn mac_of(netns: u64) -> Mac {
    Mac([0, 0, 0, 0, 0, netns.to_le_bytes()[0]])
}

/// Runs container1 in mypod1 and container2 in mypod2.
pub(crate) fn run_containers(world: &mut World) {
    let mut pods = Vec::new();
    for (cgroup, number) in [(CGROUP1, "1"), (CGROUP2, "2")] {
        let id = number.repeat(64);
        let sockets = world.identities.sockets();
        let path = CgroupPath::At(format!("/kubepods/pod{number}/{id}"));
        sockets.learn(&NewCgroup {
            id: cgroup,
            ts_ns: 0,
            path,
            members: None,
        });
        pods.push(Pod {
            namespace: "default".into(),
            name: format!("mypod{number}"),
            containers: vec![Container {
                id,
                name: format!("container{number}"),
                ..Container::default()
            }],
            ..Pod::default()
        });
    }
    world.identities.set_pods(0, &pods, 0);
}

/// Applies a snapshot of the node, with these addresses of the second node.
pub(crate) fn apply_snapshot(world: &mut World, second: &[IpAddr]) {
    apply(world, second, true);
}

/// Applies a snapshot by which no sockets are watched.
pub(crate) fn leave_sockets(world: &mut World) {
    apply(world, &[], false);
}

fn apply(world: &mut World, second: &[IpAddr], watched: bool) {
    let namespaces = [(NETNS1, "default/mypod1"), (NETNS2, "default/mypod2")];
    let namespaces = namespaces.map(|(id, pod)| NamespaceInfo {
        id,
        given: Some(pod.into()),
        watched,
        ..NamespaceInfo::default()
    });
    let first = [
        ("10.244.1.2", Some(NETNS1)),
        ("10.244.1.3", Some(NETNS2)),
        ("10.244.1.1", None),
    ];
    let first = first.map(|(address, netns)| (address.parse().unwrap(), Holder { node: 0, netns }));
    let holder = Holder {
        node: 1,
        netns: None,
    };
    let second = second.iter().map(|address| (*address, holder));
    let addresses = first.into_iter().chain(second).collect();
    let snapshot = Snapshot {
        namespaces: namespaces.into(),
        addresses,
        watches_sockets: watched,
        ..Snapshot::default()
    };
    let origin = Origin {
        session: 0,
        nodes: 0..2,
    };
    world.apply(&origin, &Update::Snapshot(Box::new(snapshot)));
}
