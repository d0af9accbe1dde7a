//! The topology of a healthy lab, and of labs with faults.

mod cri;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use futures_util::TryStreamExt as _;
use podtrace::lab::Lab;
use podtrace::netns::NetNs;
use podtrace::node::links::{self, Link};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::{Handle, LinkUnspec};
use serde_json::Value;

use super::scenarios::lab;
use super::tracer::{podtrace, run};

/// `podtrace topology` of the lab's nodes, with names for the pods; returns the exit status
/// and the output.
fn topology(lab: &Lab, options: &[&str]) -> (i32, String) {
    let mut table = tempfile::NamedTempFile::new().unwrap();
    table.write_all(lab.pod_table().as_bytes()).unwrap();
    let mut command = podtrace();
    command.args(["topology", "--pods"]).arg(table.path());
    for node in &lab.nodes {
        command.args(["--netns", &node.netns.name, "--node-name", &node.name]);
    }
    let output = command.args(options).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "");
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

fn document(lab: &Lab) -> Value {
    let (code, text) = topology(lab, &["-o", "json"]);
    assert_eq!(code, 0);
    serde_json::from_str(&text).unwrap()
}

/// The problems as `severity node subject: problem`.
fn problems(lab: &Lab) -> Vec<String> {
    let document = document(lab);
    let problems = document["problems"].as_array().unwrap();
    let text = |problem: &Value, field: &str| problem[field].as_str().unwrap().to_owned();
    problems
        .iter()
        .map(|problem| {
            let [severity, node, subject, what] =
                ["severity", "node", "subject", "problem"].map(|field| text(problem, field));
            format!("{severity} {node} {subject}: {what}")
        })
        .collect()
}

/// Changes a link of a namespace by netlink.
fn change(netns: &NetNs, name: &str, work: impl AsyncFnOnce(Handle, Link)) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let links = links::list(netns).await.unwrap();
            let link = links.into_iter().find(|link| link.name == name).unwrap();
            work(netns.netlink().unwrap(), link).await;
        });
}

fn set_mtu(netns: &NetNs, name: &str, mtu: u32) {
    change(netns, name, async |handle, link| {
        let message = LinkUnspec::new_with_index(link.ifindex).mtu(mtu).build();
        handle.link().set(message).execute().await.unwrap();
    });
}

/// Deletes a node's neighbours of a family on an interface.
fn delete_neighbours(netns: &NetNs, name: &str, family: AddressFamily) {
    change(netns, name, async |handle, link| {
        let request = handle.neighbours().get().set_address_family(family);
        let entries: Vec<_> = request.execute().try_collect().await.unwrap();
        let mut deleted = 0;
        for entry in entries {
            if entry.header.ifindex == link.ifindex {
                handle.neighbours().del(entry).execute().await.unwrap();
                deleted += 1;
            }
        }
        assert!(deleted > 0);
    });
}

fn write_setting(netns: &NetNs, path: &str, value: &str) {
    netns.run(|| fs::write(path, value)).unwrap().unwrap();
}

#[test]
fn healthy_lab_is_shown_and_has_no_problems() {
    let lab = lab();
    let (code, text) = topology(&lab, &["--check"]);
    assert!(text.contains("no problems found"), "{text}");
    assert_eq!(code, 0);
    let document = document(&lab);
    for (node, shown) in lab.nodes.iter().zip(document["nodes"].as_array().unwrap()) {
        assert_eq!(shown["name"], node.name.as_str());
        assert_eq!(shown["forwarding"]["ipv4"], true);
        assert_eq!(shown["uplinks"][0]["name"], "eth0");
        let tunnel = &shown["tunnels"][0];
        assert_eq!(tunnel["name"], "flannel.1");
        assert_eq!((&tunnel["vni"], &tunnel["port"]), (&1.into(), &8472.into()));
        assert_eq!(tunnel["local"], node.underlay.to_string());
        let peer = lab
            .nodes
            .iter()
            .find(|peer| peer.name != node.name)
            .unwrap();
        for route in tunnel["routes"].as_array().unwrap() {
            assert_eq!(route["vtep"], peer.underlay.to_string());
        }
        assert_eq!(tunnel["routes"].as_array().unwrap().len(), 2);
        for (pod, shown) in node.pods.iter().zip(shown["pods"].as_array().unwrap()) {
            assert_eq!(shown["name"], pod.name.as_str());
            assert_eq!(shown["netns"], pod.netns.inode);
            let host = &shown["interfaces"][0]["host"];
            assert_eq!(host["name"], pod.veth.as_str());
            assert_eq!(host["bridge"], "cni0");
            let addresses = [pod.ipv4.to_string(), pod.ipv6.to_string()];
            assert_eq!(shown["addresses"], serde_json::json!(addresses));
        }
    }
}

