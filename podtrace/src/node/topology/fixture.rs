//! A healthy flannel network of two nodes, made by hand, for tests.
use std::net::IpAddr;

use super::{
    Bridge, Container, FdbEntry, Forwarding, HostEnd, Interface, NodeTopology, Pod, PodInterface,
    Route, Sharing, State, Topology, Tunnel, TunnelRoute,
};
use crate::{
    node::{
        links::AddressPrefix,
        processes::{Namespaces, NsKind},
        tables::MAIN_TABLE,
    },
    packet::Mac,
};

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn prefix(text: &str) -> AddressPrefix {
    let (address, len) = text.split_once('/').unwrap();
    AddressPrefix {
        address: ip(address),
        len: len.parse().unwrap(),
    }
}

pub(crate) fn interface(name: &str, ifindex: u32, mtu: u32, addresses: &[&str]) -> Interface {
    Interface {
        name: name.into(),
        ifindex,
        state: State::Up,
        mtu,
        mac: Some(Mac([2, 0, 0, 0, 0, u8::try_from(ifindex).unwrap()])),
        addresses: addresses.iter().map(|text| prefix(text)).collect(),
        bridge: None,
        forwards_ipv4: None,
    }
}

fn vtep_mac(node: u8) -> Mac {
    Mac([0x0e, 0xf1, 0, 0, 0, node])
}

pub(crate) fn route(subnet: &str, gateway: Option<&str>, interface: &str) -> Route {
    Route {
        subnet: prefix(subnet),
        gateway: gateway.map(ip),
        interface: Some(interface.into()),
        table: MAIN_TABLE,
        refused: false,
    }
}

fn tunnel(node: u8, peer: u8) -> Tunnel {
    let own = [format!("10.244.{node}.0/32"), format!("fd00:{node}::/128")];
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    let vtep = ip(&format!("192.168.77.1{peer}"));
    let subnet = |subnet: String, gateway: String| TunnelRoute {
        subnet: prefix(&subnet),
        gateway: ip(&gateway),
        mac: Some(vtep_mac(peer)),
        vtep: Some(vtep),
    };
    Tunnel {
        interface: Interface {
            mac: Some(vtep_mac(node)),
            forwards_ipv4: Some(true),
            ..interface("flannel.1", 4, 1450, &own)
        },
        vni: 1,
        port: 8472,
        local: Some(ip(&format!("192.168.77.1{node}"))),
        underlay: Some("eth0".into()),
        learning: false,
        routes: vec![
            subnet(format!("10.244.{peer}.0/24"), format!("10.244.{peer}.0")),
            subnet(format!("fd00:{peer}::/64"), format!("fd00:{peer}::")),
        ],
        fdb: vec![FdbEntry {
            mac: vtep_mac(peer),
            vtep,
        }],
    }
}

/// Pod number `number` of a node, with an address, a veth and no containers.
pub(crate) fn pod(node: u8, number: u8, name: &str) -> Pod {
    let host = number + 1;
    let own = [
        format!("10.244.{node}.{host}/24"),
        format!("fd00:{node}::{host}/64"),
    ];
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    let veth = format!("veth0{node}0{number}");
    let inside = interface("eth0", 2, 1450, &own);
    Pod {
        name: name.into(),
        netns: Some(4_026_532_200 + u64::from(node) * 10 + u64::from(number)),
        addresses: inside.addresses.iter().map(|own| own.address).collect(),
        interfaces: vec![PodInterface {
            interface: inside,
            host: Some(HostEnd {
                interface: Interface {
                    bridge: Some("cni0".into()),
                    ..interface(&veth, 10 + u32::from(number), 1450, &[])
                },
                routed: false,
            }),
        }],
        gateways: vec![
            ip(&format!("10.244.{node}.1")),
            ip(&format!("fd00:{node}::1")),
        ],
        ..Pod::default()
    }
}

