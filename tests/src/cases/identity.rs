//! Correct names in every scenario, from a real runtime: pods, containers, nodes.

use serde_json::{Value, json};

use super::tracer::{Tracer, hops, paths, podtrace};
use crate::api_server::ApiServer;
use crate::cri_lab::{CriLab, CriLabSpec, CriNode, CriPod, PodSpec};

fn run(node: &CriNode, name: &str) -> CriPod {
    let spec = PodSpec {
        name,
        ..PodSpec::default()
    };
    node.run_pod(&spec).unwrap()
}

fn exec(pod: &CriPod, container: &str, command: &[&str]) {
    let output = pod.exec(container, command).unwrap();
    assert_eq!(output.code, 0, "{command:?}: {output:?}");
}

/// The one path of these between these ends.
fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or("-").to_owned()
}

/// `pod[container] -> pod[container]`, and the sender.
fn who(path: &Value) -> (String, String) {
    let end = |side: &str| {
        let pod = text(path, &format!("{side}_pod"));
        let container = text(path, &format!("{side}_container"));
        format!("{}[{container}]", pod.rsplit('/').next().unwrap())
    };
    let ends = format!("{} -> {}", end("source"), end("destination"));
    (ends, text(&path["sender"], "owner"))
}

const V4_V6: [&str; 2] = ["127.0.0.1", "::1"];

#[test]
fn containers_of_one_pod_over_localhost_are_distinguished() {
    let lab = CriLab::new(CriLabSpec {
        nodes: 1,
        ipv6: true,
    })
    .unwrap();
    let node = &lab.nodes[0];
    let pod = run(node, "my-pod");
    let tracer = Tracer::on(node, &[]);
    pod.serve_tcp("container2", 8080).unwrap();
    pod.serve_udp("container2", 8080).unwrap();
    for host in V4_V6 {
        exec(&pod, "container1", &["ping", "-c", "2", "-A", host]);
        exec(
            &pod,
            "container1",
            &["/lab-peer", "tcp", host, "8080", "3", "64"],
        );
        exec(
            &pod,
            "container1",
            &["/lab-peer", "udp", host, "8080", "3", "64"],
        );
    }
    let values = tracer.finish();
    let there = "my-pod[container1] -> my-pod[container2]";
    let back = "my-pod[container2] -> my-pod[container1]";
    for host in V4_V6 {
        let transport = values.iter().filter(|value| {
            let what = text(value, "what");
            value["type"] == "path"
                && value["source"] == host
                && (what.starts_with("TCP") || what.starts_with("UDP"))
        });
        let mut count = 0;
        for path in transport {
            let to_server = text(path, "what").contains("> 8080");
            let expected = if to_server { there } else { back };
            assert_eq!(who(path), (expected.into(), "container".into()), "{path}");
            assert_eq!(path["outcome"], "delivered");
            let expected = ["my-pod/lo egress", "my-pod/lo ingress", "my-pod/lo socket"];
            assert_eq!(hops(path), expected);
            count += 1;
        }
        assert!(count >= 6 + 10, "{count} paths on {host}");
        let pings: Vec<_> = paths(&values, "ICMP", host, host)
            .filter(|path| text(path, "what").contains("echo"))
            .collect();
        assert_eq!(pings.len(), 4, "{pings:#?}");
        for path in pings {
            let expected = if text(path, "what").contains("request") {
                ("my-pod[container1] -> my-pod[-]", "container")
            } else {
                ("my-pod[-] -> my-pod[container1]", "kernel")
            };
            assert_eq!(who(path), (expected.0.into(), expected.1.into()), "{path}");
        }
    }
}

