//! The facts of a healthy flannel network of two nodes, made by hand, for tests.
use std::net::IpAddr;

use crate::{
    model::{
        facts::{Device, DeviceKind, DeviceSettings, NodeFacts, Port, Settings, Space, Vxlan},
        subnet::AddressPrefix,
        tables::{FdbEntry, MAIN_TABLE, Neighbour, NeighbourState, Route, RouteKind, Tables},
    },
    packet::Mac,
};

/// Indices of the interfaces of a node, and of those in pods.
pub(crate) const UPLINK: u32 = 2;
pub(crate) const CNI0: u32 = 3;
pub(crate) const FLANNEL: u32 = 4;
pub(crate) const VETH1: u32 = 5;
pub(crate) const VETH2: u32 = 6;
pub(crate) const VETH3: u32 = 7;
pub(crate) const POD: u32 = 2;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn prefix(text: &str) -> AddressPrefix {
    serde_json::from_value(text.into()).unwrap()
}

/// The MAC address of an interface: the number of its namespace, and its index there.
pub(crate) fn mac(netns: u64, ifindex: u32) -> Mac {
    let byte = |number: u64| u8::try_from(number).unwrap();
    Mac([2, 0, 0, 0, byte(netns), byte(ifindex.into())])
}

/// The id of a node's namespace, by its number from 1.
pub(crate) fn netns_of(node: u64) -> u64 {
    node
}

/// The id of the namespace of a node's pod.
pub(crate) fn netns_of_pod(node: u64, pod: u64) -> u64 {
    node * 10 + pod
}

fn device(netns: u64, ifindex: u32, name: &str, kind: DeviceKind, addresses: &[&str]) -> Device {
    Device {
        ifindex,
        name: name.into(),
        kind,
        up: true,
        carrier: true,
        mtu: 1450,
        mac: Some(mac(netns, ifindex)),
        addresses: addresses.iter().map(|text| prefix(text)).collect(),
        settings: DeviceSettings {
            ipv4_forward: Some(true),
            ipv6_forward: Some(true),
            rp_filter: Some(0),
            ..DeviceSettings::default()
        },
        ..Device::default()
    }
}

pub(crate) fn route(subnet: &str, gateway: Option<&str>, ifindex: u32) -> Route {
    let subnet = prefix(subnet);
    Route {
        destination: subnet.address,
        len: subnet.len,
        gateway: gateway.map(ip),
        ifindex: Some(ifindex),
        table: MAIN_TABLE,
        kind: RouteKind::Unicast,
        metric: 0,
        source: None,
    }
}

pub(crate) fn neighbour(address: &str, ifindex: u32, mac: Mac) -> Neighbour {
    Neighbour {
        address: ip(address),
        ifindex,
        mac: Some(mac),
        state: NeighbourState::Known,
    }
}

fn pod(node: u64, number: u64) -> Space {
    let (own, host) = (netns_of_pod(node, number), netns_of(node));
    let address = format!("10.244.{node}.{}/24", number + 1);
    let gateway = format!("10.244.{node}.1");
    let veth = VETH1 + u32::try_from(number - 1).unwrap();
    Space {
        netns: own,
        in_pod: true,
        path: Some(format!("/run/netns/pod{own}")),
        devices: vec![Device {
            peer: Some((host, veth)),
            ..device(own, POD, "eth0", DeviceKind::Veth, &[&address])
        }],
        tables: Tables {
            routes: vec![
                route("0.0.0.0/0", Some(&gateway), POD),
                route(&format!("10.244.{node}.0/24"), None, POD),
            ],
            neighbours: vec![neighbour(&gateway, POD, mac(host, CNI0))],
            fdb: Vec::new(),
        },
        ..Space::default()
    }
}

