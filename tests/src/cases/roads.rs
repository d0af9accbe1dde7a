//! Healthy traffic is seen whole on the roads that nodes have beside flannel's VXLAN, and
//! what is not healthy is called by its name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use podtrace::lab::traffic::{ping, tcp_exchange};
use podtrace::lab::{Lab, LabNode, LabPod};
use podtrace::netns::NetNs;
use serde_json::Value;

use super::on;
use super::tracer::{Tracer, hops, paths};
use super::uplinks::{self, remove_vxlan, second, second_cable};
use crate::wire::{Mode, Wire};

/// Two nodes with so many pods each, and no VXLAN.
pub(super) fn lab(pods_per_node: usize) -> Lab {
    let lab = uplinks::lab(pods_per_node);
    remove_vxlan(&lab);
    lab
}

/// Ties a pod to its node as Calico does: by a veth with a route, without a bridge. The node
/// answers for all addresses that it has a route to by another interface.
fn like_calico(node: &LabNode, pod: &LabPod) {
    let (veth, address) = (&pod.veth, pod.ipv4);
    let of_node = format!(
        "ip link set {veth} nomaster
         ip link set {veth} address ee:ee:ee:ee:ee:ee
         ip route add {address}/32 dev {veth}
         sysctl -qw net.ipv4.conf.{veth}.proxy_arp=1
         sysctl -qw net.ipv4.neigh.{veth}.proxy_delay=0"
    );
    on(&node.netns, &of_node);
    let of_pod = format!(
        "ip addr flush dev eth0
         ip addr add {address}/32 dev eth0
         ip route add 169.254.1.1 dev eth0 scope link
         ip route add default via 169.254.1.1 dev eth0"
    );
    on(&pod.netns, &of_pod);
}

/// Has the nodes route to each other's pods.
fn routes_between(lab: &Lab) {
    for (node, other) in [(0, 1), (1, 0)] {
        let (node, other) = (&lab.nodes[node], &lab.nodes[other]);
        let subnet = subnet_of(other);
        let gateway = other.underlay;
        on(
            &node.netns,
            &format!("ip route add {subnet} via {gateway} dev eth0"),
        );
    }
}

fn subnet_of(node: &LabNode) -> String {
    let [a, b, c, _] = node.pods[0].ipv4.octets();
    format!("{a}.{b}.{c}.0/24")
}

/// Pings and a TCP exchange between two addresses.
fn talk(from: &NetNs, to: &NetNs, address: Ipv4Addr) {
    ping(from, address.into(), 31, 3, 56).unwrap();
    let server = SocketAddr::new(IpAddr::from(address), 8080);
    assert_eq!(tcp_exchange(from, to, server, 3000).unwrap(), 3000);
}

/// All that was sent between two addresses is delivered by these ways, and each packet is
/// one path.
#[track_caller]
fn check(values: &[Value], from: Ipv4Addr, to: Ipv4Addr, there: &[&str], back: &[&str]) {
    let (from, to) = (from.to_string(), to.to_string());
    for (source, destination, way) in [(&from, &to, there), (&to, &from, back)] {
        for (what, at_least) in [("ICMP echo", 3), ("TCP", 4)] {
            let found: Vec<_> = paths(values, what, source, destination).collect();
            assert!(found.len() >= at_least, "{what}: {found:#?}");
            for path in found {
                assert_eq!(path["outcome"], "delivered", "{path}");
                let hops = hops(path);
                assert_eq!(hops[..], *way, "{path}");
            }
        }
    }
    nothing_is_lost(values);
}

