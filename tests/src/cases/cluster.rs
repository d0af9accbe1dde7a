//! Three nodes, each with an agent, and one console.
mod budget;
mod kubernetes;
mod probe;
mod record;
mod running;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podtrace::lab::traffic::{ping, tcp_exchange};
use podtrace::lab::{Lab, LabPod, LabSpec};
use podtrace::node::processes::children;
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

mod hostile;

use super::tracer::{Process, Tracer, podtrace};

const DEADLINE: Duration = Duration::from_secs(30);
/// Options of a diagnosis that sends packets.
const PROBE: [&str; 5] = ["--probe", "-o", "json", "--duration", "20s"];

/// A lab whose nodes have agents.
struct Cluster {
    agents: Vec<Process>,
    folder: TempDir,
    _table: NamedTempFile,
    lab: Lab,
}

impl Cluster {
    fn new(nodes: usize) -> Self {
        Self::with(nodes, |_| &[])
    }

    /// `options`: more of them for the agent of each node.
    fn with(nodes: usize, options: impl Fn(usize) -> &'static [&'static str]) -> Self {
        let lab = Lab::new(LabSpec {
            nodes,
            pods_per_node: 1,
            ipv6: true,
        })
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut table = NamedTempFile::new().unwrap();
        table.write_all(lab.pod_table().as_bytes()).unwrap();
        let mut cluster = Self {
            agents: Vec::new(),
            folder,
            _table: table,
            lab,
        };
        for node in 0..nodes {
            let mut command = podtrace();
            command.args(["agent", "--netns", &cluster.lab.nodes[node].netns.name]);
            command
                .arg("--node-name")
                .arg(format!("worker{}", node + 1));
            command.arg("--pods").arg(cluster._table.path());
            command.arg("--listen").arg(cluster.socket(node));
            command.args(options(node));
            let mut agent = Process::spawn(command.stderr(Stdio::piped()));
            let words = agent.stderr.take().unwrap();
            let mut line = String::new();
            let mut words = BufReader::new(words);
            words.read_line(&mut line).unwrap();
            assert!(line.contains("listening"), "{line}");
            // What it says later must not fill the pipe.
            thread::spawn(move || words.lines().count());
            cluster.agents.push(agent);
        }
        cluster
    }

    fn socket(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("worker{}", node + 1))
    }

    /// A console of all agents.
    fn console(&self, command: &str) -> Command {
        let mut console = podtrace();
        console.arg(command);
        for node in 0..self.lab.nodes.len() {
            let address = format!("unix:{}", self.socket(node).display());
            console.args(["--agent", &address]);
        }
        console
    }

    fn pod(&self, node: usize) -> &LabPod {
        &self.lab.nodes[node].pods[0]
    }

    /// The process that traces on a node.
    fn trace_on(&self, node: usize) -> Pid {
        let agent = self.agents[node].id();
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(pid) = children(agent).unwrap().first() {
                return Pid::from_raw((*pid).try_into().unwrap());
            }
            assert!(Instant::now() < deadline, "nothing traces");
            thread::yield_now();
        }
    }

    /// Waits until nothing traces on a node.
    fn wait_for_quiet(&self, node: usize) {
        let agent = self.agents[node].id();
        let deadline = Instant::now() + DEADLINE;
        while !children(agent).unwrap().is_empty() {
            assert!(Instant::now() < deadline, "a trace is left behind");
            thread::yield_now();
        }
    }
}

fn is_path(value: &Value) -> bool {
    value["type"] == "path"
}

/// The names of the nodes that a path has hops on, each once and in their order.
fn nodes_of(path: &Value) -> Vec<String> {
    let hops = path["hops"].as_array().unwrap().iter();
    let mut nodes: Vec<_> = hops
        .map(|hop| hop["node"].as_str().unwrap().to_owned())
        .collect();
    nodes.dedup();
    nodes
}

