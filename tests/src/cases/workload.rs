//! `podtrace trace -- COMMAND`: the trace of a command.

use std::io::{BufRead as _, BufReader};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Output, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde_json::Value;

use super::one_node;
use super::tracer::{Process, podtrace, trace_nodes};
use podtrace::lab::Lab;

/// Traces a shell's commands in the namespace of a node's first pod.
fn trace(lab: &Lab, options: &[&str], commands: &str) -> Output {
    let mut command = podtrace();
    command.args(["trace", "-o", "json"]).args(options);
    let _table = trace_nodes(&mut command, lab, &[0]);
    let pod = &lab.nodes[0].pods[0].netns.name;
    command.args(["--", "ip", "netns", "exec", pod, "sh", "-c", commands]);
    command.output().unwrap()
}

fn requests(output: &Output) -> Vec<Value> {
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let values = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let is_request = |value: &Value| value["type"] == "path" && value["icmp_type"] == 8;
    values.filter(is_request).collect()
}

#[test]
fn every_packet_of_a_command_is_traced_and_its_status_is_passed_on() {
    let lab = one_node(2);
    let to = lab.nodes[0].pods[1].ipv4;
    let commands = format!("busybox ping -q -c 3 -i 0.05 {to} > /dev/null; exit 7");
    let output = trace(&lab, &[], &commands);
    assert_eq!(output.status.code(), Some(7));
    let requests = requests(&output);
    let numbers: Vec<_> = requests.iter().map(|path| &path["icmp_sequence"]).collect();
    assert_eq!(numbers, [0, 1, 2]);
    // The last one's outcome is known, too.
    assert!(requests.iter().all(|path| path["outcome"] == "delivered"));
}

#[test]
fn command_ends_with_the_trace() {
    let lab = one_node(2);
    let to = lab.nodes[0].pods[1].ipv4;
    // Without a limit of the trace it would take a minute.
    let commands = format!("exec busybox ping -q -c 1200 -i 0.05 {to} > /dev/null");
    let output = trace(&lab, &["--count", "3"], &commands);
    assert_eq!(output.status.code(), Some(128 + 15));
    assert!(requests(&output).len() < 20);
}

#[test]
fn program_that_does_not_exist_is_named() {
    let lab = one_node(1);
    let mut command = podtrace();
    command.args(["trace", "--netns", &lab.nodes[0].netns.name]);
    let output = command
        .args(["--", "no-such-\x1bprogram"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(127));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("failed to run no-such-") && !text.contains('\x1b'),
        "{text}"
    );
}

#[test]
fn descriptor_tells_when_packets_are_traced() {
    let lab = one_node(2);
    let (reader, writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let mut command = podtrace();
    command.args(["trace", "-o", "json", "--count", "1"]);
    command
        .arg("--ready-fd")
        .arg(writer.as_raw_fd().to_string());
    let _table = trace_nodes(&mut command, &lab, &[0]);
    let mut process = Process::spawn(command.stdout(Stdio::piped()));
    drop(writer);
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    // Whatever is sent from now on is traced.
    let (pod, to) = (&lab.nodes[0].pods[0].netns.name, lab.nodes[0].pods[1].ipv4);
    let mut ping = Command::new("ip");
    ping.args(["netns", "exec", pod, "busybox", "ping", "-q", "-c", "1"]);
    assert!(ping.arg(to.to_string()).output().unwrap().status.success());
    assert!(process.wait().unwrap().success());
}

#[test]
fn descriptor_that_is_not_there_is_an_error() {
    let lab = one_node(1);
    let mut command = podtrace();
    command.args(["trace", "--netns", &lab.nodes[0].netns.name]);
    let output = command.args(["--ready-fd", "987"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("--ready-fd 987"), "{text}");
}
