//! The CRI lab: real pods on real nodes; every scenario carries traffic, and nothing is left
//! behind.

mod left;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cri_lab::{CriLab, CriLabSpec, CriNode, CriPod, PodSpec, sweep};
use left::Traces;

const ONE_NODE: CriLabSpec = CriLabSpec {
    nodes: 1,
    ipv6: false,
};
const TWO_NODES: CriLabSpec = CriLabSpec {
    nodes: 2,
    ipv6: true,
};

fn named(name: &str) -> PodSpec<'_> {
    PodSpec {
        name,
        ..PodSpec::default()
    }
}

/// The standard output of a program that must succeed.
fn run(pod: &CriPod, container: &str, command: &[&str]) -> String {
    let output = pod.exec(container, command).unwrap();
    assert_eq!(output.code, 0, "{command:?} in {}: {output:?}", pod.name);
    output.stdout
}

/// Ping, TCP and UDP from container1 to a service on 8080.
fn check_scenario(from: &CriPod, to: impl Into<IpAddr>) {
    let to = to.into().to_string();
    run(
        from,
        "container1",
        &["ping", "-c", "2", "-W", "1", "-A", &to],
    );
    run(
        from,
        "container1",
        &["/lab-peer", "tcp", &to, "8080", "2", "100000"],
    );
    run(
        from,
        "container1",
        &["/lab-peer", "udp", &to, "8080", "3", "512"],
    );
}

