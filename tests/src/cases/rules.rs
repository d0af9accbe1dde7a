//! Which rule of a firewall drops a packet: what the rules leave open, and what the kernel says of
//! it while they are traced.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use podtrace::lab::Lab;
use podtrace::lab::traffic::ping;
use podtrace::netns::NetNs;
use serde_json::Value;

use super::load::version;
use super::on;
use super::scenarios::lab;
use super::tracer::{Tracer, paths_of, replayed};

/// How long podtrace may take to hear of a rule.
const DEADLINE: Duration = Duration::from_secs(20);

/// A rule that drops what the first pod sends to the other node.
struct Fault<'a> {
    netns: &'a NetNs,
    /// Who is told what to break it, and to mend it.
    breaks: &'static str,
    mends: &'static str,
    /// What names the rule: the chain with its table, and words of the rule.
    chain: &'static str,
    words: &'static str,
}

fn faults(lab: &Lab) -> [Fault<'_>; 5] {
    let (node, other) = (&lab.nodes[0], &lab.nodes[1]);
    [
        Fault {
            netns: &other.pods[0].netns,
            breaks: "nft add table inet podfw
                     nft add chain inet podfw input { type filter hook input priority 0 ; }
                     nft add rule inet podfw input ip saddr 10.244.1.9 accept
                     nft add rule inet podfw input ip saddr 10.244.1.2 drop comment \"no-pod1\"",
            mends: "nft delete table inet podfw",
            chain: "rule 2 of chain input of table inet podfw",
            words: "ip saddr 10.244.1.2 drop comment \"no-pod1\"",
        },
        Fault {
            netns: &node.netns,
            breaks: "nft add table ip nodefw
                     nft add chain ip nodefw crossing { type filter hook forward priority 0 ; policy drop ; }",
            mends: "nft delete table ip nodefw",
            chain: "chain crossing of table ip nodefw",
            words: "policy",
        },
        Fault {
            netns: &node.netns,
            breaks: "iptables-nft -w -P FORWARD DROP",
            mends: "iptables-nft -w -P FORWARD ACCEPT",
            chain: "chain FORWARD of table ip filter",
            words: "policy",
        },
        Fault {
            netns: &other.netns,
            breaks: "iptables-nft -w -N KUBE-NWPLCY-DENY
                     iptables-nft -w -A FORWARD -j KUBE-NWPLCY-DENY
                     iptables-nft -w -A KUBE-NWPLCY-DENY -s 10.244.1.0/24 -m comment --comment default/deny -j DROP",
            mends: "iptables-nft -w -F
                    iptables-nft -w -X",
            chain: "rule 1 of chain KUBE-NWPLCY-DENY of table ip filter",
            words: "default/deny",
        },
        Fault {
            netns: &node.netns,
            breaks: "iptables-nft -w -A OUTPUT -p udp --dport 8472 -j DROP",
            mends: "iptables-nft -w -F",
            chain: "rule 1 of chain OUTPUT of table ip filter",
            words: "8472 drop",
        },
    ]
}

/// Sends an echo request and a datagram, which nobody answers.
fn send(lab: &Lab, to: IpAddr) {
    let client = &lab.nodes[0].pods[0];
    ping(&client.netns, to, 81, 1, 56).unwrap_err();
    let socket = client.netns.run(|| UdpSocket::bind("0.0.0.0:0"));
    socket
        .unwrap()
        .unwrap()
        .send_to(b"podtrace", (to, 53))
        .unwrap();
}

/// The verdicts on what was sent; of a packet that was corrected, the last one.
fn verdicts(values: &[Value], to: IpAddr) -> Vec<Value> {
    let of = |protocol| {
        let paths = paths_of(values, protocol);
        let mut sent = paths.into_iter().rev();
        let path = sent.find(|path| path["destination"] == to.to_string());
        path.unwrap_or_else(|| panic!("{values:?}"))["verdict"].clone()
    };
    vec![of("ICMP echo request"), of("UDP")]
}

#[test]
fn rules_that_could_have_dropped_a_packet_are_named() {
    let lab = lab();
    let to = lab.nodes[1].pods[0].ipv4.into();
    let recordings = tempfile::tempdir().unwrap();
    for (number, fault) in faults(&lab).into_iter().enumerate() {
        let file = recordings.path().join(format!("{number}.pcapng"));
        on(fault.netns, fault.breaks);
        let tracer = Tracer::start(&lab, &[0, 1], &["-w", file.to_str().unwrap()]);
        send(&lab, to);
        let values = tracer.finish();
        on(fault.netns, fault.mends);
        for values in [&values, &replayed(&file)] {
            for verdict in verdicts(values, to) {
                let candidates = verdict["candidates"].as_array().unwrap();
                let is_it = |one: &&Value| {
                    let text = one.as_str().unwrap();
                    text.contains(fault.chain) && text.contains(fault.words)
                };
                assert!(candidates.iter().any(|one| is_it(&one)), "{verdict}");
            }
        }
    }
}