/// Hops of the packets from mypod1 on the first node to mypod2, as `owner/interface
/// direction`; `V` stands for a veth, which has a generated name.
fn hops_in_short(path: &Value) -> Vec<String> {
    let is_veth = |interface: &Value| interface.as_str().unwrap().starts_with("veth");
    let interfaces = path["hops"].as_array().unwrap().iter();
    let interfaces = interfaces.map(|hop| is_veth(&hop["interface"]));
    hops(path)
        .into_iter()
        .zip(interfaces)
        .map(|(hop, is_veth)| {
            let (owner, rest) = hop.split_once('/').unwrap();
            let (interface, direction) = rest.split_once(' ').unwrap();
            let interface = if is_veth { "V" } else { interface };
            format!("{owner}/{interface} {direction}")
        })
        .collect()
}

const ONE_NODE: [&str; 5] = [
    "mypod1/eth0 egress",
    "node1/V ingress",
    "node1/V egress",
    "mypod2/eth0 ingress",
    "mypod2/eth0 socket",
];
const TWO_NODES: [&str; 11] = [
    "mypod1/eth0 egress",
    "node1/V ingress",
    "node1/cni0 ingress",
    "node1/flannel.1 egress",
    "node1/eth0 egress",
    "node2/eth0 ingress",
    "node2/flannel.1 ingress",
    "node2/cni0 egress",
    "node2/V egress",
    "mypod2/eth0 ingress",
    "mypod2/eth0 socket",
];

/// Ping, TCP and UDP from mypod1's container1 to mypod2's container2.
fn talk(from: &CriPod, to: &CriPod) {
    to.serve_tcp("container2", 8080).unwrap();
    to.serve_udp("container2", 8080).unwrap();
    for address in &to.addresses {
        let host = address.to_string();
        exec(from, "container1", &["ping", "-c", "2", "-A", &host]);
        exec(
            from,
            "container1",
            &["/lab-peer", "tcp", &host, "8080", "3", "64"],
        );
        exec(
            from,
            "container1",
            &["/lab-peer", "udp", &host, "8080", "3", "64"],
        );
    }
}

/// Every packet between the pods has its names and its path.
#[track_caller]
fn check_talk(values: &[Value], from: &CriPod, to: &CriPod, expected: &[&str]) {
    for (source, destination) in from.addresses.iter().zip(&to.addresses) {
        let (source, destination) = (source.to_string(), destination.to_string());
        let there: Vec<_> = paths(values, "", &source, &destination).collect();
        for path in &there {
            let what = text(path, "what");
            let (ends, sender) = who(path);
            if what.contains("echo request") {
                assert_eq!(ends, "mypod1[container1] -> mypod2[-]", "{path}");
                // The kernel answers: no socket receives a request.
                assert_eq!(
                    hops_in_short(path),
                    expected[..expected.len() - 1],
                    "{path}"
                );
            } else if what.starts_with("TCP") || what.starts_with("UDP") {
                assert_eq!(ends, "mypod1[container1] -> mypod2[container2]", "{path}");
                assert_eq!(hops_in_short(path), expected, "{path}");
            } else {
                continue;
            }
            assert_eq!(
                (sender.as_str(), text(path, "outcome").as_str()),
                ("container", "delivered")
            );
        }
        for path in paths(values, "", &destination, &source) {
            let what = text(path, "what");
            let (ends, sender) = who(path);
            if what.contains("echo reply") {
                assert_eq!(ends, "mypod2[-] -> mypod1[container1]", "{path}");
                assert_eq!(sender, "kernel", "{path}");
                assert!(path["rtt_ns"].as_u64().unwrap() > 0);
            } else if what.starts_with("TCP") || what.starts_with("UDP") {
                assert_eq!(ends, "mypod2[container2] -> mypod1[container1]", "{path}");
            }
        }
        let count = |what: &str| {
            there
                .iter()
                .filter(|path| text(path, "what").contains(what))
                .count()
        };
        assert_eq!(count("echo request"), 2);
        assert!(count("TCP") >= 6 && count("UDP") == 3, "{there:#?}");
    }
}

#[test]
fn pods_on_one_node_are_named_on_both_ends() {
    let lab = CriLab::new(CriLabSpec {
        nodes: 1,
        ipv6: true,
    })
    .unwrap();
    let node = &lab.nodes[0];
    let (from, to) = (run(node, "mypod1"), run(node, "mypod2"));
    let tracer = Tracer::on(node, &[]);
    talk(&from, &to);
    check_talk(&tracer.finish(), &from, &to, &ONE_NODE);
}

