//! A packet that somebody refuses says who did, where and why.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use podtrace::lab::traffic::ping;
use podtrace::netns::NetNs;
use serde_json::Value;

use super::on;
use super::scenarios::lab;
use super::tracer::{Tracer, hops, paths_of};

const SERVICE: &str = "10.96.0.10";
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends a datagram, and waits until it is refused.
fn datagram(client: &NetNs, to: SocketAddr, bytes: usize) {
    let socket = client
        .run(|| UdpSocket::bind("0.0.0.0:0"))
        .unwrap()
        .unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket.connect(to).unwrap();
    socket.send(&vec![7; bytes]).unwrap();
    // The error comes instead of an answer, unless it only tells the size of a packet.
    if bytes < 1000 {
        socket.recv(&mut [0]).unwrap_err();
    }
}

/// The only packet of that kind, and what its refusal says.
#[track_caller]
fn refused<'a>(values: &'a [Value], protocol: &str, kind: &str) -> (&'a Value, &'a Value) {
    let is_it = |path: &&&Value| path["what"].as_str().unwrap().contains(kind);
    let all = paths_of(values, protocol);
    let paths: Vec<_> = all.iter().filter(is_it).collect();
    let [path] = &paths[..] else {
        panic!("{} paths: {paths:?}", paths.len());
    };
    let refusal = &path["refusal"];
    let is_answer =
        |value: &&Value| value["type"] == "path" && value["packet"] == refusal["packet"];
    let answer = values.iter().find(is_answer);
    let answer = answer.unwrap_or_else(|| panic!("{path}"));
    assert_eq!(answer["about"], path["packet"], "{answer}");
    assert_eq!(answer["outcome"], "delivered", "{answer}");
    (path, refusal)
}

const TO_NODE: [&str; 3] = ["mypod1/eth0 egress", "1/veth0101 ingress", "1/cni0 ingress"];

#[test]
fn node_refuses_a_datagram() {
    let lab = lab();
    let (node, client, server) = (&lab.nodes[0], &lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let backend = server.ipv4;
    on(
        &node.netns,
        &format!("iptables -w -t nat -A PREROUTING -p udp -d {SERVICE} -j DNAT --to {backend}"),
    );
    on(
        &node.netns,
        "iptables -w -A FORWARD -p udp --dport 53 -j REJECT",
    );
    for to in [IpAddr::from(backend), SERVICE.parse().unwrap()] {
        let tracer = Tracer::start(&lab, &[0, 1], &[]);
        datagram(&client.netns, SocketAddr::new(to, 53), 8);
        let values = tracer.finish();
        let (path, refusal) = refused(&values, "UDP", "");
        assert_eq!(path["outcome"], "refused", "{path}");
        assert_eq!(hops(path), TO_NODE);
        assert_eq!(refusal["reason"], "port unreachable");
        assert_eq!(refusal["node"], *node.netns.name);
    }
}

#[test]
fn packet_is_too_big_for_the_tunnel() {
    let lab = lab();
    let (node, client, server) = (&lab.nodes[0], &lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    on(&node.netns, "ip link set dev flannel.1 mtu 1300");
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    datagram(&client.netns, SocketAddr::new(server.ipv4.into(), 53), 1350);
    let values = tracer.finish();
    let (path, refusal) = refused(&values, "UDP", "");
    assert_eq!(path["outcome"], "refused", "{path}");
    assert_eq!(hops(path), TO_NODE);
    assert_eq!(refusal["reason"], "fragmentation needed");
    assert_eq!(refusal["mtu"], 1300);
    assert_eq!(refusal["node"], *node.netns.name);
}

/// By the pod, where nobody listens, and by a node that resets in its name.
#[test]
fn connection_is_refused() {
    let lab = lab();
    let (node, client, server) = (&lab.nodes[0], &lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let to = SocketAddr::new(server.ipv4.into(), 80);
    for is_rejected in [false, true] {
        if is_rejected {
            let reject = "iptables -w -A FORWARD -p tcp -j REJECT --reject-with tcp-reset";
            on(&node.netns, reject);
        }
        let tracer = Tracer::start(&lab, &[0, 1], &[]);
        let connect = || TcpStream::connect_timeout(&to, TIMEOUT);
        client.netns.run(connect).unwrap().unwrap_err();
        let values = tracer.finish();
        let (path, refusal) = refused(&values, "TCP", "[SYN]");
        assert_eq!(refusal["reason"], "connection refused");
        if is_rejected {
            assert_eq!(path["outcome"], "refused", "{path}");
            assert_eq!(refusal["node"], *node.netns.name);
        } else {
            assert_eq!(refusal["pod"], "default/mypod3");
            assert_ne!(path["outcome"], "not_seen_further", "{path}");
        }
    }
}

/// A node without a tunnel refuses the packet that carries another: that one goes no further.
#[test]
fn node_refuses_a_packet_in_a_tunnel() {
    let lab = lab();
    let (node, other) = (&lab.nodes[0], &lab.nodes[1]);
    let (client, server) = (&node.pods[0], &other.pods[0]);
    on(&other.netns, "ip link del flannel.1");
    let tracer = Tracer::start(&lab, &[0], &[]);
    ping(&client.netns, server.ipv4.into(), 78, 1, 56).unwrap_err();
    let values = tracer.finish();
    let paths = paths_of(&values, "ICMP echo");
    let path = paths.iter().find(|path| path["outcome"] == "refused");
    let path = path.unwrap_or_else(|| panic!("{paths:?}"));
    let refusal = &path["refusal"];
    assert_eq!(refusal["reason"], "port unreachable", "{path}");
    assert_eq!(refusal["tunnel"], "vxlan", "{path}");
    assert_eq!(refusal["tunnel_port"], 8472, "{path}");
    assert_eq!(refusal["address"], other.underlay.to_string(), "{path}");
}
