//! Every scenario gives the full, ordered path, for every protocol.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use podtrace::lab::traffic::{ping, tcp_exchange, udp_exchange};
use podtrace::lab::{Lab, LabSpec};
use serde_json::Value;

use super::tracer::{Tracer, hops, paths};

/// Two nodes with two pods each.
pub(super) fn lab() -> Lab {
    Lab::new(LabSpec {
        nodes: 2,
        pods_per_node: 2,
        ipv6: true,
    })
    .unwrap()
}

const LOCALHOST: [&str; 2] = ["mypod1/lo egress", "mypod1/lo ingress"];
const ONE_NODE: [&str; 4] = [
    "mypod1/eth0 egress",
    "1/veth0101 ingress",
    "1/veth0102 egress",
    "mypod2/eth0 ingress",
];
pub(super) const TWO_NODES: [&str; 10] = [
    "mypod1/eth0 egress",
    "1/veth0101 ingress",
    "1/cni0 ingress",
    "1/flannel.1 egress",
    "1/eth0 egress",
    "2/eth0 ingress",
    "2/flannel.1 ingress",
    "2/cni0 egress",
    "2/veth0201 egress",
    "mypod3/eth0 ingress",
];

#[track_caller]
fn check_path(path: &Value, expected: &[&str]) {
    assert_eq!(hops(path), expected, "{path}");
    assert_eq!(path["outcome"], "delivered", "{path}");
    let times: Vec<_> = path["hops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hop| hop["time_ns"].as_u64().unwrap())
        .collect();
    assert!(times.is_sorted(), "{path}");
}

/// Pings, TCP and UDP from mypod1 in one scenario; the expected hops.
#[track_caller]
fn check_scenario(to_node: usize, to_pod: usize, localhost: bool, expected: &[&str]) {
    let lab = lab();
    let from = &lab.nodes[0].pods[0];
    let to = &lab.nodes[to_node].pods[to_pod];
    let mut ends: Vec<(IpAddr, IpAddr)> = vec![
        (from.ipv4.into(), to.ipv4.into()),
        (from.ipv6.into(), to.ipv6.into()),
    ];
    if localhost {
        ends = vec![
            (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()),
            (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
        ];
    }
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    for (_, destination) in &ends {
        ping(&from.netns, *destination, 23, 3, 56).unwrap();
        let tcp = SocketAddr::new(*destination, 8080);
        tcp_exchange(&from.netns, &to.netns, tcp, 1000).unwrap();
        let udp = SocketAddr::new(*destination, 5353);
        udp_exchange(&from.netns, &to.netns, udp, 3, b"same payload").unwrap();
    }
    let values = tracer.finish();
    for (source, destination) in &ends {
        let version = if source.is_ipv4() { "ICMP " } else { "ICMPv6 " };
        let (source, destination) = (source.to_string(), destination.to_string());
        let what = format!("{version}echo request id 23");
        let requests: Vec<_> = paths(&values, &what, &source, &destination).collect();
        assert_eq!(requests.len(), 3);
        for path in requests {
            check_path(path, expected);
        }
        let what = format!("{version}echo reply id 23");
        let replies: Vec<_> = paths(&values, &what, &destination, &source).collect();
        assert_eq!(replies.len(), 3);
        for path in replies {
            assert_eq!(path["hops"].as_array().unwrap().len(), expected.len());
            assert_eq!(path["outcome"], "delivered");
            assert!(path["rtt_ns"].as_u64().unwrap() > 0, "{path}");
        }
        let syns: Vec<_> = paths(&values, "TCP ", &source, &destination)
            .filter(|path| path["what"].as_str().unwrap().contains("> 8080 [SYN]"))
            .collect();
        assert_eq!(syns.len(), 1);
        check_path(syns[0], expected);
        let datagrams: Vec<_> = paths(&values, "UDP ", &source, &destination)
            .filter(|path| path["what"].as_str().unwrap().contains("> 5353 len 12"))
            .collect();
        assert_eq!(datagrams.len(), 3);
        for path in datagrams {
            check_path(path, expected);
        }
    }
}

#[test]
fn container_to_container_in_one_pod() {
    check_scenario(0, 0, true, &LOCALHOST);
}

#[test]
fn pod_to_pod_on_one_node() {
    check_scenario(0, 1, false, &ONE_NODE);
}

#[test]
fn pod_to_pod_across_nodes() {
    check_scenario(1, 0, false, &TWO_NODES);
}

#[test]
fn one_node_alone_sees_it_leave_for_the_vtep() {
    let lab = lab();
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let tracer = Tracer::start(&lab, &[0], &[]);
    ping(&from.netns, to.ipv4.into(), 7, 1, 56).unwrap();
    let values = tracer.finish();
    let (source, destination) = (from.ipv4.to_string(), to.ipv4.to_string());
    let request = paths(&values, "ICMP echo request id 7", &source, &destination)
        .next()
        .unwrap();
    assert_eq!(hops(request), TWO_NODES[..5]);
    assert_eq!(request["outcome"], "left_for_vtep");
    assert_eq!(request["vtep"], lab.nodes[1].underlay.to_string());
    assert_eq!(request["hops"][4]["tunnel"]["vni"], 1);
    assert_eq!(request["source_pod"], "default/mypod1");
    let reply = paths(&values, "ICMP echo reply id 7", &destination, &source)
        .next()
        .unwrap();
    assert_eq!(reply["outcome"], "delivered");
    assert_eq!(reply["rtt_at"].as_array().unwrap().len(), 5, "{reply}");
}

#[test]
fn parallel_flows_are_not_mixed_up() {
    let lab = lab();
    let from = &lab.nodes[0].pods[0];
    let to = &lab.nodes[1].pods[0];
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    std::thread::scope(|scope| {
        for id in [101, 102, 103] {
            scope.spawn(move || ping(&from.netns, to.ipv4.into(), id, 5, 56).unwrap());
        }
    });
    let values = tracer.finish();
    let (source, destination) = (from.ipv4.to_string(), to.ipv4.to_string());
    for id in [101, 102, 103] {
        for sequence in paths(
            &values,
            &format!("ICMP echo request id {id} "),
            &source,
            &destination,
        ) {
            check_path(sequence, &TWO_NODES);
        }
        let what = format!("ICMP echo request id {id} ");
        assert_eq!(paths(&values, &what, &source, &destination).count(), 5);
    }
}

#[test]
fn question_for_an_address_that_nobody_has_is_unanswered() {
    let lab = lab();
    let from = &lab.nodes[0].pods[0];
    let mut tracer = Tracer::start(&lab, &[0], &["--hop-timeout", "100ms"]);
    let nobody: IpAddr = "10.244.1.99".parse().unwrap();
    ping(&from.netns, nobody, 9, 1, 8).unwrap_err();
    let path = tracer.wait_for(|value| {
        value["type"] == "path"
            && value["what"] == format!("ARP who has {nobody} tell {}", from.ipv4)
    });
    // The other pod and the node ignore it: the request was not for them.
    assert_eq!(path["outcome"], "unanswered", "{path}");
    tracer.finish();
}

#[test]
fn super_packets_are_seen_whole_on_every_hop() {
    let lab = lab();
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    let tracer = Tracer::start(&lab, &[0], &[]);
    let address = SocketAddr::new(to.ipv4.into(), 8080);
    tcp_exchange(&from.netns, &to.netns, address, 1_000_000).unwrap();
    let values = tracer.finish();
    let large: Vec<_> = values
        .iter()
        .filter(|value| value["gso_segments"].as_u64() > Some(1))
        .collect();
    assert!(!large.is_empty());
    let (source, destination) = (from.ipv4.to_string(), to.ipv4.to_string());
    let mut whole = 0;
    for path in paths(&values, "TCP ", &source, &destination) {
        if path["hops"][0]["bytes"].as_u64() > Some(1514) {
            check_path(path, &ONE_NODE);
            whole += 1;
        }
    }
    assert!(whole > 0);
}

#[test]
fn fragments_are_followed_each() {
    let lab = lab();
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    for address in [IpAddr::from(to.ipv4), IpAddr::from(to.ipv6)] {
        ping(&from.netns, address, 77, 1, 3000).unwrap();
    }
    let values = tracer.finish();
    for (source, destination) in [
        (from.ipv4.to_string(), to.ipv4.to_string()),
        (from.ipv6.to_string(), to.ipv6.to_string()),
    ] {
        let fragments: Vec<_> = paths(&values, "", &source, &destination)
            .filter(|path| path["what"].as_str().unwrap().contains("fragment id"))
            .collect();
        assert_eq!(fragments.len(), 3, "{fragments:#?}");
        for path in fragments {
            check_path(path, &TWO_NODES);
        }
    }
}

/// tcpdump, independent of podtrace, counts the same packets at the same interface.
#[test]
fn tcpdump_counts_the_same_packets() {
    let lab = lab();
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut tcpdump = lab.nodes[0]
        .netns
        .run(|| {
            // It ends by itself at the twentieth, or fails at the deadline.
            std::process::Command::new("timeout")
                .args([
                    "10",
                    "tcpdump",
                    "--immediate-mode",
                    "-c",
                    "20",
                    "-U",
                    "-s",
                    "128",
                ])
                .args(["-i", "veth0101", "-Q", "in", "-Z", "root", "-w"])
                .arg(file.path())
                .arg("icmp")
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .unwrap();
    let mut stderr = std::io::BufReader::new(tcpdump.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    assert!(line.contains("listening on veth0101"), "{line}");
    let tracer = Tracer::start(&lab, &[0], &[]);
    ping(&from.netns, to.ipv4.into(), 55, 20, 56).unwrap();
    let values = tracer.finish();
    assert!(tcpdump.wait().unwrap().success());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut rest).unwrap();
    let ours = values
        .iter()
        .filter(|value| {
            value["type"] == "event"
                && value["interface"] == "veth0101"
                && value["direction"] == "ingress"
                && value["what"].as_str().unwrap().starts_with("ICMP ")
        })
        .count();
    assert_eq!(ours, 20);
    assert!(rest.contains("20 packets captured"), "{rest}");
}

#[test]
fn node_pings_a_remote_pod_and_its_reply_is_one_path() {
    let lab = lab();
    let (node, to) = (&lab.nodes[0], &lab.nodes[1].pods[0]);
    let tracer = Tracer::start(&lab, &[0], &[]);
    // The same numbers twice: each reply belongs to its own request.
    for _ in 0..2 {
        ping(&node.netns, to.ipv4.into(), 31, 1, 56).unwrap();
    }
    let values = tracer.finish();
    let (source, destination) = (to.ipv4.to_string(), "10.244.1.0");
    let replies: Vec<_> = paths(&values, "ICMP echo reply id 31", &source, destination).collect();
    assert_eq!(replies.len(), 2);
    for path in replies {
        check_path(path, &["1/eth0 ingress", "1/flannel.1 ingress"]);
        let request = paths(&values, "ICMP echo request id 31", destination, &source)
            .filter(|request| request["packet"].as_u64() < path["packet"].as_u64())
            .last()
            .unwrap();
        let time = |path: &Value, hop: usize| path["hops"][hop]["time_ns"].as_u64().unwrap();
        assert_eq!(
            path["rtt_ns"].as_u64().unwrap(),
            time(path, 1) - time(request, 0)
        );
    }
}