#[test]
fn pods_on_two_nodes_are_named_on_both_ends() {
    let lab = CriLab::new(CriLabSpec {
        nodes: 2,
        ipv6: true,
    })
    .unwrap();
    let (from, to) = (run(&lab.nodes[0], "mypod1"), run(&lab.nodes[1], "mypod2"));
    let tracer = Tracer::across(&lab, &[]);
    talk(&from, &to);
    check_talk(&tracer.finish(), &from, &to, &TWO_NODES);
}

/// Without the API, FDB and routes show the node of a remote pod.
#[test]
fn pod_elsewhere_is_placed_on_its_node() {
    let lab = CriLab::new(CriLabSpec {
        nodes: 2,
        ipv6: false,
    })
    .unwrap();
    let (from, to) = (run(&lab.nodes[0], "mypod1"), run(&lab.nodes[1], "mypod2"));
    let tracer = Tracer::on(&lab.nodes[0], &[]);
    let address = to.ipv4().unwrap().to_string();
    exec(&from, "container1", &["ping", "-c", "1", &address]);
    let values = tracer.finish();
    let source = from.ipv4().unwrap().to_string();
    let request = paths(&values, "ICMP echo request", &source, &address)
        .next()
        .unwrap();
    assert_eq!(hops_in_short(request), TWO_NODES[..5]);
    assert_eq!(request["outcome"], "left_for_vtep");
    assert_eq!(request["source_pod"], "default/mypod1");
    assert_eq!(request["destination_pod"], Value::Null);
    assert_eq!(request["destination_on"], lab.nodes[1].underlay.to_string());
}

/// The API names a remote pod and its node, but never a hostNetwork pod by the address of its
/// node.
#[test]
fn pod_elsewhere_is_named_by_the_api() {
    let lab = CriLab::new(CriLabSpec {
        nodes: 2,
        ipv6: false,
    })
    .unwrap();
    let (from, to) = (run(&lab.nodes[0], "mypod1"), run(&lab.nodes[1], "mypod2"));
    let (address, vtep) = (
        to.ipv4().unwrap().to_string(),
        lab.nodes[1].underlay.to_string(),
    );
    let pod = |name: &str, address: &str, host_network: bool| {
        json!({
            "metadata": {"name": name, "namespace": "default", "uid": name,
                         "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "k8s-worker2", "hostNetwork": host_network, "containers": []},
            "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                       "startTime": "2026-01-01T00:00:00Z"},
        })
    };
    let node = json!({
        "metadata": {"name": "k8s-worker2"},
        "spec": {},
        "status": {"addresses": [{"type": "InternalIP", "address": vtep}]},
    });
    let pods = vec![pod("mypod2", &address, false), pod("proxy", &vtep, true)];
    let api = ApiServer::new(pods, vec![node], Vec::new()).unwrap();
    let mut command = podtrace();
    command.args(["trace", "--netns", &lab.nodes[0].netns.name, "--cri-socket"]);
    command.arg(&lab.nodes[0].socket);
    command.arg("--kubeconfig").arg(api.kubeconfig());
    let tracer = Tracer::spawn(command);
    exec(&from, "container1", &["ping", "-c", "1", &address]);
    exec(&from, "container1", &["ping", "-c", "1", &vtep]);
    let values = tracer.finish();
    let source = from.ipv4().unwrap().to_string();
    let to = |destination| paths(&values, "ICMP echo request", &source, destination).next();
    let request = to(&address).unwrap();
    assert_eq!(request["destination_pod"], "default/mypod2", "{request}");
    assert_eq!(request["outcome"], "left_for_vtep");
    let request = to(&vtep).unwrap();
    assert_eq!(request["destination_pod"], Value::Null, "{request}");
    assert_eq!(request["destination_node"], "k8s-worker2", "{request}");
}
