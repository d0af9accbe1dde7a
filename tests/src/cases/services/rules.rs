//! The kernel has two kinds of rules: x_tables and nf_tables. A Service by each is seen as a whole.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use podtrace::lab::LabNode;
use podtrace::lab::traffic::ping;

use super::super::tracer::{Tracer, paths_of};
use super::super::{on, scenarios::lab};
use super::{
    SERVICE, SERVICE6, address, ask_both, check, iptables, masquerade_by, serve_by, tcp_request,
    translated,
};

/// Calls `check` with the end of the names of the programs for each kind of rules that is
/// installed here and that the kernel has.
fn each_kind_of_rules(mut check: impl FnMut(&'static str)) {
    let mut count = 0;
    for kind in ["legacy", "nft"] {
        let lab = lab();
        if has_rules(&lab.nodes[0], kind) {
            check(kind);
            count += 1;
        } else {
            eprintln!("left out: iptables-{kind} does not work here");
        }
    }
    assert!(count > 0, "no iptables works here");
}

fn has_rules(node: &LabNode, kind: &str) -> bool {
    ["iptables", "ip6tables"].iter().all(|program| {
        let mut list = Command::new(format!("{program}-{kind}"));
        list.args(["-w", "-t", "nat", "-S"]);
        let output = node.netns.run(|| list.output()).unwrap();
        output.is_ok_and(|output| output.status.success())
    })
}

/// From a pod to a backend on another node: the client's node gives the packet another receiver,
/// and then another sender.
#[test]
fn service_and_masquerade_by_each_kind_of_rules() {
    each_kind_of_rules(|kind| {
        let lab = lab();
        let (node, client, server) = (&lab.nodes[0], &lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
        let backends = [
            (SERVICE, IpAddr::from(server.ipv4)),
            (SERVICE6, server.ipv6.into()),
        ];
        for (service, backend) in backends {
            let program = format!("{}-{kind}", iptables(backend));
            for (protocol, from, to) in [("tcp", 80, 8080), ("udp", 53, 5353)] {
                let (service, backend) = (address(service, from), (backend, to).into());
                serve_by(&program, node, protocol, service, backend);
            }
            masquerade_by(&program, node, backend);
        }
        let tracer = Tracer::start(&lab, &[0, 1], &[]);
        for (service, backend) in backends {
            ask_both(client, server, service, backend);
        }
        let values = tracer.finish();
        check(&values, "TCP", 2 * 9, true);
        check(&values, "UDP", 2 * 10, true);
    });
}

/// Rules that nft wrote itself, without iptables: what a modern kube-proxy does.
#[test]
fn service_and_masquerade_by_native_nft() {
    let lab = lab();
    let (node, client, server) = (&lab.nodes[0], &lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let backends = [
        ("ip", SERVICE, IpAddr::from(server.ipv4)),
        ("ip6", SERVICE6, server.ipv6.into()),
    ];
    for (family, service, backend) in backends {
        let [tcp, udp] = [8080, 5353].map(|port| SocketAddr::new(backend, port));
        let rules = format!(
            "nft add table {family} services
            nft add chain {family} services pre {{ type nat hook prerouting priority -100 ; }}
            nft add chain {family} services post {{ type nat hook postrouting priority 100 ; }}
            nft add rule {family} services pre {family} daddr {service} tcp dport 80 dnat to {tcp}
            nft add rule {family} services pre {family} daddr {service} udp dport 53 dnat to {udp}
            nft add rule {family} services post {family} daddr {backend} masquerade"
        );
        on(&node.netns, &rules);
    }
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    for (_, service, backend) in backends {
        ask_both(client, server, service, backend);
    }
    let values = tracer.finish();
    check(&values, "TCP", 2 * 9, true);
    check(&values, "UDP", 2 * 10, true);
}

/// From another node to a port of this node, and from a pod to another node's address.
#[test]
fn node_port_and_masqueraded_ping_by_each_kind_of_rules() {
    each_kind_of_rules(|kind| {
        let lab = lab();
        let [node, other] = &lab.nodes[..] else {
            panic!("two nodes");
        };
        let program = format!("iptables-{kind}");
        let (client, server) = (&node.pods[0], &node.pods[1]);
        let port = SocketAddr::new(node.underlay.into(), 30080);
        serve_by(&program, node, "tcp", port, (server.ipv4, 8080).into());
        for to in [server.ipv4.into(), other.underlay.into()] {
            masquerade_by(&program, node, to);
        }
        let tracer = Tracer::start(&lab, &[0, 1], &[]);
        let at = (server.ipv4, 8080).into();
        tcp_request(&other.netns, port, &server.netns, at, 1000);
        ping(&client.netns, other.underlay.into(), 77, 3, 56).unwrap();
        let values = tracer.finish();
        let requests = paths_of(&values, "TCP");
        assert!(requests.len() >= 9);
        let pings = paths_of(&values, "ICMP echo");
        assert_eq!(pings.len(), 6);
        for (paths, is_both) in [(requests, true), (pings, false)] {
            for path in paths {
                assert_eq!(path["outcome"], "delivered", "{path}");
                let (source, destination) = translated(path);
                assert_eq!(source && destination, is_both, "{path}");
                assert!(source || destination, "{path}");
            }
        }
    });
}
