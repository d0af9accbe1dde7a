//! A runtime that is down, hangs, sends nonsense, or never existed: tracing continues, and
//! missing names are reported.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::tracer::{Tracer, is_attach_progress, paths, podtrace};
use crate::cri_lab::{CriLab, CriLabSpec, CriNode, CriPod, PodSpec};

/// The time from podtrace's start until it traces: its deadline for a runtime, and its own
/// time on a busy machine.
const READY: Duration = Duration::from_secs(5);

fn one_node() -> CriLab {
    CriLab::new(CriLabSpec {
        nodes: 1,
        ipv6: false,
    })
    .unwrap()
}

fn run(node: &CriNode, name: &str) -> CriPod {
    let spec = PodSpec {
        name,
        ..PodSpec::default()
    };
    node.run_pod(&spec).unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn ping(from: &CriPod, to: &CriPod) {
    let to = to.ipv4().unwrap().to_string();
    let output = from
        .exec("container1", &["ping", "-c", "3", "-A", &to])
        .unwrap();
    assert_eq!(output.code, 0, "{output:?}");
}

fn notices(values: &[Value]) -> Vec<&str> {
    let notices = values.iter().filter(|value| value["type"] == "notice");
    notices
        .map(|value| text(value, "text"))
        .filter(|text| !is_attach_progress(text))
        .collect()
}

/// Notices about names, not about added and removed interfaces.
fn about_names(values: &[Value]) -> Vec<&str> {
    let mut notices = notices(values);
    notices.retain(|text| !text.ends_with(" is traced now") && !text.ends_with(" is gone"));
    notices
}

/// Traces a node with these options in place of its runtime's socket.
fn trace(node: &CriNode, options: &[&str]) -> Tracer {
    let mut command = node.command(podtrace().get_program()).unwrap();
    command.arg("trace").args(options);
    Tracer::spawn(command)
}

fn trace_with_socket(node: &CriNode, socket: &Path) -> Tracer {
    trace(node, &["--cri-socket", socket.to_str().unwrap()])
}

/// Three echo requests and their replies: nobody else pings.
fn pings(values: &[Value]) -> Vec<&Value> {
    let is_ping = |value: &&Value| text(value, "what").starts_with("ICMP echo");
    let paths = values.iter().filter(|value| value["type"] == "path");
    let found: Vec<_> = paths.filter(is_ping).collect();
    assert_eq!(found.len(), 6, "{found:#?}");
    found
}

/// Checks the names of a path's ends: pods by uid, containers by id.
fn check_unnamed(values: &[Value], from: &CriPod, to: &CriPod) {
    for path in pings(values) {
        let is_request = text(path, "what").contains("request");
        let (here, there) = if is_request {
            ("source", "destination")
        } else {
            ("destination", "source")
        };
        assert_eq!(
            text(path, &format!("{here}_pod")),
            format!("pod:{}", from.uid)
        );
        assert_eq!(
            text(path, &format!("{there}_pod")),
            format!("pod:{}", to.uid)
        );
        let id = &from.containers["container1"][..12];
        assert_eq!(text(path, &format!("{here}_container")), id, "{path}");
        assert_eq!(path["outcome"], "delivered");
    }
}

#[test]
fn without_a_runtime_pods_are_called_by_uid_and_containers_by_id() {
    let lab = one_node();
    let node = &lab.nodes[0];
    let (from, to) = (run(node, "mypod1"), run(node, "mypod2"));
    let tracer = trace(node, &[]);
    ping(&from, &to);
    let values = tracer.finish();
    check_unnamed(&values, &from, &to);
    let about = about_names(&values);
    assert_eq!(about.len(), 1, "{about:?}");
    assert!(
        about[0].starts_with("container names unknown: "),
        "{about:?}"
    );
    assert!(about[0].contains("--cri-socket"), "{about:?}");
    assert_eq!(notices(&values), about);
}

/// Traces with this socket: podtrace is ready in time and reports why there are no names, and
/// pods are named by uid.
#[track_caller]
fn check_useless(node: &CriNode, pods: [&CriPod; 2], socket: &Path, reason: &str) {
    let began = Instant::now();
    let tracer = trace_with_socket(node, socket);
    let ready = began.elapsed();
    ping(pods[0], pods[1]);
    let values = tracer.finish();
    check_unnamed(&values, pods[0], pods[1]);
    let about = about_names(&values);
    eprintln!("ready after {ready:?}: {about:?}");
    assert!(ready < READY, "{ready:?}");
    assert_eq!(about.len(), 1, "{about:?}");
    assert!(about[0].contains(reason), "{about:?}");
    assert!(about[0].contains(socket.to_str().unwrap()), "{about:?}");
}

/// Answers each connection with some bytes, or none; keeps the connections open.
fn serve(socket: &Path, words: &'static [u8]) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let mut kept: Vec<UnixStream> = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if !words.is_empty() {
                // The client writes first.
                let _ = stream.read(&mut [0; 64]);
                let _ = stream.write_all(words);
            }
            kept.push(stream);
        }
    });
}

