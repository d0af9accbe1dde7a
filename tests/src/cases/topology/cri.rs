//! The topology of real pods: names from the runtime, namespaces from the kernel.

use std::fs;

use serde_json::{Value, json};

use crate::cases::tracer::podtrace;
use crate::cri_lab::{CriLab, CriLabSpec, CriNode, CriPod, PodSpec};

const TWO_NODES: CriLabSpec = CriLabSpec {
    nodes: 2,
    ipv6: true,
};

/// `podtrace topology -o json` of the lab's nodes, with or without their runtimes.
fn document(lab: &CriLab, with_runtime: bool) -> Value {
    let mut command = podtrace();
    command.args(["topology", "-o", "json"]);
    for node in &lab.nodes {
        command.args(["--netns", &node.netns.name, "--node-name", &node.name]);
        if with_runtime {
            command.arg("--cri-socket").arg(&node.socket);
        }
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn run_pod(node: &CriNode, name: &str) -> CriPod {
    let spec = PodSpec {
        name,
        ..PodSpec::default()
    };
    node.run_pod(&spec).unwrap()
}

#[track_caller]
fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let mut all = list.as_array().unwrap().iter();
    all.find(|value| value["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {list:#}"))
}

/// The namespace of a container's process, according to the kernel.
fn inode(container: &Value, kind: &str) -> u64 {
    let path = format!("/proc/{}/ns/{kind}", container["pid"]);
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
}

/// The exercise: two containers of one pod share the net, ipc and uts namespaces, and have
/// different pid and mnt namespaces.
#[test]
fn containers_of_a_pod_share_net_ipc_and_uts() {
    let lab = CriLab::new(TWO_NODES).unwrap();
    let my_pod = run_pod(&lab.nodes[0], "my-pod");
    let far = run_pod(&lab.nodes[1], "mypod2");
    let document = document(&lab, true);
    assert_eq!(document["problems"], json!([]));

    let node = &document["nodes"][0];
    assert!(node["runtime"].as_str().unwrap().starts_with("containerd "));
    let pod = named(&node["pods"], "default/my-pod");
    let sharing = &pod["sharing"];
    assert_eq!(sharing["shared"], json!(["net", "ipc", "uts"]));
    let separate = sharing["separate"].as_array().unwrap();
    assert!(
        separate.starts_with(&[json!("pid"), json!("mnt")]),
        "{sharing}"
    );
    let one = named(&pod["containers"], "container1");
    let two = named(&pod["containers"], "container2");
    for (container, name) in [(one, "container1"), (two, "container2")] {
        assert_eq!(container["id"], my_pod.containers[name].as_str());
        assert!(container["image"].as_str().unwrap().contains("box"));
        for kind in ["net", "ipc", "uts", "pid", "mnt"] {
            assert_eq!(
                container["namespaces"][kind],
                inode(container, kind),
                "{kind}"
            );
        }
    }
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(inode(one, kind), inode(two, kind), "{kind}");
    }
    for kind in ["pid", "mnt"] {
        assert_ne!(inode(one, kind), inode(two, kind), "{kind}");
    }
    assert_eq!(pod["uid"], my_pod.uid.as_str());
    assert_eq!(pod["netns"], my_pod.netns_inode.unwrap());
    assert_eq!(pod["interfaces"][0]["host"]["bridge"], "cni0");
    let addresses: Vec<_> = my_pod.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(pod["addresses"], json!(addresses));

    let pod = named(&document["nodes"][1]["pods"], "default/mypod2");
    assert_eq!(pod["uid"], far.uid.as_str());
}

#[test]
fn host_network_pod_is_listed_apart() {
    let lab = CriLab::new(TWO_NODES).unwrap();
    let spec = PodSpec {
        name: "on-node",
        host_network: true,
        ..PodSpec::default()
    };
    lab.nodes[0].run_pod(&spec).unwrap();
    let document = document(&lab, true);
    let node = &document["nodes"][0];
    assert_eq!(node["pods"], json!([]));
    let pod = named(&node["host_network_pods"], "default/on-node");
    assert_eq!(pod["addresses"], json!([]));
    assert_eq!(pod["netns"], lab.nodes[0].netns.inode);
    let of_node = pod["sharing"]["node"].as_array().unwrap();
    assert!(of_node.contains(&json!("net")), "{pod}");
    assert_eq!(document["nodes"][1]["host_network_pods"], json!([]));
}

#[test]
fn without_a_runtime_cgroups_tell_pods_and_containers() {
    let lab = CriLab::new(TWO_NODES).unwrap();
    let my_pod = run_pod(&lab.nodes[0], "my-pod");
    let spec = PodSpec {
        name: "on-node",
        host_network: true,
        ..PodSpec::default()
    };
    let on_node = lab.nodes[0].run_pod(&spec).unwrap();
    let document = document(&lab, false);
    let node = &document["nodes"][0];
    assert!(node["runtime"].is_null());
    assert_eq!(node["pods"], json!([]));
    let unknown = node["unknown"][0].as_str().unwrap();
    assert!(
        unknown.contains("no container runtime was asked"),
        "{unknown}"
    );
    let pod = named(&node["unnamed"], &format!("pod:{}", my_pod.uid));
    let ids = pod["containers"].as_array().unwrap().iter();
    let ids: Vec<_> = ids
        .map(|container| container["id"].as_str().unwrap())
        .collect();
    let names = ["container1", "container2"].map(|name| my_pod.containers[name].as_str());
    assert_eq!(ids, [my_pod.sandbox_id.as_str(), names[0], names[1]]);
    assert_eq!(pod["sharing"]["shared"], json!(["net", "ipc", "uts"]));
    named(&node["host_network_pods"], &format!("pod:{}", on_node.uid));
}
