//! Packets that leave a node are reported as such, whatever its network consists of.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd as _, AsRawFd as _};

use podtrace::lab::traffic::ping;
use podtrace::lab::{Lab, LabNode, LabSpec, plan};
use podtrace::node::links;
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, LinkVlan, RouteMessageBuilder};
use serde_json::Value;

use super::churn::netlink;
use super::on;
use super::tracer::{Tracer, hops, is_path, paths, run};

pub(super) fn lab(pods_per_node: usize) -> Lab {
    Lab::new(LabSpec {
        nodes: 2,
        pods_per_node,
        ipv6: false,
    })
    .unwrap()
}

async fn index(node: &LabNode, name: &str) -> u32 {
    let links = links::list(&node.netns).await.unwrap();
    let link = links.iter().find(|link| link.name == name);
    link.unwrap().ifindex
}

async fn set_up(handle: &Handle, index: u32) {
    let up = LinkUnspec::new_with_index(index).up().build();
    handle.link().set(up).execute().await.unwrap();
}

/// A route through an interface; the default route if the length is 0.
async fn add_route(handle: &Handle, to: (Ipv4Addr, u8), gateway: Ipv4Addr, through: u32) {
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(to.0, to.1)
        .gateway(gateway)
        .output_interface(through)
        .build();
    handle.route().add(route).execute().await.unwrap();
}

const EVERYWHERE: (Ipv4Addr, u8) = (Ipv4Addr::UNSPECIFIED, 0);

/// The address of a node, by its number from 0, on another wire than the lab's.
pub(super) fn second(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 30, 0, 11 + node)
}

/// Removes the nodes' VXLAN interfaces.
pub(super) fn remove_vxlan(lab: &Lab) {
    for node in &lab.nodes {
        netlink(&node.netns, async |handle| {
            let vxlan = index(node, "flannel.1").await;
            handle.link().del(vxlan).execute().await.unwrap();
        });
    }
}

/// Connects the nodes by another cable, named `eth1` at both ends.
pub(super) fn second_cable(lab: &Lab) {
    let (one, two) = (&lab.nodes[0], &lab.nodes[1]);
    netlink(&one.netns, async |handle| {
        let far = LinkUnspec::new_with_name("eth1").setns_by_fd(two.netns.as_fd().as_raw_fd());
        let pair = LinkVeth::new("eth1", "eth1")
            .set_info_data(InfoData::Veth(InfoVeth::Peer(far.build())));
        handle.link().add(pair.build()).execute().await.unwrap();
    });
    for (number, node) in (0..).zip(&lab.nodes) {
        netlink(&node.netns, async |handle| {
            give(&handle, index(node, "eth1").await, second(number)).await;
        });
    }
}

async fn give(handle: &Handle, index: u32, address: Ipv4Addr) {
    set_up(handle, index).await;
    let add = handle.address().add(index, IpAddr::V4(address), 24);
    add.execute().await.unwrap();
}

/// The only echo request between two addresses, and its reply.
fn pinged(values: &[Value], from: Ipv4Addr, to: Ipv4Addr) -> [Value; 2] {
    let (from, to) = (from.to_string(), to.to_string());
    let one = |what, from: &str, to: &str| {
        let found: Vec<_> = paths(values, what, from, to).collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].clone()
    };
    [
        one("ICMP echo request", &from, &to),
        one("ICMP echo reply", &to, &from),
    ]
}

#[test]
fn machine_without_pods_and_vxlan_is_traced_at_its_default_route() {
    let lab = lab(0);
    remove_vxlan(&lab);
    let node = &lab.nodes[0];
    netlink(&node.netns, async |handle| {
        let bridge = index(node, "cni0").await;
        handle.link().del(bridge).execute().await.unwrap();
        let uplink = index(node, "eth0").await;
        add_route(&handle, EVERYWHERE, plan::underlay4(2), uplink).await;
    });
    let shown = run(&["topology", "-o", "json", "--netns", &node.netns.name]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["nodes"][0]["uplinks"][0]["name"], "eth0", "{shown}");
    let tracer = Tracer::start(&lab, &[0], &[]);
    ping(&node.netns, plan::underlay4(2).into(), 4, 1, 56).unwrap();
    let values = tracer.finish();
    let [request, reply] = pinged(&values, plan::underlay4(1), plan::underlay4(2));
    assert_eq!(hops(&request), ["1/eth0 egress"]);
    assert_eq!(request["outcome"], "left_node");
    assert_eq!(hops(&reply), ["1/eth0 ingress"]);
    assert_eq!(reply["outcome"], "delivered");
}

