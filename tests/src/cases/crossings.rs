//! What crosses between two traced nodes is one path, and goes to the one that has the frame's
//! MAC address, whoever has the address.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use podtrace::lab::traffic::ping;
use podtrace::packet::Mac;
use serde_json::Value;

use super::harmless::mac;
use super::on;
use super::roads::lab;
use super::tracer::{Tracer, hops, paths, paths_of};

/// What a tracer shows of one ping, by its way there.
fn request(values: &[Value], id: u16, to: IpAddr) -> Vec<&Value> {
    let mut paths = paths_of(values, &format!("ICMP echo request id {id} "));
    paths.retain(|path| path["destination"] == to.to_string());
    paths
}

/// A group that both nodes are members of, by the cable between them.
#[test]
fn multicast_between_nodes_is_one_path() {
    let lab = lab(0);
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let bind = |address: Ipv4Addr| UdpSocket::bind((address, 5353)).unwrap();
    let [one, two] = [0, 1].map(|node| &lab.nodes[node]);
    let receiver = two.netns.run(|| bind(Ipv4Addr::UNSPECIFIED)).unwrap();
    receiver.join_multicast_v4(&group, &two.underlay).unwrap();
    let limit = Some(Duration::from_secs(5));
    receiver.set_read_timeout(limit).unwrap();
    let sender = one.netns.run(|| bind(one.underlay)).unwrap();
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    on(&one.netns, "ip route add 239.0.0.0/8 dev eth0");
    sender.send_to(b"all", (group, 5353)).unwrap();
    receiver.recv(&mut [0; 8]).unwrap();
    let values = tracer.finish();
    let (from, to) = (one.underlay.to_string(), group.to_string());
    let found: Vec<_> = paths(&values, "UDP", &from, &to).collect();
    let [path] = found[..] else {
        panic!("{found:#?}");
    };
    assert_eq!(hops(path), ["1/eth0 egress", "2/eth0 ingress"]);
    // The node's own sockets are not watched.
    assert_eq!(path["outcome"], "unknown");
}

/// Nobody on the nodes has the address: it is a route of the other one, to somewhere else.
#[test]
fn crossing_to_an_unknown_address_is_one_path() {
    let lab = lab(0);
    let far = Ipv4Addr::new(198, 51, 100, 7);
    let [one, two] = [0, 1].map(|node| &lab.nodes[node]);
    let gateway = two.underlay;
    on(
        &one.netns,
        &format!("ip route add {far} via {gateway} dev eth0"),
    );
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    ping(&one.netns, far.into(), 41, 1, 56).unwrap_err();
    let values = tracer.finish();
    let found = request(&values, 41, far.into());
    let [path] = found[..] else {
        panic!("{found:#?}");
    };
    assert_eq!(hops(path), ["1/eth0 egress", "2/eth0 ingress"]);
    assert_ne!(path["outcome"], "delivered");
}

/// Two pods have one address; the frames go to one of them.
#[test]
fn address_of_two_pods_is_that_of_the_one_that_gets_the_frame() {
    let lab = lab(2);
    let node = &lab.nodes[0];
    let [one, two] = [0, 1].map(|pod| &node.pods[pod]);
    let address = two.ipv4;
    on(&one.netns, &format!("ip addr add {address}/32 dev eth0"));
    let to = Mac(mac(&two.netns, "eth0"));
    on(
        &node.netns,
        &format!("ip neigh replace {address} lladdr {to} dev cni0 nud permanent"),
    );
    let tracer = Tracer::start(&lab, &[0], &[]);
    ping(&node.netns, address.into(), 42, 1, 56).unwrap();
    // A neighbour entry that is out of date: the pod that gets the frame has another address.
    let stale = Ipv4Addr::new(10, 244, 1, 99);
    on(
        &node.netns,
        &format!("ip neigh replace {stale} lladdr {to} dev cni0 nud permanent"),
    );
    ping(&node.netns, stale.into(), 43, 1, 56).unwrap_err();
    let values = tracer.finish();
    let found = request(&values, 42, address.into());
    assert_eq!(found.len(), 1);
    let way = ["1/cni0 egress", "1/veth0102 egress", "mypod2/eth0 ingress"];
    assert_eq!(hops(found[0]), way);
    assert_eq!(found[0]["outcome"], "delivered");
    let found = request(&values, 43, stale.into());
    assert_eq!(hops(found[0]), way);
    // The pod does not forward it.
    assert_eq!(found[0]["outcome"], "dropped");
}
