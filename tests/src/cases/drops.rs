//! Nothing is called dropped in a network without faults, and what is dropped is not delivered.

use std::net::{IpAddr, UdpSocket};

use podtrace::lab::traffic::ping;
use serde_json::Value;

use super::scenarios::lab;
use super::tracer::Tracer;

#[test]
fn healthy_packets_are_not_dropped() {
    let lab = lab();
    let client = &lab.nodes[0].pods[0];
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    for to in [&lab.nodes[1].pods[0], &lab.nodes[0].pods[1]] {
        for (number, to) in (80..).zip([IpAddr::from(to.ipv4), to.ipv6.into()]) {
            ping(&client.netns, to, number, 5, 56).unwrap();
        }
    }
    let values = tracer.finish();
    let summary = values.last().unwrap();
    assert_eq!(summary["outcomes"]["dropped"], 0, "{summary}");
    assert_eq!(summary["outcomes"]["not_seen_further"], 0, "{summary}");
}

/// The kernel tells of the first drops of a flood only.
#[test]
fn datagrams_that_nobody_reads_are_not_delivered() {
    const SENT: usize = 3000;
    const PORT: u16 = 7777;
    let lab = lab();
    let [client, server] = [0, 1].map(|pod| &lab.nodes[0].pods[pod]);
    let bind = |port| move || UdpSocket::bind(("0.0.0.0", port));
    let sink = server.netns.run(bind(PORT)).unwrap().unwrap();
    sink.set_nonblocking(true).unwrap();
    let source = client.netns.run(bind(0)).unwrap().unwrap();
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    for number in 0..SENT {
        let mut datagram = [7; 800];
        datagram[..8].copy_from_slice(&number.to_be_bytes());
        source.send_to(&datagram, (server.ipv4, PORT)).unwrap();
    }
    let values = tracer.finish();
    let mut buffer = [0; 800];
    let read = std::iter::from_fn(|| sink.recv(&mut buffer).ok()).count();
    assert!((1..SENT).contains(&read), "{read}");
    let is_ours = |value: &&Value| value["type"] == "path" && value["destination_port"] == PORT;
    let count = |outcome: &str| {
        let paths = values.iter().filter(is_ours);
        paths.filter(|path| path["outcome"] == outcome).count()
    };
    let [delivered, dropped, unknown] = ["delivered", "dropped", "unknown"].map(count);
    let facts = format!("{read} read: {delivered} delivered, {dropped} dropped, {unknown} unknown");
    assert!(delivered <= read && dropped > 0 && unknown > 0, "{facts}");
    let is_finding = |value: &Value| value["kind"] == "receive_buffer_full";
    assert!(values.iter().any(is_finding), "{facts}");
}