#[test]
fn rule_that_dropped_a_packet_is_named_while_rules_are_traced() {
    if version() < (5, 12) {
        return;
    }
    let lab = lab();
    let to = lab.nodes[1].pods[0].ipv4.into();
    let recordings = tempfile::tempdir().unwrap();
    for (number, fault) in faults(&lab).into_iter().enumerate() {
        for (drops, options) in [
            (true, &["--trace-rules"][..]),
            (false, &["--trace-rules", "--no-drops"]),
        ] {
            let file = recordings.path().join(format!("{number}-{drops}.pcapng"));
            on(fault.netns, fault.breaks);
            let options = [options, &["-w", file.to_str().unwrap()]].concat();
            let mut tracer = Tracer::start(&lab, &[0, 1], &options);
            send(&lab, to);
            // Without the kernel's own record, headers in a tunnel tell of no path.
            let is_told = drops || !fault.words.contains("8472");
            if is_told {
                // Ended before, it would be under way.
                tracer.wait_for(|value| {
                    value["protocol"] == "udp"
                        && value["destination"] == to.to_string()
                        && value["verdict"]["cause"] == "firewall_rule"
                });
            }
            let values = tracer.finish();
            on(fault.netns, fault.mends);
            if !is_told {
                continue;
            }
            for values in [&values, &replayed(&file)] {
                for verdict in verdicts(values, to) {
                    assert_eq!(verdict["cause"], "firewall_rule", "{verdict}");
                    assert_eq!(verdict["confidence"], "sure", "{verdict}");
                    let what = verdict["what"].as_str().unwrap();
                    assert!(
                        what.contains(fault.chain) && what.contains(fault.words),
                        "{verdict}"
                    );
                }
            }
        }
    }
}

