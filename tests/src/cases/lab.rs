//! The lab carries traffic in every scenario and leaves nothing behind.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{self, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use podtrace::lab::traffic::flood::{FloodSpec, udp_flood};
use podtrace::lab::traffic::{ping, tcp_exchange, udp_exchange};
use podtrace::lab::{Lab, LabPod, LabSpec};
use podtrace::netns::NetNs;

use super::tracer::{Process, podtrace};

const TWO_NODES: LabSpec = LabSpec {
    nodes: 2,
    pods_per_node: 2,
    ipv6: true,
};

fn own_names() -> Vec<String> {
    let prefix = format!("podtrace-{}-", process::id());
    fs::read_dir("/run/netns")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(&prefix))
        .collect()
}

/// Within a pod, to a pod of the same node, across nodes; both families.
fn scenarios(lab: &Lab) -> Vec<(&LabPod, &LabPod, IpAddr)> {
    let one = &lab.nodes[0].pods[0];
    let mut scenarios = vec![
        (one, one, Ipv4Addr::LOCALHOST.into()),
        (one, one, Ipv6Addr::LOCALHOST.into()),
    ];
    for other in [&lab.nodes[0].pods[1], &lab.nodes[1].pods[0]] {
        scenarios.push((one, other, other.ipv4.into()));
        scenarios.push((one, other, other.ipv6.into()));
    }
    scenarios
}

#[test]
fn every_scenario_answers_and_nothing_is_left() {
    let lab = Lab::new(TWO_NODES).unwrap();
    for (from, to, addr) in scenarios(&lab) {
        let answers = ping(&from.netns, addr, 7, 3, 56).unwrap();
        assert_eq!(answers.len(), 3, "ping {addr}");
        let service = SocketAddr::new(addr, 8080);
        let echoed = tcp_exchange(&from.netns, &to.netns, service, 100_000).unwrap();
        assert_eq!(echoed, 100_000, "tcp {addr}");
        let answered = udp_exchange(&from.netns, &to.netns, service, 5, b"hello").unwrap();
        assert_eq!(answered, 5, "udp {addr}");
    }
    drop(lab);
    assert_eq!(own_names(), Vec::<String>::new());
}

#[test]
fn three_nodes_meet_over_a_bridge() {
    let spec = LabSpec {
        nodes: 3,
        pods_per_node: 1,
        ipv6: true,
    };
    let lab = Lab::new(spec).unwrap();
    let from = &lab.nodes[0].pods[0].netns;
    let to = &lab.nodes[2].pods[0];
    assert_eq!(ping(from, to.ipv4.into(), 1, 1, 0).unwrap().len(), 1);
    assert_eq!(ping(from, to.ipv6.into(), 1, 1, 0).unwrap().len(), 1);
}

#[test]
fn a_flood_is_counted_where_it_arrives() {
    let lab = Lab::new(TWO_NODES).unwrap();
    let spec = FloodSpec {
        payload: 64,
        duration: Duration::from_millis(50),
    };
    for (from, to, addr) in scenarios(&lab).into_iter().skip(2) {
        let service = SocketAddr::new(addr, 8080);
        let flood = udp_flood(&from.netns, &to.netns, service, spec).unwrap();
        assert!(flood.received > 0, "{addr}: {flood:?}");
        assert!(flood.received <= flood.sent, "{addr}: {flood:?}");
        assert!(flood.received <= flood.arrived, "{addr}: {flood:?}");
    }
}

#[test]
fn a_single_node_needs_no_overlay() {
    let spec = LabSpec {
        nodes: 1,
        pods_per_node: 2,
        ipv6: false,
    };
    let lab = Lab::new(spec).unwrap();
    let pods = &lab.nodes[0].pods;
    let answers = ping(&pods[0].netns, pods[1].ipv4.into(), 1, 1, 0).unwrap();
    assert_eq!(answers.len(), 1);
}

#[test]
fn a_lab_is_named_after_its_process_and_pods_count_across_nodes() {
    let lab = Lab::new(TWO_NODES).unwrap();
    let id = &lab.id;
    assert_eq!(
        lab.pod_table(),
        format!(
            "{id}-node1-pod1 default/mypod1\n{id}-node1-pod2 default/mypod2\n\
             {id}-node2-pod1 default/mypod3\n{id}-node2-pod2 default/mypod4\n"
        )
    );
    let pod = &lab.nodes[1].pods[0];
    let reopened = NetNs::open(&pod.netns.name).unwrap();
    assert_eq!(reopened.id, pod.netns.id);
    assert_ne!(reopened.id, NetNs::current().unwrap().id);
    assert_eq!(pod.veth, "veth0201");
}

#[test]
fn a_panic_leaves_nothing() {
    let result = std::panic::catch_unwind(|| {
        let _lab = Lab::new(TWO_NODES).unwrap();
        panic!("in the middle of a test");
    });
    assert!(result.is_err());
    assert_eq!(own_names(), Vec::<String>::new());
}

#[test]
fn leftovers_of_a_dead_process_are_swept() {
    let mut child = process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let path = format!("/run/netns/podtrace-{}-0-node1", child.id());
    fs::create_dir_all("/run/netns").unwrap();
    fs::write(&path, "").unwrap();
    assert!(Lab::sweep().unwrap().removed >= 1);
    assert!(!fs::exists(&path).unwrap());
}

/// The deadline of a wait.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until a process has names, or none.
fn wait_for_names(pid: u32, are_there: bool) {
    let prefix = format!("podtrace-{pid}-");
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut entries = fs::read_dir("/run/netns").unwrap();
        let there = entries.any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_string_lossy().starts_with(&prefix)
        });
        if there == are_there {
            return;
        }
        assert!(Instant::now() < deadline, "{pid}: {there}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn nothing_is_left_of_a_lab_whose_maker_is_killed() {
    let mut command = podtrace();
    command.arg("lab").stdout(Stdio::piped());
    let mut process = Process::spawn(&mut command);
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let trace = lines
        .map(Result::unwrap)
        .find(|line| line.contains("--pods"));
    let trace = trace.unwrap();
    let (_, table) = trace.rsplit_once(' ').unwrap();
    assert!(fs::exists(table).unwrap());
    wait_for_names(process.id(), true);
    process.kill().unwrap();
    process.wait().unwrap();
    wait_for_names(process.id(), false);
    // The table is removed before the names.
    assert!(!fs::exists(table).unwrap());
}

#[test]
fn nothing_is_left_of_a_demo_that_is_killed() {
    let mut command = podtrace();
    command
        .args(["demo", "--pings", "100"])
        .stdout(Stdio::null());
    let mut process = Process::spawn(&mut command);
    wait_for_names(process.id(), true);
    process.kill().unwrap();
    process.wait().unwrap();
    wait_for_names(process.id(), false);
}