#[test]
fn tree_names_pods_at_their_ports() {
    let lab = lab();
    let (_, text) = topology(&lab, &[]);
    for pod in lab.nodes.iter().flat_map(|node| &node.pods) {
        assert!(
            text.contains(&format!("port {}  {}", pod.veth, pod.name)),
            "{text}"
        );
        assert!(
            text.contains(&format!("net:[{}]", pod.netns.inode)),
            "{text}"
        );
    }
    assert!(text.contains("-> VTEP 192.168.77.12 (node2)"), "{text}");
    assert!(
        text.contains("not known: names of pods and containers, images"),
        "{text}"
    );
    assert!(!text.contains('\x1b'));
}

#[test]
fn graph_is_valid_for_graphviz() {
    let lab = lab();
    let (_, text) = topology(&lab, &["-o", "dot"]);
    assert!(text.starts_with("graph podtrace {") && text.ends_with("}\n"));
    // If Graphviz is installed, it parses the output.
    let dot = std::process::Command::new("dot")
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut dot) = dot else {
        return;
    };
    dot.stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = dot.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("default/mypod3")
    );
}

#[test]
fn missing_forwarding_entry_is_found() {
    let lab = lab();
    delete_neighbours(&lab.nodes[0].netns, "flannel.1", AddressFamily::Bridge);
    let what = "no forwarding entry for 0e:f1:00:00:00:02";
    assert_eq!(
        problems(&lab),
        [
            format!("error node1 route 10.244.2.0/24: {what} (next hop 10.244.2.0) on flannel.1"),
            format!(
                "error node1 route fd00:10:244:2::/64: {what} (next hop fd00:10:244:2::) on flannel.1"
            ),
        ]
    );
    let (code, text) = topology(&lab, &["--check"]);
    assert_eq!(code, 1);
    assert!(text.contains("-> no forwarding entry  ✗ error"), "{text}");
    assert!(
        text.contains("2 problems") && text.contains("hint: bridge fdb"),
        "{text}"
    );
}

#[test]
fn missing_neighbour_is_found() {
    let lab = lab();
    delete_neighbours(&lab.nodes[1].netns, "flannel.1", AddressFamily::Inet);
    assert_eq!(
        problems(&lab),
        [
            "error node2 route 10.244.1.0/24: no neighbour entry for its next hop 10.244.1.0 on flannel.1"
        ]
    );
}

#[test]
fn veth_outside_of_the_bridge_is_found() {
    let lab = lab();
    change(&lab.nodes[0].netns, "veth0102", async |handle, link| {
        let message = LinkUnspec::new_with_index(link.ifindex).nocontroller();
        handle.link().set(message.build()).execute().await.unwrap();
    });
    assert_eq!(
        problems(&lab),
        [
            "error node1 veth0102: the veth of default/mypod2 is in no bridge, and no route leads to it"
        ]
    );
}

#[test]
fn large_mtus_are_found() {
    let lab = lab();
    let (node, pod) = (&lab.nodes[0], &lab.nodes[0].pods[0]);
    set_mtu(&node.netns, &pod.veth, 1500);
    set_mtu(&pod.netns, "eth0", 1500);
    let of_pod = "warning node1 default/mypod1: MTU 1500 of eth0 is larger than 1450 of flannel.1";
    assert_eq!(problems(&lab), [of_pod]);
    set_mtu(&node.netns, "eth0", 1400);
    let of_tunnel = "error node1 flannel.1: MTU 1450 is larger than eth0 with MTU 1400 allows, \
                     which is 1350: VXLAN over IPv4 adds 50 bytes";
    assert_eq!(problems(&lab), [of_tunnel, of_pod]);
}

#[test]
fn forwarding_that_is_off_is_found() {
    let lab = lab();
    let netns = &lab.nodes[1].netns;
    write_setting(netns, "/proc/sys/net/ipv4/ip_forward", "0");
    let v4 = "error node2 ip_forward: IPv4 forwarding is off: IPv4 packets of pods do not leave the node";
    assert_eq!(problems(&lab), [v4]);
    write_setting(netns, "/proc/sys/net/ipv6/conf/all/forwarding", "0");
    let v6 = "error node2 ip_forward: IPv6 forwarding is off: IPv6 packets of pods do not leave the node";
    assert_eq!(problems(&lab), [v4, v6]);
}

#[test]
fn interfaces_that_are_down_are_found() {
    let lab = lab();
    for name in ["cni0", "veth0101"] {
        change(&lab.nodes[0].netns, name, async |handle, link| {
            let message = LinkUnspec::new_with_index(link.ifindex).down().build();
            handle.link().set(message).execute().await.unwrap();
        });
    }
    assert_eq!(
        problems(&lab),
        [
            "error node1 cni0: the bridge is down: its pods reach nothing",
            "error node1 veth0101: the veth of default/mypod1 is down",
        ]
    );
}

#[test]
fn unknown_namespace_and_socket_are_named() {
    let output = run(&["topology", "--netns", "no-such-namespace"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no-such-namespace"), "{text}");
    let output = run(&["topology", "--cri-socket", "/no/such.sock"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no socket at /no/such.sock"), "{text}");
    assert!(!text.contains("with --cri-socket"), "{text}");
}