#[test]
fn pods_of_nodes_that_route_to_each_other_are_followed() {
    let lab = lab(1);
    remove_vxlan(&lab);
    for (node, other) in [(1_u8, 2), (2, 1)] {
        let host = &lab.nodes[usize::from(node) - 1];
        netlink(&host.netns, async |handle| {
            let pods = (plan::overlay4(other, 0), 24);
            let uplink = index(host, "eth0").await;
            add_route(&handle, pods, plan::underlay4(other), uplink).await;
        });
    }
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let pinged_by = |nodes: &[usize]| {
        let tracer = Tracer::start(&lab, nodes, &[]);
        ping(&from.netns, to.ipv4.into(), 5, 1, 56).unwrap();
        pinged(&tracer.finish(), from.ipv4, to.ipv4)
    };
    let here = [
        "mypod1/eth0 egress",
        "1/veth0101 ingress",
        "1/cni0 ingress",
        "1/eth0 egress",
    ];
    let there = [
        "2/eth0 ingress",
        "2/cni0 egress",
        "2/veth0201 egress",
        "mypod2/eth0 ingress",
    ];
    let [request, _] = pinged_by(&[0]);
    assert_eq!(hops(&request), here);
    assert_eq!(request["outcome"], "left_node");
    let [request, reply] = pinged_by(&[0, 1]);
    assert_eq!(hops(&request), [here, there].concat());
    assert_eq!(request["outcome"], "delivered");
    assert_eq!(reply["outcome"], "delivered");
    assert!(reply["rtt_ns"].as_u64().unwrap() > 0);
}

#[test]
fn second_uplink_beside_that_of_vxlan_is_traced() {
    let lab = lab(1);
    second_cable(&lab);
    let (node, far) = (&lab.nodes[0], Ipv4Addr::new(8, 8, 8, 8));
    netlink(&node.netns, async |handle| {
        let uplink = index(node, "eth1").await;
        add_route(&handle, EVERYWHERE, second(1), uplink).await;
    });
    let tracer = Tracer::start(&lab, &[0], &[]);
    // There is no such host, and the other node does not route back.
    ping(&node.pods[0].netns, far.into(), 6, 1, 56).unwrap_err();
    let (from, far) = (node.pods[0].ipv4.to_string(), far.to_string());
    let values = tracer.finish();
    let request = paths(&values, "ICMP echo request", &from, &far).next();
    let request = request.unwrap();
    assert_eq!(hops(request).last().unwrap(), "1/eth1 egress");
    assert_eq!(request["outcome"], "refused");
    assert_eq!(
        request["refusal"]["reason"], "network unreachable",
        "{request}"
    );
}

#[test]
fn uplink_is_traced_once_it_has_a_route() {
    let lab = lab(1);
    remove_vxlan(&lab);
    let node = &lab.nodes[0];
    second_cable(&lab);
    // A veth without a subnet and a route to a router is tapped as a veth, and stays tapped.
    let (own, router) = (second(0), second(1));
    let without_subnet = format!(
        "ip addr del {own}/24 dev eth1
         ip addr add {own}/32 dev eth1
         ip route add {router} dev eth1"
    );
    on(&node.netns, &without_subnet);
    let mut tracer = Tracer::start(&lab, &[0], &[]);
    netlink(&node.netns, async |handle| {
        let uplink = index(node, "eth1").await;
        add_route(&handle, EVERYWHERE, second(1), uplink).await;
    });
    let mut left = || {
        let far = Ipv4Addr::new(8, 8, 8, 8);
        ping(&node.pods[0].netns, far.into(), 7, 1, 56).unwrap_err();
        let path = tracer.wait_for(|value| is_path(value, "ICMP echo request id 7 "));
        path["outcome"] == "left_node"
    };
    // The routes are read again within two seconds.
    assert!((0..5).any(|_| left()), "eth1 is no uplink in time");
    tracer.finish();
}

#[test]
fn vlan_device_and_its_uplink_form_one_path() {
    let lab = lab(0);
    remove_vxlan(&lab);
    for (number, node) in (0..).zip(&lab.nodes) {
        let added = netlink(&node.netns, async |handle| {
            let below = index(node, "eth0").await;
            let vlan = LinkVlan::new("eth0.100", below, 100).build();
            handle.link().add(vlan).execute().await?;
            give(&handle, index(node, "eth0.100").await, second(number)).await;
            add_route(
                &handle,
                (Ipv4Addr::new(10, 9, 0, 0), 16),
                plan::underlay4(2 - number),
                below,
            )
            .await;
            Ok::<(), rtnetlink::Error>(())
        });
        if let Err(error) = added {
            let rtnetlink::Error::NetlinkError(refusal) = error else {
                panic!("{error}");
            };
            println!(
                "skipped: this kernel makes no VLAN device: {}",
                refusal.to_io()
            );
            return;
        }
    }
    let tracer = Tracer::start(&lab, &[0], &[]);
    ping(&lab.nodes[0].netns, second(1).into(), 9, 1, 56).unwrap();
    let [request, reply] = pinged(&tracer.finish(), second(0), second(1));
    assert_eq!(hops(&request), ["1/eth0.100 egress", "1/eth0 egress"]);
    assert_eq!(request["outcome"], "left_node");
    assert_eq!(hops(&reply), ["1/eth0 ingress", "1/eth0.100 ingress"]);
    assert_eq!(reply["outcome"], "delivered");
}
