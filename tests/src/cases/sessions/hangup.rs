//! SIGHUP: the terminal was closed.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use podtrace::lab::traffic::ping;
use tempfile::TempDir;

use super::live::{Live, tail};
use crate::cases::one_node;
use crate::cases::tracer::{podtrace, trace_nodes};

/// Runs podtrace by a program that sets the action of SIGHUP.
fn by(program: &[&str], args: &[&str]) -> Command {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]);
    command.arg(podtrace().get_program()).args(args);
    command
}

/// As at a terminal, independent of what started the test.
const PLAIN: [&str; 2] = ["env", "--default-signal=HUP"];

#[test]
fn trace_ends_with_its_summary() {
    let lab = one_node(2);
    let mut command = by(&PLAIN, &["trace", "--duration", "90s", "--color", "never"]);
    let _table = trace_nodes(&mut command, &lab, &[0]);
    let (status, lines) = Live::spawn(command).hang_up();
    assert!(status.success(), "{status}: {}", tail(&lines));
    let summary = lines.last().unwrap();
    assert!(summary.starts_with("events: "), "{}", tail(&lines));
}

#[test]
fn lab_is_taken_down() {
    let args = ["lab", "--nodes", "1", "--pods", "1"];
    let mut live = Live::spawn(by(&PLAIN, &args));
    live.wait_for(|line| line.starts_with("Ctrl-C"));
    let (status, lines) = live.hang_up();
    assert!(status.success(), "{status}");
    let node = lines.iter().find_map(|line| line.strip_prefix("node "));
    let name = node.and_then(|node| node.split(' ').next()).unwrap();
    assert!(name.starts_with("podtrace-"), "{name}");
    assert!(!Path::new("/run/netns").join(name).exists(), "{name}");
}

#[test]
fn recording_under_nohup_goes_on() {
    let (lab, dir) = (one_node(2), TempDir::new().unwrap());
    let file = dir.path().join("a.pcapng");
    let args = ["trace", "--duration", "90s", "-o", "json", "-w"];
    let mut command = by(&["nohup"], &args);
    command.arg(&file);
    let _table = trace_nodes(&mut command, &lab, &[0]);
    let mut live = Live::spawn(command);
    live.send_hangup();
    let [from, to, ..] = lab.nodes[0].pods.as_slice() else {
        panic!("two pods");
    };
    ping(&from.netns, to.ipv4.into(), 78, 1, 56).unwrap();
    live.wait_for(|line| line.contains(r#""type":"path""#) && line.contains("id 78 "));
    live.finish();
}

/// As for `podtrace record -w - | head -c 1`.
#[test]
fn recording_ends_when_nobody_reads_it() {
    let lab = one_node(1);
    let mut command = podtrace();
    command.args(["record", "-w", "-", "--duration", "90s"]);
    let _table = trace_nodes(&mut command, &lab, &[0]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let begun = Instant::now();
    let mut recording = command.spawn().unwrap();
    let mut output = recording.stdout.take().unwrap();
    output.read_exact(&mut [0]).unwrap();
    drop(output);
    let status = recording.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}