/// Nothing healthy is said not to be seen further.
#[track_caller]
fn nothing_is_lost(values: &[Value]) {
    let is_lost = |value: &&Value| value["outcome"] == "not_seen_further";
    let lost: Vec<_> = values.iter().filter(is_lost).collect();
    assert!(lost.is_empty(), "{lost:#?}");
    // That answers come by another NIC is so, and no fault.
    let is_false =
        |value: &&Value| value["type"] == "finding" && value["kind"] != "asymmetric_route";
    let found: Vec<_> = values.iter().filter(is_false).collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// Joins the nodes by devices of that name.
fn wire(lab: &Lab, name: &str, mode: Mode) -> Wire {
    Wire::new([0, 1].map(|node| &lab.nodes[node].netns), name, mode).unwrap()
}

/// From the first pod of a node to the first of the other, by an interface of both.
fn across(from: u8, to: u8, by: &str) -> Vec<String> {
    vec![
        format!("mypod{from}/eth0 egress"),
        format!("{from}/veth0{from}01 ingress"),
        format!("{from}/cni0 ingress"),
        format!("{from}/{by} egress"),
        format!("{to}/{by} ingress"),
        format!("{to}/cni0 egress"),
        format!("{to}/veth0{to}01 egress"),
        format!("mypod{to}/eth0 ingress"),
    ]
}

/// There and back.
fn between(by: &str) -> [Vec<String>; 2] {
    [across(1, 2, by), across(2, 1, by)]
}

fn strs(way: &[String]) -> Vec<&str> {
    way.iter().map(String::as_str).collect()
}

#[test]
fn host_gw_over_a_tap() {
    let lab = lab(1);
    on(&lab.nodes[0].netns, "ip link del eth0");
    let _wire = wire(&lab, "eth0", Mode::Tap);
    for node in &lab.nodes {
        let address = node.underlay;
        on(
            &node.netns,
            &format!("ip link set eth0 up\nip addr add {address}/24 dev eth0"),
        );
    }
    routes_between(&lab);
    let [from, to] = [0, 1].map(|node| &lab.nodes[node].pods[0]);
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    talk(&from.netns, &to.netns, to.ipv4);
    let values = tracer.finish();
    let [there, back] = between("eth0");
    check(&values, from.ipv4, to.ipv4, &strs(&there), &strs(&back));
}

/// As flannel's backend udp: a process has the packets between the nodes.
#[test]
fn tun_that_a_process_serves() {
    let lab = lab(1);
    let _wire = wire(&lab, "flannel0", Mode::Tun);
    for (node, other) in [(0, 1), (1, 0)] {
        let subnet = subnet_of(&lab.nodes[other]);
        on(
            &lab.nodes[node].netns,
            &format!("ip link set flannel0 up\nip route add {subnet} dev flannel0"),
        );
    }
    let [from, to] = [0, 1].map(|node| &lab.nodes[node].pods[0]);
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    talk(&from.netns, &to.netns, to.ipv4);
    let values = tracer.finish();
    let [there, back] = between("flannel0");
    check(&values, from.ipv4, to.ipv4, &strs(&there), &strs(&back));
}

#[test]
fn node_to_node_over_a_second_nic() {
    let lab = lab(0);
    second_cable(&lab);
    let [one, two] = [0, 1].map(|node| &lab.nodes[node].netns);
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    talk(one, two, second(1));
    let values = tracer.finish();
    let there = ["1/eth1 egress", "2/eth1 ingress"];
    let back = ["2/eth1 egress", "1/eth1 ingress"];
    check(&values, second(0), second(1), &there, &back);
}

/// Out by one NIC, and back by the other.
#[test]
fn answers_that_come_another_way() {
    let lab = lab(1);
    routes_between(&lab);
    second_cable(&lab);
    let [one, two] = [0, 1].map(|node| &lab.nodes[node]);
    let subnet = subnet_of(one);
    on(
        &two.netns,
        &format!("ip route replace {subnet} via 172.30.0.11 dev eth1"),
    );
    for node in [one, two] {
        for interface in ["all", "eth0", "eth1"] {
            on(
                &node.netns,
                &format!("sysctl -qw net.ipv4.conf.{interface}.rp_filter=0"),
            );
        }
    }
    let (from, to) = (&one.pods[0], &two.pods[0]);
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    talk(&from.netns, &to.netns, to.ipv4);
    let values = tracer.finish();
    let ([there, _], [_, back]) = (between("eth0"), between("eth1"));
    check(&values, from.ipv4, to.ipv4, &strs(&there), &strs(&back));
}

/// A pod on the node's network is the node to whoever looks at packets.
#[test]
fn from_the_nodes_network_to_a_pod() {
    let lab = lab(1);
    routes_between(&lab);
    let (node, near, far) = (&lab.nodes[0], &lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let bridge = Ipv4Addr::new(10, 244, 1, 1);
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    talk(&node.netns, &near.netns, near.ipv4);
    talk(&near.netns, &node.netns, bridge);
    talk(&node.netns, &far.netns, far.ipv4);
    let values = tracer.finish();
    let there = ["1/cni0 egress", "1/veth0101 egress", "mypod1/eth0 ingress"];
    let back = ["mypod1/eth0 egress", "1/veth0101 ingress", "1/cni0 ingress"];
    check(&values, bridge, near.ipv4, &there, &back);
    let [there, back] = between("eth0");
    let (there, back) = (&strs(&there)[3..], &strs(&back)[..5]);
    check(&values, node.underlay, far.ipv4, there, back);
}

#[test]
fn pods_without_a_bridge() {
    let lab = lab(2);
    for node in &lab.nodes {
        for pod in &node.pods {
            like_calico(node, pod);
        }
        on(&node.netns, "ip link del cni0");
    }
    routes_between(&lab);
    for (node, other) in [(0, 1), (1, 0)] {
        let gateway = lab.nodes[other].underlay;
        let default = format!("ip route add default via {gateway} dev eth0");
        on(&lab.nodes[node].netns, &default);
    }
    let node = &lab.nodes[0];
    let [from, near] = [0, 1].map(|pod| &node.pods[pod]);
    let far = &lab.nodes[1].pods[0];
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    talk(&from.netns, &near.netns, near.ipv4);
    talk(&from.netns, &far.netns, far.ipv4);
    talk(&from.netns, &node.netns, node.underlay);
    let values = tracer.finish();
    let there = [
        "mypod1/eth0 egress",
        "1/veth0101 ingress",
        "1/veth0102 egress",
        "mypod2/eth0 ingress",
    ];
    let back = [
        "mypod2/eth0 egress",
        "1/veth0102 ingress",
        "1/veth0101 egress",
        "mypod1/eth0 ingress",
    ];
    check(&values, from.ipv4, near.ipv4, &there, &back);
    let there = [
        &there[..2],
        &[
            "1/eth0 egress",
            "2/eth0 ingress",
            "2/veth0201 egress",
            "mypod3/eth0 ingress",
        ],
    ]
    .concat();
    let back = [
        &[
            "mypod3/eth0 egress",
            "2/veth0201 ingress",
            "2/eth0 egress",
            "1/eth0 ingress",
        ],
        &back[2..],
    ]
    .concat();
    check(&values, from.ipv4, far.ipv4, &there, &back);
    check(&values, from.ipv4, node.underlay, &there[..2], &back[4..]);
}

/// One pod routes for another, which has a network of its own with it.
#[test]
fn through_a_pod_that_routes() {
    let lab = lab(2);
    routes_between(&lab);
    let node = &lab.nodes[0];
    let [router, from] = [0, 1].map(|pod| &node.pods[pod]);
    let to = &lab.nodes[1].pods[0];
    let address = from.ipv4;
    on(&router.netns, "sysctl -qw net.ipv4.ip_forward=1");
    for interface in ["all", "eth0"] {
        on(
            &router.netns,
            &format!("sysctl -qw net.ipv4.conf.{interface}.send_redirects=0"),
        );
    }
    let gateway = router.ipv4;
    on(
        &from.netns,
        &format!("ip route replace default via {gateway} dev eth0"),
    );
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    talk(&from.netns, &to.netns, to.ipv4);
    let values = tracer.finish();
    let [out, home] = between("eth0");
    let there = [
        &["mypod2/eth0 egress", "1/veth0102 ingress"][..],
        &["1/veth0101 egress", "mypod1/eth0 ingress"],
        &strs(&out)[..7],
        &["mypod3/eth0 ingress"],
    ]
    .concat();
    let back = [
        &["mypod3/eth0 egress"],
        &strs(&home)[1..6],
        &["1/veth0102 egress", "mypod2/eth0 ingress"],
    ]
    .concat();
    check(&values, address, to.ipv4, &there, &back);
}

/// A second interface of a pod: a macvlan on the node's NIC.
#[test]
fn pod_with_a_macvlan_beside_its_veth() {
    let lab = lab(1);
    second_cable(&lab);
    let pod = &lab.nodes[0].pods[0];
    let name = pod.netns.name.rsplit('/').next().unwrap();
    on(
        &lab.nodes[0].netns,
        &format!("ip link add net1 link eth1 netns {name} type macvlan mode bridge"),
    );
    on(
        &pod.netns,
        "ip link set net1 up\nip addr add 172.30.0.21/24 dev net1",
    );
    let own = Ipv4Addr::new(172, 30, 0, 21);
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    talk(&lab.nodes[1].netns, &pod.netns, own);
    let values = tracer.finish();
    let there = ["2/eth1 egress", "1/eth1 ingress", "mypod1/net1 ingress"];
    let back = ["mypod1/net1 egress", "1/eth1 egress", "2/eth1 ingress"];
    check(&values, second(1), own, &there, &back);
}
