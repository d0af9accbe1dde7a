//! Agents that are found by the Kubernetes API, and run in their pods.
use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Command, Output};
use std::sync::Arc;

use podtrace::lab::traffic::ping;
use podtrace::lab::{Lab, LabPod, LabSpec};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::sync::Notify;

use super::super::tracer::{Tracer, podtrace};
use super::{PROBE, is_path, nodes_of};
use crate::api_server::{Agent, Agents, ApiServer};

/// A lab whose nodes have pods with agents.
struct Pods {
    server: ApiServer,
    _table: NamedTempFile,
    lab: Lab,
}

impl Pods {
    fn new(nodes: usize, change: impl FnOnce(&mut Agents)) -> Self {
        let lab = Lab::new(LabSpec {
            nodes,
            pods_per_node: 1,
            ipv6: false,
        })
        .unwrap();
        let mut table = NamedTempFile::new().unwrap();
        table.write_all(lab.pod_table().as_bytes()).unwrap();
        let numbered = lab.nodes.iter().enumerate();
        let pods = numbered.clone().map(|(node, of)| Agent {
            name: format!("podtrace-agent-{}", node + 1),
            node: format!("worker{}", node + 1),
            phase: "Running",
            program: podtrace().get_program().to_owned(),
            options: [
                OsString::from("--netns"),
                of.netns.name.clone().into(),
                "--pods".into(),
                table.path().into(),
            ]
            .into(),
            gone: Arc::new(Notify::new()),
        });
        let mut agents = Agents {
            pods: pods.collect(),
            forbidden: false,
        };
        change(&mut agents);
        let pods = numbered.map(|(node, of)| pod(node, &of.pods[0]));
        let server = ApiServer::with_agents(pods.collect(), Vec::new(), Vec::new(), agents);
        Self {
            server: server.unwrap(),
            _table: table,
            lab,
        }
    }

    fn console(&self, command: &str) -> Command {
        let mut console = podtrace();
        console.args([command, "--cluster", "--kubeconfig"]);
        console.arg(self.server.kubeconfig());
        console
    }

    fn pod(&self, node: usize) -> &LabPod {
        &self.lab.nodes[node].pods[0]
    }
}

fn pod(node: usize, of: &LabPod) -> Value {
    json!({
        "metadata": {
            "uid": format!("uid-{node}"),
            "name": format!("mypod{}", node + 1),
            "namespace": "default",
        },
        "spec": {"nodeName": format!("worker{}", node + 1)},
        "status": {"phase": "Running", "podIP": of.ipv4.to_string()},
    })
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn agents_are_found_and_a_pod_that_goes_away_is_named() {
    let pods = Pods::new(3, |_| {});
    let mut console = pods.console("trace");
    console.arg("icmp");
    let mut tracer = Tracer::spawn(console);
    let (one, two, three) = (pods.pod(0), pods.pod(1), pods.pod(2));
    ping(&one.netns, three.ipv4.into(), 1, 3, 56).unwrap();
    tracer.wait_until_all(6, is_path);
    pods.server.take_away("podtrace-agent-2");
    tracer.wait_for(|value| {
        let text = value["text"].as_str().unwrap_or_default();
        text.starts_with("worker2") && text.contains("not seen from here on")
    });
    ping(&one.netns, two.ipv4.into(), 2, 2, 56).unwrap();
    ping(&one.netns, three.ipv4.into(), 3, 2, 56).unwrap();
    tracer.wait_until_all(6 + 2 + 4, is_path);
    let values = tracer.finish();
    for path in values.iter().filter(|value| is_path(value)) {
        let is_there = nodes_of(path).contains(&"worker3".to_owned());
        match path["outcome"].as_str().unwrap() {
            "delivered" => {}
            "left_for_vtep" | "left_node" | "unknown" => assert!(!is_there, "{path}"),
            _ => panic!("{path}"),
        }
    }
}

#[test]
fn diagnose_asks_the_nodes_of_the_two_alone() {
    let pods = Pods::new(3, |agents| {
        // It would be named.
        agents.pods[1].program = "/nonexistent".into();
    });
    let mut console = pods.console("diagnose");
    let to = pods.pod(2).ipv4.to_string();
    console.args(PROBE).args(["default/mypod1", &to]);
    let output = console.output().unwrap();
    let said = words(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["conclusion"], "delivered", "{report}");
    assert!(
        said.contains("worker1, worker3") && !said.contains("worker2"),
        "{said}"
    );
    assert!(said.contains("podtrace sends 3 pings"), "{said}");
}

#[test]
fn pods_without_an_agent_are_named_and_the_others_asked() {
    let pods = Pods::new(3, |agents| {
        agents.pods[1].phase = "Pending";
        // One that is too old has no such command.
        agents.pods[2].program = "cat".into();
        agents.pods[2].options = Vec::new();
    });
    let folder = tempfile::tempdir().unwrap();
    let mut console = pods.console("record");
    console
        .args(["--duration", "300ms", "--write"])
        .arg(folder.path());
    let output = console.output().unwrap();
    let said = words(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("worker2: no agent in pod podtrace/podtrace-agent-2: it is pending"),
        "{said}"
    );
    assert!(
        said.contains("worker3: no agent in pod podtrace/podtrace-agent-3: "),
        "{said}"
    );
    assert!(said.contains("option"), "{said}");
    assert!(folder.path().join("worker1.pcapng.zst").exists(), "{said}");
}

#[test]
fn what_the_cluster_refuses_is_said() {
    let pods = Pods::new(1, |agents| agents.forbidden = true);
    let output = pods.console("trace").output().unwrap();
    let said = words(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in ["403", "pods/exec", "namespace podtrace", "cannot create"] {
        assert!(said.contains(part), "{said}");
    }
    let pods = Pods::new(1, |agents| agents.pods.clear());
    let output = pods.console("trace").output().unwrap();
    let said = words(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("podtrace manifest --agent"), "{said}");
}
