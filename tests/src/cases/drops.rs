//! Where the kernel drops a packet, a trace and its recording say so, and why.

use std::net::{IpAddr, UdpSocket};
use std::process::Stdio;

use podtrace::lab::traffic::ping;
use podtrace::lab::{Lab, LabPod};
use podtrace::netns::NetNs;
use serde_json::Value;

use super::load::version;
use super::on;
use super::scenarios::lab;
use super::tracer::{Tracer, hops, paths_of, podtrace};

/// A fault: who is told what to break it, and to mend it.
struct Fault<'a> {
    netns: &'a NetNs,
    breaks: String,
    mends: String,
    /// The last hop.
    last: &'static str,
    /// The kernel's reason, since Linux 6.0.
    reason: &'static str,
}

fn drop_rule<'a>(netns: &'a NetNs, rule: &str, last: &'static str) -> Fault<'a> {
    Fault {
        netns,
        breaks: format!("iptables -w -A {rule} -j DROP"),
        mends: format!("iptables -w -D {rule} -j DROP"),
        last,
        reason: "NETFILTER_DROP",
    }
}

/// Faults on the way from the first pod of the first node to the first of the second.
fn faults(lab: &Lab) -> Vec<Fault<'_>> {
    let (node, other) = (&lab.nodes[0], &lab.nodes[1]);
    let server = &other.pods[0];
    let to = server.ipv4;
    vec![
        drop_rule(&node.netns, &format!("FORWARD -d {to}"), "1/cni0 ingress"),
        drop_rule(
            &node.netns,
            "OUTPUT -p udp --dport 8472",
            "1/flannel.1 egress",
        ),
        drop_rule(&other.netns, "INPUT -p udp --dport 8472", "2/eth0 ingress"),
        drop_rule(
            &other.netns,
            &format!("FORWARD -d {to}"),
            "2/flannel.1 ingress",
        ),
        drop_rule(&server.netns, "INPUT", "mypod3/eth0 ingress"),
        Fault {
            netns: &node.netns,
            breaks: format!("ip route add blackhole {to}/32"),
            mends: format!("ip route del blackhole {to}/32"),
            last: "1/cni0 ingress",
            reason: "",
        },
    ]
}

/// Sends an echo request and a datagram.
fn send(client: &LabPod, to: IpAddr) {
    ping(&client.netns, to, 79, 1, 56).unwrap_err();
    let socket = client.netns.run(|| UdpSocket::bind("0.0.0.0:0"));
    socket
        .unwrap()
        .unwrap()
        .send_to(b"podtrace", (to, 53))
        .unwrap();
}

/// The paths from a replay of a recording.
pub(super) fn replayed(file: &std::path::Path) -> Vec<Value> {
    let replay = podtrace()
        .args(["replay", "-o", "json"])
        .arg(file)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(replay.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn packets_that_a_kernel_drops_say_where_and_why() {
    let lab = lab();
    let client = &lab.nodes[0].pods[0];
    let to = lab.nodes[1].pods[0].ipv4.into();
    let recordings = tempfile::tempdir().unwrap();
    for (number, fault) in faults(&lab).into_iter().enumerate() {
        let file = recordings.path().join(format!("{number}.pcapng"));
        on(fault.netns, &fault.breaks);
        let tracer = Tracer::start(&lab, &[0, 1], &["-w", file.to_str().unwrap()]);
        send(client, to);
        let values = tracer.finish();
        on(fault.netns, &fault.mends);
        for values in [&values, &replayed(&file)] {
            for protocol in ["ICMP echo request", "UDP"] {
                let paths = paths_of(values, protocol);
                // The last one corrects those before it.
                let sent = paths
                    .iter()
                    .rfind(|path| path["destination"] == to.to_string());
                let path = sent.unwrap_or_else(|| panic!("{}: {paths:?}", fault.breaks));
                assert_eq!(path["outcome"], "dropped", "{}: {path}", fault.breaks);
                assert_eq!(hops(path).last().unwrap(), fault.last, "{path}");
                assert!(path["dropped"]["function"].is_string(), "{path}");
                if version() >= (6, 0) && !fault.reason.is_empty() {
                    assert_eq!(path["dropped"]["reason"], fault.reason, "{path}");
                }
            }
        }
    }
}

/// Nothing is called dropped in a network without faults.
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