#[test]
fn paths_cross_all_nodes_and_every_packet_is_accounted_for() {
    let cluster = Cluster::new(3);
    let mut console = cluster.console("trace");
    console.args(["icmp", "or", "tcp"]);
    let mut tracer = Tracer::spawn(console);
    let (one, two, three) = (cluster.pod(0), cluster.pod(1), cluster.pod(2));
    let answers = ping(&one.netns, three.ipv4.into(), 1, 3, 56).unwrap();
    assert_eq!(answers.len(), 3);
    let service = (two.ipv4, 8080).into();
    tcp_exchange(&three.netns, &two.netns, service, 100_000).unwrap();
    tracer.wait_until_all(6, |value| is_path(value) && value["protocol"] == "icmp");
    let values = tracer.finish();
    let paths: Vec<_> = values.iter().filter(|value| is_path(value)).collect();
    let icmp: Vec<_> = paths
        .iter()
        .filter(|path| path["protocol"] == "icmp")
        .collect();
    assert_eq!(icmp.len(), 6, "{icmp:#?}");
    for (path, way) in icmp.iter().zip(
        [["worker1", "worker3"], ["worker3", "worker1"]]
            .iter()
            .cycle(),
    ) {
        assert_eq!(path["outcome"], "delivered", "{path}");
        assert_eq!(nodes_of(path), way.map(str::to_owned), "{path}");
    }
    for path in &paths {
        assert_eq!(path["outcome"], "delivered", "{path}");
        let hops = path["hops"].as_array().unwrap();
        let times: Vec<_> = hops
            .iter()
            .map(|hop| hop["time_ns"].as_u64().unwrap())
            .collect();
        assert!(times.is_sorted(), "{path}");
    }
    for node in 0..3 {
        cluster.wait_for_quiet(node);
    }
}

#[test]
fn node_that_is_killed_is_named_and_its_packets_are_not_lost() {
    let mut cluster = Cluster::new(3);
    let mut console = cluster.console("trace");
    console.arg("icmp");
    let mut tracer = Tracer::spawn(console);
    let (one, two, three) = (cluster.pod(0), cluster.pod(1), cluster.pod(2));
    ping(&one.netns, two.ipv4.into(), 1, 2, 56).unwrap();
    tracer.wait_until_all(4, is_path);
    kill(cluster.trace_on(1), Signal::SIGKILL).unwrap();
    tracer.wait_for(|value| {
        let text = value["text"].as_str().unwrap_or_default();
        text.starts_with("worker2") && text.contains("not seen from here on")
    });
    ping(&one.netns, two.ipv4.into(), 2, 2, 56).unwrap();
    ping(&one.netns, three.ipv4.into(), 3, 2, 56).unwrap();
    tracer.wait_until_all(4 + 2 + 4, is_path);
    // Its agent goes on: a console may ask again.
    assert!(cluster.agents[1].try_wait().unwrap().is_none());
    let values = tracer.finish();
    let paths = values.iter().filter(|value| is_path(value));
    for path in paths {
        let outcome = path["outcome"].as_str().unwrap();
        let is_there = nodes_of(path).contains(&"worker3".to_owned());
        match outcome {
            "delivered" => {}
            "left_for_vtep" | "left_node" | "unknown" => assert!(!is_there, "{path}"),
            _ => panic!("{path}"),
        }
    }
}

#[test]
fn console_that_is_killed_leaves_nothing_running() {
    let cluster = Cluster::new(2);
    let tracer = Tracer::spawn(cluster.console("trace"));
    cluster.trace_on(0);
    tracer.kill();
    cluster.wait_for_quiet(0);
    cluster.wait_for_quiet(1);
}