fn namespaces(net: u64, own: u64) -> Namespaces {
    let shared = [
        (NsKind::Net, net),
        (NsKind::Ipc, net + 100),
        (NsKind::Uts, net + 200),
    ];
    let own = [(NsKind::Pid, own), (NsKind::Mnt, own + 1)];
    let node = [(NsKind::User, 4_026_531_837)];
    shared.into_iter().chain(own).chain(node).collect()
}

fn container(name: &str, pid: u32, namespaces: Namespaces) -> Container {
    Container {
        id: format!("{pid:012x}{}", "0".repeat(52)),
        name: Some(name.into()),
        image: Some("docker.io/library/busybox:1.36".into()),
        pid: Some(pid),
        command: Some("sleep".into()),
        namespaces,
        ..Container::default()
    }
}

fn with_containers(pod: Pod, node: &Namespaces, first_pid: u32, names: &[&str]) -> Pod {
    let net = pod.netns.unwrap();
    let pids = (first_pid..).zip(4_026_532_700..);
    let mut containers: Vec<_> = std::iter::once(&"pause")
        .chain(names)
        .zip(pids)
        .map(|(name, (pid, own))| container(name, pid, namespaces(net, own * 2)))
        .collect();
    containers[0] = Container {
        sandbox: true,
        name: None,
        image: None,
        command: Some("pause".into()),
        ..containers[0].clone()
    };
    let compared: Vec<_> = containers
        .iter()
        .map(|container| container.namespaces)
        .collect();
    Pod {
        uid: Some("3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f".into()),
        sharing: Sharing::of(&compared, node),
        containers,
        ..pod
    }
}

fn node(number: u8, peer: u8) -> NodeTopology {
    let own: Namespaces = namespaces(4_026_531_840, 4_026_531_836);
    let underlay = format!("192.168.77.1{number}/24");
    let gateway = [
        format!("10.244.{number}.1/24"),
        format!("fd00:{number}::1/64"),
    ];
    let gateway: Vec<_> = gateway.iter().map(String::as_str).collect();
    NodeTopology {
        name: format!("node{number}"),
        kernel: "6.18.0".into(),
        runtime: Some("containerd 1.6.20 at /run/containerd/containerd.sock".into()),
        namespaces: own,
        forwarding: Forwarding {
            ipv4: Some(true),
            ipv6: Some(true),
        },
        uplinks: vec![interface("eth0", 2, 1500, &[&underlay])],
        tunnels: vec![tunnel(number, peer)],
        bridges: vec![Bridge {
            interface: Interface {
                forwards_ipv4: Some(true),
                ..interface("cni0", 3, 1450, &gateway)
            },
            ports: vec![format!("veth0{number}01"), format!("veth0{number}02")],
        }],
        routes: vec![
            route("0.0.0.0/0", Some("192.168.77.1"), "eth0"),
            route("192.168.77.0/24", None, "eth0"),
            route(&format!("10.244.{number}.0/24"), None, "cni0"),
            route(
                &format!("10.244.{peer}.0/24"),
                Some(&format!("10.244.{peer}.0")),
                "flannel.1",
            ),
        ],
        ..NodeTopology::default()
    }
}

/// Two nodes: one with two pods, one of them with two containers, and a hostNetwork pod;
/// the other with one unnamed pod.
pub(crate) fn healthy() -> Topology {
    let mut one = node(1, 2);
    let my_pod = pod(1, 1, "default/my-pod");
    one.pods = vec![
        with_containers(my_pod, &one.namespaces, 4711, &["container1", "container2"]),
        pod(1, 2, "default/mypod2"),
    ];
    let on_node = Pod {
        netns: one.namespaces.get(NsKind::Net),
        name: "kube-system/kube-proxy".into(),
        ..Pod::default()
    };
    one.host_network_pods = vec![with_containers(on_node, &one.namespaces, 900, &["proxy"])];
    let mut two = node(2, 1);
    two.unnamed = vec![pod(2, 1, "pod:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f")];
    two.runtime = None;
    two.unknown =
        vec!["names of pods and containers, images: no container runtime answered".into()];
    Topology {
        nodes: vec![one, two],
        ..Topology::default()
    }
}
