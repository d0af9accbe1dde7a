//! `podtrace flows`, live.

use std::process::Command;

use serde_json::Value;

use super::one_node;
use super::tracer::{podtrace, trace_nodes};

#[test]
fn flows_of_a_command_are_counted_both_ways() {
    let lab = one_node(2);
    let mut command: Command = podtrace();
    command.args(["flows", "-o", "json"]);
    let _table = trace_nodes(&mut command, &lab, &[0]);
    let (pod, to) = (&lab.nodes[0].pods[0], lab.nodes[0].pods[1].ipv4);
    let ping = format!("busybox ping -q -c 4 -i 0.05 {to} > /dev/null");
    command.args([
        "--",
        "ip",
        "netns",
        "exec",
        &pod.netns.name,
        "sh",
        "-c",
        &ping,
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let flows = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let flows: Vec<Value> = flows
        .filter(|flow: &Value| flow["protocol"] == "icmp")
        .collect();
    let [flow] = &flows[..] else {
        panic!("{} flows", flows.len());
    };
    assert_eq!(flow["client"]["address"], pod.ipv4.to_string(), "{flow}");
    assert_eq!(flow["server"]["address"], to.to_string(), "{flow}");
    assert_eq!(flow["sent"]["packets"], 4, "{flow}");
    assert_eq!(flow["answered"]["packets"], 4, "{flow}");
    assert_eq!(flow["rtt"]["count"], 4, "{flow}");
    assert_eq!(flow["lost"], 0, "{flow}");
}
