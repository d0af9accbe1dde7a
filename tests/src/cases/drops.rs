//! Nothing is called dropped in a network without faults.

use std::net::IpAddr;

use podtrace::lab::traffic::ping;

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