#[test]
fn node_that_stops_is_left_behind_and_comes_back() {
    let cluster = Cluster::new(2);
    let mut console = cluster.console("trace");
    console.arg("icmp");
    let mut tracer = Tracer::spawn(console);
    let (one, two) = (cluster.pod(0), cluster.pod(1));
    let trace = cluster.trace_on(1);
    kill(trace, Signal::SIGSTOP).unwrap();
    ping(&one.netns, two.ipv4.into(), 1, 2, 56).unwrap();
    // Without the other node's packets, which nobody waits for any longer.
    tracer.wait_until_all(2, |value| {
        is_path(value) && value["outcome"] == "left_for_vtep"
    });
    kill(trace, Signal::SIGCONT).unwrap();
    let deadline = Instant::now() + DEADLINE;
    let mut id = 2;
    loop {
        assert!(Instant::now() < deadline, "it does not come back");
        ping(&one.netns, two.ipv4.into(), id, 1, 56).unwrap();
        let path = tracer.wait_for(|value| is_path(value) && value["icmp_id"] == id);
        if nodes_of(&path).len() == 2 {
            break;
        }
        id += 1;
    }
    let values = tracer.finish();
    let mut paths = values.iter().filter(|value| is_path(value));
    assert!(
        paths.all(|path| path["outcome"] != "not_seen_further" && path["outcome"] != "dropped")
    );
}

#[test]
fn flows_and_diagnose_ask_agents_too() {
    let cluster = Cluster::new(2);
    let (one, two) = (cluster.pod(0), cluster.pod(1));
    let mut console = cluster.console("diagnose");
    let (from, to) = (one.ipv4.to_string(), two.ipv4.to_string());
    console.args(["-o", "json", "--duration", "20s", &from, &to]);
    console.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut console = Process::spawn(&mut console);
    let mut words = BufReader::new(console.stderr.take().unwrap());
    let mut line = String::new();
    words.read_line(&mut line).unwrap();
    assert!(line.contains("watching"), "{line}");
    let (netns, address) = (one.netns.clone(), two.ipv4);
    let pings = thread::spawn(move || ping(&netns, address.into(), 9, 100, 56));
    let mut answer = Vec::new();
    let mut stdout = console.stdout.take().unwrap();
    stdout.read_to_end(&mut answer).unwrap();
    let code = console.wait().unwrap().code();
    assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&answer));
    pings.join().unwrap().unwrap();
    let report: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(report["conclusion"], "delivered", "{report}");
    for way in ["request", "reply"] {
        assert_eq!(report[way]["packets"], report[way]["delivered"], "{report}");
    }
}

#[test]
fn commands_lead_to_agents_for_as_long_as_the_trace() {
    let cluster = Cluster::new(2);
    let mut console = podtrace();
    console.arg("trace");
    for node in 0..2 {
        let program = podtrace().get_program().to_str().unwrap().to_owned();
        let netns = &cluster.lab.nodes[node].netns.name;
        let name = format!("worker{}", node + 1);
        console.arg("--agent").arg(format!(
            "exec:{program} agent --stdio --netns {netns} --node-name {name}"
        ));
    }
    console.arg("icmp");
    let mut tracer = Tracer::spawn(console);
    let (one, two) = (cluster.pod(0), cluster.pod(1));
    ping(&one.netns, two.ipv4.into(), 1, 3, 56).unwrap();
    tracer.wait_until_all(6, is_path);
    let values = tracer.finish();
    let mut paths = values.iter().filter(|value| is_path(value));
    assert!(paths.all(|path| path["outcome"] == "delivered"));
}

#[test]
fn what_cannot_be_reached_is_said() {
    let cluster = Cluster::new(1);
    let socket = format!("unix:{}", cluster.socket(0).display());
    for (address, words) in [
        ("unix:/nonexistent/agent", "No such file or directory"),
        ("exec:exit 3", "no connection"),
        ("exec:echo hello", "no connection"),
        (socket.as_str(), "same node"),
    ] {
        let mut console = cluster.console("trace");
        let output = console.args(["--agent", address]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(address) && said.contains(words), "{said}");
    }
    cluster.wait_for_quiet(0);
}
