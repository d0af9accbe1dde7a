//! A pod on the node's network shares the node's address: it is named only by its sockets.

use std::process::Command;

use serde_json::Value;

use super::tracer::Tracer;
use crate::cri_lab::{CriLab, CriLabSpec, PodSpec};

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// `pod[container]`, or the node, of the end that is not the server.
fn client(path: &Value, server: &str) -> (String, String) {
    let side = if text(path, "destination") == server {
        "source"
    } else {
        "destination"
    };
    let of = |what: &str| text(path, &format!("{side}_{what}")).to_owned();
    let pod = of("pod");
    if pod.is_empty() {
        (of("node"), of("container"))
    } else {
        (pod, of("container"))
    }
}

#[test]
fn only_its_own_sockets_make_traffic_of_a_pod_on_the_nodes_network() {
    let lab = CriLab::new(CriLabSpec {
        nodes: 1,
        ipv6: false,
    })
    .unwrap();
    let node = &lab.nodes[0];
    let server = node.run_pod(&PodSpec::default()).unwrap();
    server.serve_tcp("container2", 8080).unwrap();
    let host = server.ipv4().unwrap().to_string();
    // Its raw socket receives a copy of every reply to the node.
    let on_node = PodSpec {
        name: "on-node",
        containers: &["main"],
        host_network: true,
        command: Some(&["ping", "-q", "-i", "0.05", "-s", "99", &host]),
        ..PodSpec::default()
    };
    let on_node = node.run_pod(&on_node).unwrap();
    let mut tracer = Tracer::on(node, &[]);
    // Once its pings are seen, its cgroup is watched.
    tracer.wait_for(|value| {
        value["type"] == "path"
            && text(value, "what").starts_with("ICMP echo reply")
            && value["destination_pod"] == "default/on-node"
    });
    let peer = std::env::var_os("PODTRACE_LAB_PEER").unwrap();
    let talk = |bytes| ["tcp", &host, "8080", "3", bytes];
    let inside = [&["/lab-peer"][..], &talk("64")].concat();
    let output = on_node.exec("main", &inside).unwrap();
    assert_eq!(output.code, 0, "{output:?}");
    let port = |stdout: &str| {
        let (from, _) = stdout.split_once(" -> ").unwrap();
        from.rsplit(':').next().unwrap().to_owned()
    };
    let pods_port = port(&output.stdout);
    let output = node.command(peer).unwrap().args(talk("64")).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let nodes_port = port(&String::from_utf8(output.stdout).unwrap());
    let mut ping = node.command("busybox").unwrap();
    succeeds(ping.args(["ping", "-q", "-A", "-c", "5", "-s", "77", &host]));
    let values = tracer.finish();

    let mut counts = [0; 4];
    let pod = ("default/on-node".to_owned(), "main".to_owned());
    let nobody = (node.name.clone(), String::new());
    for path in values.iter().filter(|value| value["type"] == "path") {
        let what = text(path, "what");
        let length = path["hops"][0]["bytes"].as_u64().unwrap() - 42;
        let has_port = |port: &str| what.split(' ').any(|word| word == port);
        let (count, expected) = if what.starts_with("TCP") && has_port(&pods_port) {
            (0, &pod)
        } else if what.starts_with("TCP") && has_port(&nodes_port) {
            (1, &nobody)
        } else if what.starts_with("ICMP echo") && length == 99 {
            (2, &pod)
        } else if what.starts_with("ICMP echo") && length == 77 {
            (3, &nobody)
        } else {
            continue;
        };
        counts[count] += 1;
        assert_eq!(client(path, &host), *expected, "{path}");
    }
    eprintln!("TCP of the pod and of the node, pings of both: {counts:?}");
    assert!(counts[0] >= 10 && counts[1] >= 10, "{counts:?}");
    assert!(counts[2] >= 2 && counts[3] == 10, "{counts:?}");
}