fn own(node: u64, peer: u64) -> Space {
    let netns = netns_of(node);
    let kinds = DeviceKind::Veth;
    let veth = |number: u64, ifindex| Device {
        master: Some(CNI0),
        port: Some(Port::default()),
        peer: Some((netns_of_pod(node, number), POD)),
        ..device(netns, ifindex, &format!("veth{number}"), kinds, &[])
    };
    let vtep = |node| ip(&format!("192.168.77.1{node}"));
    let tunnel = Device {
        vxlan: Some(Vxlan {
            vni: 1,
            port: 8472,
            underlay: Some(UPLINK),
            local: Some(vtep(node)),
            learning: false,
        }),
        ..device(
            netns,
            FLANNEL,
            "flannel.1",
            DeviceKind::Vxlan,
            &[&format!("10.244.{node}.0/32")],
        )
    };
    let uplink = Device {
        mtu: 1500,
        ..device(
            netns,
            UPLINK,
            "eth0",
            DeviceKind::Other,
            &[&format!("{}/24", vtep(node))],
        )
    };
    let bridge = device(
        netns,
        CNI0,
        "cni0",
        DeviceKind::Bridge,
        &[&format!("10.244.{node}.1/24")],
    );
    let port = |number: u64, ifindex| FdbEntry {
        mac: mac(netns_of_pod(node, number), POD),
        ifindex,
        vtep: None,
        master: Some(CNI0),
        own: false,
        permanent: false,
    };
    let far = mac(netns_of(peer), FLANNEL);
    let far_net = format!("10.244.{peer}.0");
    let pod_neighbour = |number: u64| {
        let address = format!("10.244.{node}.{}", number + 1);
        neighbour(&address, CNI0, mac(netns_of_pod(node, number), POD))
    };
    Space {
        netns,
        in_pod: false,
        path: None,
        devices: vec![uplink, bridge, tunnel, veth(1, VETH1), veth(2, VETH2)],
        rules: Vec::new(),
        tables: Tables {
            routes: vec![
                route("192.168.77.0/24", None, UPLINK),
                route(&format!("10.244.{node}.0/24"), None, CNI0),
                route(&format!("{far_net}/24"), Some(&far_net), FLANNEL),
            ],
            neighbours: vec![
                neighbour(&vtep(peer).to_string(), UPLINK, mac(netns_of(peer), UPLINK)),
                neighbour(&far_net, FLANNEL, far),
                pod_neighbour(1),
                pod_neighbour(2),
            ],
            fdb: vec![
                port(1, VETH1),
                port(2, VETH2),
                FdbEntry {
                    mac: far,
                    ifindex: FLANNEL,
                    vtep: Some(vtep(peer)),
                    master: None,
                    own: true,
                    permanent: true,
                },
            ],
        },
        settings: Settings {
            ipv4_forward: Some(true),
            ipv6_forward: Some(true),
            rp_filter: Some(0),
            ..Settings::default()
        },
    }
}

fn node(number: u64, peer: u64) -> NodeFacts {
    NodeFacts {
        node: usize::try_from(number - 1).unwrap(),
        name: format!("worker{number}"),
        spaces: vec![own(number, peer), pod(number, 1), pod(number, 2)],
        is_cut: false,
    }
}

/// Adds a pod to a node, with a port of its bridge.
pub(crate) fn pod_with_port(facts: &mut NodeFacts, number: u64) {
    let node = u64::try_from(facts.node + 1).unwrap();
    let netns = netns_of(node);
    let ifindex = VETH1 + u32::try_from(number - 1).unwrap();
    let kind = DeviceKind::Veth;
    facts.spaces[0].devices.push(Device {
        master: Some(CNI0),
        port: Some(Port::default()),
        peer: Some((netns_of_pod(node, number), POD)),
        ..device(netns, ifindex, &format!("veth{number}"), kind, &[])
    });
    facts.spaces.push(pod(node, number));
}

/// Two nodes with two pods each.
pub(crate) fn healthy() -> Vec<NodeFacts> {
    vec![node(1, 2), node(2, 1)]
}