fn serve(pod: &CriPod) {
    pod.serve_tcp("container2", 8080).unwrap();
    pod.serve_udp("container2", 8080).unwrap();
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

#[test]
fn every_scenario_carries_traffic() {
    let lab = CriLab::new(TWO_NODES).unwrap();
    // The scenarios of the exercise: two containers of a pod, two pods of a node, two nodes.
    let my_pod = lab.nodes[0].run_pod(&PodSpec::default()).unwrap();
    let near = lab.nodes[0].run_pod(&named("mypod1")).unwrap();
    let far = lab.nodes[1].run_pod(&named("mypod2")).unwrap();
    for (pod, node) in [(&my_pod, 1), (&near, 1), (&far, 2)] {
        assert_eq!(pod.addresses.len(), 2);
        assert_eq!(pod.ipv4().unwrap().octets()[..3], [10, 244, node]);
        let subnet = [0xfd00, 0x10, 0x244, node.into()];
        assert_eq!(pod.ipv6().unwrap().segments()[..4], subnet);
        serve(pod);
    }
    check_scenario(&my_pod, Ipv4Addr::LOCALHOST);
    check_scenario(&my_pod, Ipv6Addr::LOCALHOST);
    for other in [&near, &far] {
        check_scenario(&my_pod, other.ipv4().unwrap());
        check_scenario(&my_pod, other.ipv6().unwrap());
    }
}

#[test]
fn pods_are_where_the_kubelet_would_put_them() {
    let lab = CriLab::new(TWO_NODES).unwrap();
    let node = &lab.nodes[1];
    let spec = PodSpec {
        uid: Some("11111111-2222-4333-8444-555555555555"),
        labels: &[("app", "echo")],
        command: Some(&["/lab-peer", "tcp-serve", "8080"]),
        containers: &["container1"],
        ..PodSpec::default()
    };
    let pod = node.run_pod(&spec).unwrap();
    let group = node.cgroup.join(pod.cgroup_parent.trim_start_matches('/'));
    assert!(group.ends_with("kubepods/burstable/pod11111111-2222-4333-8444-555555555555"));
    for id in [&pod.sandbox_id, &pod.containers["container1"]] {
        let processes = fs::read_to_string(group.join(id).join("cgroup.procs")).unwrap();
        assert_eq!(processes.lines().count(), 1, "{id}");
    }
    let netns = pod.netns().unwrap();
    assert_eq!(Some(netns.id), pod.netns_id);
    assert_eq!(Some(netns.inode), pod.netns_inode);
    assert_ne!(netns.id, node.netns.id);

    let host = node
        .run_pod(&PodSpec {
            host_network: true,
            name: "agent",
            ..PodSpec::default()
        })
        .unwrap();
    assert_eq!((&host.addresses[..], host.netns_id), (&[][..], None));
    let addresses = run(&host, "container2", &["ip", "addr"]);
    assert!(
        addresses.contains(&node.underlay.to_string()),
        "{addresses}"
    );
    assert_eq!(run(&host, "container1", &["hostname"]), "node2\n");
    // Its path to a pod begins at the node's bridge.
    let to = pod.ipv4().unwrap().to_string();
    run(
        &host,
        "container1",
        &["/lab-peer", "tcp", &to, "8080", "1", "10"],
    );
}

#[test]
fn pods_live_on_without_containerd() {
    let lab = CriLab::new(TWO_NODES).unwrap();
    let one = lab.nodes[0].run_pod(&named("mypod1")).unwrap();
    let two = lab.nodes[1].run_pod(&named("mypod2")).unwrap();
    serve(&two);
    let node: &CriNode = &lab.nodes[1];
    let before = node.containerd_pid().unwrap();
    let name = fs::read_to_string(format!("/proc/{before}/comm")).unwrap();
    assert_eq!(name, "containerd\n");
    node.kill_containerd().unwrap();
    assert!(!fs::exists(format!("/proc/{before}")).unwrap());
    assert!(node.containerd_pid().is_err());
    assert!(two.exec("container1", &["true"]).is_err());
    check_scenario(&one, two.ipv4().unwrap());
    node.start_containerd().unwrap();
    assert_ne!(node.containerd_pid().unwrap(), before);
    run(&two, "container1", &["true"]);
    let three = node.run_pod(&named("mypod3")).unwrap();
    assert!(!three.addresses.contains(&two.addresses[0]));
    // The removal frees the name.
    two.stop_and_remove().unwrap();
    node.run_pod(&named("mypod2")).unwrap();
}

#[test]
fn programs_in_containers_run_at_once_and_have_a_deadline() {
    let lab = CriLab::new(ONE_NODE).unwrap();
    let pod = lab.nodes[0].run_pod(&PodSpec::default()).unwrap();
    assert_eq!(pod.addresses.len(), 1);
    thread::scope(|scope| {
        let wait = "until test -e /tmp/go; do sleep 0.01; done";
        let waiting = scope.spawn(|| run(&pod, "container1", &["sh", "-c", wait]));
        run(&pod, "container1", &["sh", "-c", "echo > /tmp/go"]);
        waiting.join().unwrap();
    });
    let output = pod.exec(
        "container2",
        &["sh", "-c", "echo out; echo err >&2; exit 3"],
    );
    let output = output.unwrap();
    assert_eq!((&*output.stdout, &*output.stderr), ("out\n", "err\n"));
    assert_eq!(output.code, 3);
    let late = pod.exec_within("container1", &["sleep", "9"], Duration::from_secs(1));
    assert!(late.is_err(), "{late:?}");
}

#[test]
fn commands_of_a_node_run_in_it() {
    let lab = CriLab::new(ONE_NODE).unwrap();
    let node = &lab.nodes[0];
    let output = |script: &str| {
        let mut command = node.command("sh").unwrap();
        let output = command.args(["-c", script]).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let netns = format!("net:[{}]\n", node.netns.inode);
    assert_eq!(output("hostname; exit 3"), (Some(3), "node1\n".to_owned()));
    assert_eq!(output("readlink /proc/self/ns/net"), (Some(0), netns));
    let (_, groups) = output("cat /proc/self/cgroup");
    assert!(
        groups.contains(":pids:/\n") || groups == "0::/init\n",
        "{groups}"
    );

    let script = "trap 'exit 7' INT; echo ready; while :; do sleep 0.01; done";
    for (stop, code) in [(Signal::SIGINT, Some(7)), (Signal::SIGKILL, None)] {
        let mut command = node.command("sh").unwrap();
        let command = command.args(["-c", script]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut String::new()).unwrap();
        signal(&child, stop);
        assert_eq!(child.wait().unwrap().code(), code);
        // It ends when the program has ended.
        stdout.read_to_end(&mut Vec::new()).unwrap();
    }
}

#[test]
fn a_lab_leaves_nothing() {
    let lab = CriLab::new(TWO_NODES).unwrap();
    let pod = lab.nodes[0].run_pod(&PodSpec::default()).unwrap();
    let other = lab.nodes[1].run_pod(&PodSpec::default()).unwrap();
    serve(&other);
    let traces = Traces::of(&lab.id);
    assert!(traces.netns_ids.contains(&pod.netns_id.unwrap()));
    // At least PID 1, containerd, and a shim, a pause and two containers for each node.
    assert!(traces.n_processes >= 12, "{traces:?}");
    assert!(traces.left().len() > traces.n_processes, "blind");
    drop(lab);
    assert_eq!(traces.left(), Vec::<String>::new());
}

#[test]
fn a_panic_leaves_nothing() {
    let mut traces = None;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let lab = CriLab::new(ONE_NODE).unwrap();
        lab.nodes[0].run_pod(&PodSpec::default()).unwrap();
        traces = Some(Traces::of(&lab.id));
        panic!("in the middle of a test");
    }));
    assert!(panicked.is_err());
    assert_eq!(traces.unwrap().left(), Vec::<String>::new());
}

#[test]
fn nothing_survives_a_killed_test_and_the_rest_is_swept() {
    let mut holder = Command::new(std::env::var_os("PODTRACE_LAB_NODE").unwrap())
        .arg("hold")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut id = String::new();
    let mut stdout = BufReader::new(holder.stdout.take().unwrap());
    stdout.read_line(&mut id).unwrap();
    let traces = Traces::of(id.trim_end());
    assert!(traces.n_processes >= 6, "{traces:?}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    // They end by themselves, long before any sweep.
    left::wait_until("the processes of a killed test's lab are gone", || {
        traces.processes().is_empty()
    });
    // Its own drop never ran. Another test process may already sweep.
    sweep().unwrap();
    left::wait_until("the killed test's lab is swept", || {
        traces.left().is_empty()
    });
}
