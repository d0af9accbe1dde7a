//! The text output of each scenario, from the CRI lab.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::cri_lab::{CriLab, CriLabSpec, CriPod, PodSpec};

use super::tracer::{ALL_TRACED, interrupt, podtrace};

/// Traces `work` until a line with `last` has come; returns the text.
fn traced(lab: &CriLab, last: &str, work: impl FnOnce()) -> String {
    let mut command = podtrace();
    command.args(["trace", "--color", "never", "--duration", "20s"]);
    for node in &lab.nodes {
        command.args(["--netns", &node.netns.name, "--node-name", &node.name]);
        command.arg("--cri-socket").arg(&node.socket);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = lines.next().unwrap().unwrap() + "\n";
    assert!(text.starts_with("podtrace on node1"), "{text}");
    if text.contains(" of ") {
        for line in lines.by_ref().map(Result::unwrap) {
            text += &line;
            text.push('\n');
            if line.contains(ALL_TRACED) {
                break;
            }
        }
    }
    work();
    for line in lines {
        let line = line.unwrap();
        if line.contains(last) {
            interrupt(&child);
        }
        text += &line;
        text.push('\n');
    }
    assert!(child.wait().unwrap().success());
    println!("{text}");
    text
}

fn run(lab: &CriLab, node: usize, name: &str) -> CriPod {
    let spec = PodSpec {
        name,
        ..PodSpec::default()
    };
    lab.nodes[node].run_pod(&spec).unwrap()
}

fn lab(nodes: u8) -> CriLab {
    CriLab::new(CriLabSpec { nodes, ipv6: false }).unwrap()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn text_of_container_to_container() {
    let lab = lab(1);
    let pod = run(&lab, 0, "my-pod");
    pod.serve_udp("container2", 8080).unwrap();
    let text = traced(&lab, "my-pod[container2] -> ", || {
        let command = ["/lab-peer", "udp", "127.0.0.1", "8080", "1", "5"];
        pod.exec("container1", &command).unwrap();
    });
    check(
        &text,
        &[
            "default/my-pod[container1] -> default/my-pod[container2] (127.0.0.1)\n",
            "pod   default/my-pod  lo  egress   container1\n",
            "pod   default/my-pod  lo  socket   container2\n",
            "default/my-pod[container2] -> default/my-pod[container1] (127.0.0.1)\n",
        ],
    );
}

/// One ping from mypod1 to mypod2 on this node; the text has these parts, and names mypod2 by
/// its address.
#[track_caller]
fn check_ping(nodes: u8, to: usize, expected: &[&str]) {
    let lab = lab(nodes);
    let (from, to) = (run(&lab, 0, "mypod1"), run(&lab, to, "mypod2"));
    let address = to.ipv4().unwrap().to_string();
    let text = traced(&lab, "RTT", || {
        from.exec("container1", &["ping", "-c", "1", &address])
            .unwrap();
    });
    check(&text, expected);
    check(&text, &[&format!(") -> default/mypod2 ({address})\n")]);
}

#[test]
fn text_of_a_ping_on_one_node() {
    check_ping(
        1,
        0,
        &[
            "pod   default/mypod1  eth0          egress   container1\n",
            "pod   default/mypod2  eth0          egress   the kernel\n",
            "pod   default/mypod1  eth0          socket   container1\n",
            "RTT ",
        ],
    );
}

#[test]
fn text_of_a_ping_across_nodes() {
    check_ping(
        2,
        1,
        &[
            "default/mypod1[container1] (",
            "node  node1           flannel.1     egress   ttl 64 -> 63\n",
            "VXLAN vni 1 192.168.77.11 -> 192.168.77.12\n",
            "pod   default/mypod2  eth0          ingress\n",
        ],
    );
}

/// All hosts are members of 224.0.0.1; a container listens at one port of two, with a socket of IPv4:
/// the kernel gives those of IPv6 only what they have joined.
#[test]
fn text_of_datagrams_for_a_group() {
    let lab = lab(1);
    let (from, to) = (run(&lab, 0, "mypod1"), run(&lab, 0, "mypod2"));
    let listen = ["/lab-peer", "udp-start", "0.0.0.0:8080"];
    assert_eq!(to.exec("container2", &listen).unwrap().code, 0);
    let text = traced(&lab, "-> 224.0.0.1", || {
        for port in ["8081", "8080"] {
            // Who answers has an address of its own, which the client does not take.
            let command = ["/lab-peer", "udp", "224.0.0.1", port, "1", "5"];
            assert_ne!(from.exec("container1", &command).unwrap().code, 0);
        }
    });
    check(
        &text,
        &[
            // The bridge gives the sender its own back.
            "no receiver: reached 2 pods, no container's socket took it\n",
            "pod   default/mypod2  eth0          socket   container2\n",
            "delivered in ",
        ],
    );
}
