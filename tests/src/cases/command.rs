//! Error messages of the command.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use podtrace::lab::{Lab, LabSpec};

use super::tracer::{podtrace, run};

const ONE_NODE: LabSpec = LabSpec {
    nodes: 1,
    pods_per_node: 1,
    ipv6: false,
};

/// The deadline of a wait.
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn unknown_interface_is_named_with_near_ones() {
    let lab = Lab::new(ONE_NODE).unwrap();
    let netns = &lab.nodes[0].netns.name;
    let output = run(&["trace", "--netns", netns, "-i", "cnl0"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text.contains("cnl0") && text.contains("there is cni0"),
        "{text}"
    );
}

#[test]
fn unknown_namespace_is_named() {
    let output = run(&["trace", "--netns", "no-such-namespace"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("no-such-namespace"), "{text}");
}

#[test]
fn without_root_the_missing_capabilities_are_named() {
    // A copy that an ordinary user may run.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("podtrace");
    std::fs::copy(podtrace().get_program(), &path).unwrap();
    let open = |path| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    };
    open(folder.path());
    open(&path);
    let mut command = std::process::Command::new(&path);
    let output = command
        .arg("trace")
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("CAP_BPF") && text.contains("sudo"), "{text}");
}

#[test]
fn closed_pipe_ends_it_quietly() {
    let lab = Lab::new(ONE_NODE).unwrap();
    let netns = &lab.nodes[0].netns.name;
    let mut child = podtrace()
        .args(["trace", "--netns", netns, "--duration", "100ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn count_ends_it_after_so_many_packets() {
    let lab = Lab::new(ONE_NODE).unwrap();
    let pod = &lab.nodes[0].pods[0];
    let child = podtrace()
        .args(["trace", "--netns", &lab.nodes[0].netns.name])
        .args(["--count", "2", "--color", "never", "-i", "lo"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = child;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("podtrace on "), "{first}");
    let localhost = std::net::Ipv4Addr::LOCALHOST.into();
    podtrace::lab::traffic::ping(&pod.netns, localhost, 5, 2, 8).unwrap();
    let text: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success());
    assert!(
        text.iter().any(|line| line.starts_with("2 packets")),
        "{text:?}"
    );
}

#[test]
fn credential_plugin_that_hangs_ends_with_it() {
    let lab = Lab::new(ONE_NODE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (kubeconfig, pid) = (folder.path().join("config"), folder.path().join("pid"));
    let plugin = format!("echo $$ > {}; exec sleep 1000", pid.display());
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "clusters": [{"name": "lab", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "lab", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh",
            "args": ["-c", plugin],
            "interactiveMode": "Never",
        }}}],
    });
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let netns = &lab.nodes[0].netns.name;
    let output = podtrace()
        .args([
            "trace",
            "--duration",
            "100ms",
            "--netns",
            netns,
            "--kubeconfig",
        ])
        .arg(&kubeconfig)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let pid = std::fs::read_to_string(&pid).unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    // It may still be under way: the signal is sent, and nobody waits for it.
    let started = Instant::now();
    let lives = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_ok_and(|status| !status.contains("State:\tZ"))
    };
    while lives() {
        assert!(started.elapsed() < DEADLINE, "{pid}");
        thread::sleep(Duration::from_millis(5));
    }
}
