//! A transfer in large packets, which interfaces cut on the way, is seen as a whole.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use podtrace::lab::Lab;
use podtrace::netns::NetNs;
use serde_json::Value;

use super::super::on;
use super::super::scenarios::lab;
use super::super::tracer::{Tracer, paths_of};
use super::{SERVICE, address, check, masquerade, serve, tcp_request};
use crate::cri_lab::{CriLab, CriLabSpec, PodSpec};

const BYTES: usize = 1 << 20;

/// A wire that takes no large packets, as every real wire: the uplinks segment what they send.
fn segment_on_the_wire(lab: &Lab) {
    for node in &lab.nodes {
        on(&node.netns, "ip link set dev eth0 gso_max_segs 1");
    }
}

/// How many packets went on in pieces.
fn in_segments(paths: &[&Value]) -> usize {
    let has_segments = |path: &&&Value| {
        let mut hops = path["hops"].as_array().unwrap().iter();
        hops.any(|hop| hop.get("segments").is_some())
    };
    paths.iter().filter(has_segments).count()
}

#[test]
fn transfer_over_a_wire_that_segments() {
    let lab = lab();
    segment_on_the_wire(&lab);
    let (client, server) = (&lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    let at = SocketAddr::new(server.ipv4.into(), 8080);
    tcp_request(&client.netns, at, &server.netns, at, BYTES);
    let values = tracer.finish();
    let paths = paths_of(&values, "TCP");
    for path in &paths {
        assert_eq!(path["outcome"], "delivered", "{path}");
    }
    let in_segments = in_segments(&paths);
    assert!(in_segments > 10, "{in_segments} of {}", paths.len());
}

/// The packets are cut before their ends are translated: by the pods' own interfaces on the way
/// to the Service, by the wire on the way back.
#[test]
fn transfer_through_a_service_in_segments() {
    let lab = lab();
    segment_on_the_wire(&lab);
    let (node, client, server) = (&lab.nodes[0], &lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    for pod in [client, server] {
        on(&pod.netns, "ethtool -K eth0 tso off");
    }
    let at = SocketAddr::new(server.ipv4.into(), 8080);
    serve(node, "tcp", address(SERVICE, 80), at);
    for is_masqueraded in [false, true] {
        if is_masqueraded {
            masquerade(node, at.ip());
        }
        let tracer = Tracer::start(&lab, &[0, 1], &[]);
        let to = address(SERVICE, 80);
        tcp_request(&client.netns, to, &server.netns, at, BYTES);
        let values = tracer.finish();
        check(&values, "TCP", 50, is_masqueraded);
        let paths = paths_of(&values, "TCP");
        let in_segments = in_segments(&paths);
        assert!(in_segments > 10, "{in_segments} of {}", paths.len());
    }
}

/// A process hands the kernel several datagrams at once, and the wire takes one by one.
#[test]
fn datagrams_that_are_sent_at_once_over_a_wire() {
    let lab = lab();
    segment_on_the_wire(&lab);
    let client = &lab.nodes[0].pods[0];
    for (node, pod, segments) in [(0, 1, None), (1, 0, Some(4))] {
        let server = &lab.nodes[node].pods[pod];
        for to in [server.ipv4.into(), server.ipv6.into()] {
            let to = SocketAddr::new(to, 443);
            let tracer = Tracer::start(&lab, &[0, 1], &[]);
            let receiver = socket(&server.netns, to);
            send_at_once(&client.netns, to);
            receive(&receiver);
            let values = tracer.finish();
            let paths = paths_of(&values, "UDP");
            let [path] = &paths[..] else {
                panic!("{} paths to {to}: {paths:?}", paths.len());
            };
            check_datagrams(path, segments);
        }
    }
}

/// The same on one node: only the receiving socket takes them one by one.
#[test]
fn datagrams_that_are_sent_at_once_to_a_socket() {
    let lab = CriLab::new(CriLabSpec {
        nodes: 1,
        ipv6: false,
    });
    let lab = lab.unwrap();
    let pod = lab.nodes[0].run_pod(&PodSpec::default()).unwrap();
    pod.serve_udp("container2", 5353).unwrap();
    let mut tracer = Tracer::on(&lab.nodes[0], &[]);
    let to = SocketAddr::new(pod.ipv4().unwrap().into(), 5353);
    let sender = send_at_once(&lab.nodes[0].netns, to);
    receive(&sender);
    let is_request = |value: &Value| {
        let what = value["what"].as_str().unwrap_or_default();
        what.contains("> 5353 len 3500") && value["outcome"].is_string()
    };
    tracer.wait_for(is_request);
    let values = tracer.finish();
    let path = values.iter().find(|value| is_request(value)).unwrap();
    check_datagrams(path, Some(4));
    let last = path["hops"].as_array().unwrap().last().unwrap();
    assert_eq!(last["direction"], "socket", "{path}");
}

/// All have arrived, in packets of their own at last.
#[track_caller]
fn check_datagrams(path: &Value, segments: Option<u64>) {
    assert_eq!(path["outcome"], "delivered", "{path}");
    assert_eq!(path["ambiguous"], false, "{path}");
    let last = path["hops"].as_array().unwrap().last().unwrap();
    let seen = last["segments"].as_u64();
    assert_eq!(seen, segments, "{path}");
}

fn socket(netns: &NetNs, at: SocketAddr) -> UdpSocket {
    let socket = netns.run(|| UdpSocket::bind(at)).unwrap().unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

const LENGTHS: [usize; 4] = [1000, 1000, 1000, 500];

fn send_at_once(client: &NetNs, to: SocketAddr) -> UdpSocket {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let sender = socket(client, any.parse().unwrap());
    setsockopt(&sender, sockopt::UdpGsoSegment, &1000).unwrap();
    let all = vec![7; LENGTHS.iter().sum()];
    sender.send_to(&all, to).unwrap();
    sender
}

fn receive(receiver: &UdpSocket) {
    let mut buffer = [0; 2000];
    let lengths = LENGTHS.map(|_| receiver.recv(&mut buffer).unwrap());
    assert_eq!(lengths, LENGTHS);
}