/// A set that has the packet makes its rule a candidate, and one that has it not makes none.
#[test]
fn sets_say_which_rules_could_have_dropped_a_packet() {
    let lab = lab();
    let (node, to) = (&lab.nodes[0], lab.nodes[1].pods[0].ipv4.into());
    on(
        &node.netns,
        "nft add table inet sets
         nft add set inet sets others { type ipv4_addr ; flags interval ; }
         nft add element inet sets others { 10.0.0.0/16, 10.244.1.3-10.244.1.99 }
         nft add set inet sets blocked { type ipv4_addr . ipv4_addr ; }
         nft add element inet sets blocked { 10.244.1.2 . 10.244.2.2, 10.244.1.9 . 10.244.2.2 }
         nft add map inet sets where { type ifname : verdict ; }
         nft add chain inet sets last
         nft add rule inet sets last ip saddr . ip daddr @blocked drop
         nft add element inet sets where { \"cni0\" : jump last }
         nft add chain inet sets crossing { type filter hook forward priority 0 ; }
         nft add rule inet sets crossing ip saddr @others drop
         nft add rule inet sets crossing meta l4proto { 6, 132 } drop
         nft add rule inet sets crossing iifname vmap @where",
    );
    let recordings = tempfile::tempdir().unwrap();
    let file = recordings.path().join("sets.pcapng");
    let tracer = Tracer::start(&lab, &[0, 1], &["-w", file.to_str().unwrap()]);
    send(&lab, to);
    let values = tracer.finish();
    on(&node.netns, "nft delete table inet sets");
    for values in [&values, &replayed(&file)] {
        for verdict in verdicts(values, to) {
            let rules = verdict["rules"].as_array().unwrap();
            let [rule] = &rules[..] else {
                panic!("{verdict}");
            };
            assert_eq!(rule["chain"], "last", "{verdict}");
            assert_eq!(
                rule["text"], "ip saddr . ip daddr @blocked drop",
                "{verdict}"
            );
            assert_eq!(rule["is_certain"], true, "{verdict}");
            assert!(rule["sets"].is_null(), "{verdict}");
        }
    }
}

/// The hook at which the kernel drops a packet is told from others, and what connection tracking knew
/// stands only where it was asked.
#[test]
fn hooks_that_come_before_connection_tracking_are_named() {
    let lab = lab();
    let (node, to) = (&lab.nodes[0], lab.nodes[1].pods[0].ipv4.into());
    for (family, hook, told) in [
        (
            "ip",
            "prerouting priority -300",
            "hook prerouting, priority -300",
        ),
        (
            "netdev",
            "ingress device cni0 priority 0",
            "hook netdev ingress, priority 0",
        ),
        (
            "bridge",
            "input priority 0",
            "hook bridge input, priority 0",
        ),
    ] {
        on(
            &node.netns,
            &format!(
                "nft add table {family} early
                 nft add chain {family} early some {{ type filter hook {hook} ; }}
                 nft add rule {family} early some ip daddr 10.244.2.2 drop"
            ),
        );
        let tracer = Tracer::start(&lab, &[0, 1], &[]);
        send(&lab, to);
        let values = tracer.finish();
        on(&node.netns, &format!("nft delete table {family} early"));
        for verdict in verdicts(&values, to) {
            let words = verdict.to_string();
            assert!(words.contains("rule 1 of chain some of table"), "{words}");
            assert!(words.contains(told), "{words}");
            assert!(!words.contains("connection tracking"), "{words}");
        }
    }
}

/// IP has found the socket by the time that the firewall of its pod is asked.
#[test]
fn answer_that_the_pod_of_its_socket_drops_is_not_delivered() {
    let lab = lab();
    let (client, server) = (&lab.nodes[0].pods[0].netns, &lab.nodes[1].pods[0]);
    let to = SocketAddr::from((server.ipv4, 80));
    let listener = server.netns.run(|| TcpListener::bind("0.0.0.0:80"));
    let _listener = listener.unwrap().unwrap();
    on(
        client,
        "nft add table inet podfw
         nft add chain inet podfw input { type filter hook input priority 0 ; }
         nft add rule inet podfw input tcp sport 80 drop",
    );
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    let connect = || TcpStream::connect_timeout(&to, Duration::from_millis(1500));
    client.run(connect).unwrap().unwrap_err();
    let values = tracer.finish();
    let is_answer = |value: &&Value| {
        value["type"] == "path"
            && value["source"] == server.ipv4.to_string()
            && value["protocol"] == "tcp"
    };
    let answers: Vec<_> = values.iter().filter(is_answer).collect();
    assert!(!answers.is_empty(), "{values:?}");
    for answer in answers {
        assert_eq!(answer["outcome"], "dropped", "{answer}");
    }
}

/// A policy that comes while a connection is open.
#[test]
fn rule_that_resets_an_open_connection_is_named() {
    let lab = lab();
    let (node, client) = (&lab.nodes[0].netns, &lab.nodes[0].pods[0].netns);
    let server = &lab.nodes[1].pods[0];
    let to = SocketAddr::from((server.ipv4, 80));
    let listener = server.netns.run(|| TcpListener::bind("0.0.0.0:80"));
    let listener = listener.unwrap().unwrap();
    let recordings = tempfile::tempdir().unwrap();
    let file = recordings.path().join("reset.pcapng");
    let mut tracer = Tracer::start(&lab, &[0, 1], &["-w", file.to_str().unwrap()]);
    let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(3));
    let mut stream = client.run(connect).unwrap().unwrap();
    let _accepted = listener.accept().unwrap();
    stream.write_all(b"before").unwrap();
    on(
        node,
        "nft add table ip late
         nft add chain ip late crossing { type filter hook forward priority 0 ; }
         nft add rule ip late crossing tcp dport 80 reject with tcp reset",
    );
    // What podtrace read before the rule came does not tell of it: new connections are reset, too,
    // and show when it does.
    let deadline = Instant::now() + DEADLINE;
    let mut is_known = false;
    while !is_known {
        assert!(Instant::now() < deadline, "the rule stays unknown");
        client.run(connect).unwrap().unwrap_err();
        let refused = tracer.wait_for(|value| value["outcome"] == "refused");
        let what = refused["verdict"]["what"].as_str().unwrap();
        is_known = what.contains("chain crossing of table ip late");
    }
    stream.write_all(b"behind").unwrap();
    let error = stream.read(&mut [0; 9]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let values = tracer.finish();
    on(node, "nft delete table ip late");
    for values in [&values, &replayed(&file)] {
        let refused = |value: &&Value| value["outcome"] == "refused";
        let paths: Vec<_> = values.iter().filter(refused).collect();
        let path = paths.last().unwrap_or_else(|| panic!("{values:?}"));
        let what = path["verdict"]["what"].as_str().unwrap();
        assert!(what.contains("chain crossing of table ip late"), "{path}");
        assert_eq!(path["refusal"]["reason"], "connection reset", "{path}");
    }
}

/// The tables of nftables in a namespace.
fn tables(netns: &NetNs) -> String {
    let list = || Command::new("nft").args(["list", "tables"]).output();
    String::from_utf8(netns.run(list).unwrap().unwrap().stdout).unwrap()
}

#[test]
fn no_table_is_left_behind() {
    if version() < (5, 12) {
        return;
    }
    let lab = lab();
    let node = &lab.nodes[0];
    let spaces = || [&node.netns, &node.pods[0].netns];
    for is_killed in [false, true] {
        let tracer = Tracer::start(&lab, &[0], &["--trace-rules"]);
        for netns in spaces() {
            assert!(tables(netns).contains("podtrace-"), "{}", tables(netns));
        }
        if is_killed {
            tracer.kill();
        } else {
            tracer.finish();
        }
        for netns in spaces() {
            assert_eq!(tables(netns), "");
        }
    }
}