#[test]
fn useless_socket_costs_a_moment_and_a_message() {
    let lab = one_node();
    let node = &lab.nodes[0];
    let (from, to) = (run(node, "mypod1"), run(node, "mypod2"));
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let check = |name: &str, reason| check_useless(node, [&from, &to], &at(name), reason);
    serve(&at("hangs.sock"), b"");
    check("hangs.sock", "did not answer");
    let page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\n\r\nrubb\n";
    serve(&at("rubbish.sock"), page);
    check("rubbish.sock", "does not speak CRI");
    serve(&at("noise.sock"), &[0xff; 4096]);
    check("noise.sock", "does not speak CRI");
}

#[test]
fn path_without_socket_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("file.sock"), "").unwrap();
    for (name, reason) in [
        ("missing.sock", "no socket at "),
        ("file.sock", "is not a socket"),
    ] {
        let output = podtrace()
            .args(["trace", "--cri-socket"])
            .arg(at(name))
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(
            error.contains(reason) && !error.contains("with --cri-socket"),
            "{error}"
        );
    }
}

#[test]
fn containerd_that_dies_is_missed_and_taken_up_again() {
    let lab = one_node();
    let node = &lab.nodes[0];
    let (from, to) = (run(node, "mypod1"), run(node, "mypod2"));
    to.serve_tcp("container2", 8080).unwrap();
    let host = to.ipv4().unwrap().to_string();
    // It continues while the runtime cannot start anything.
    let talker = PodSpec {
        name: "talker",
        containers: &["main"],
        command: Some(&["ping", "-q", "-i", "0.02", &host]),
        ..PodSpec::default()
    };
    let talker = node.run_pod(&talker).unwrap();
    let mut tracer = Tracer::on(node, &[]);
    let is_named = |value: &Value| {
        value["type"] == "path"
            && value["source_pod"] == "default/talker"
            && value["source_container"] == "main"
            && value["destination_pod"] == "default/mypod2"
            && value["outcome"] == "delivered"
    };
    tracer.wait_for(is_named);

    let killed = Instant::now();
    node.kill_containerd().unwrap();
    let removed_ns = super::pods_churn::now_ns();
    let notice = |value: &Value, start: &str| {
        value["type"] == "notice" && text(value, "text").starts_with(start)
    };
    tracer.wait_for(|value| notice(value, "new pods and containers stay unnamed: "));
    eprintln!("missed after {:?}", killed.elapsed());
    let began_ns = |value: &Value| value["hops"][0]["time_ns"].as_u64().unwrap();
    tracer.wait_for(|value| is_named(value) && began_ns(value) > removed_ns);

    node.start_containerd().unwrap();
    let back = Instant::now();
    tracer.wait_for(|value| notice(value, "pods and containers named by containerd"));
    eprintln!("taken up {:?} after it answers others", back.elapsed());
    let after = run(node, "after");
    ping(&after, &to);
    let source = after.ipv4().unwrap().to_string();
    tracer.wait_for(|value| {
        value["type"] == "path"
            && value["source"] == source
            && value["source_pod"] == "default/after"
            && value["source_container"] == "container1"
            && value["destination_pod"] == "default/mypod2"
    });
    // The pods had their taps all the time.
    let back_ns = super::pods_churn::now_ns();
    tracer.wait_for(|value| is_named(value) && began_ns(value) > back_ns);
    let values = tracer.finish();
    let removed: Vec<_> = notices(&values)
        .into_iter()
        .filter(|text| text.ends_with(" is gone"))
        .collect();
    assert!(removed.is_empty(), "{removed:?}");
    let lost = about_names(&values);
    assert_eq!(lost.len(), 3, "{lost:?}");
    let of_talker = talker.ipv4().unwrap().to_string();
    // Pings from before all interfaces were tapped may lack an end.
    let pings = paths(&values, "ICMP echo request", &of_talker, &host);
    let pings: Vec<_> = pings.filter(|path| path["incomplete"] != true).collect();
    let named = pings.iter().filter(|path| is_named(path)).count();
    eprintln!("{named} of {} pings named throughout", pings.len());
    // The last may still be under way.
    assert!(pings.len() - named <= 1, "{named} of {}", pings.len());
    drop(from);
}
