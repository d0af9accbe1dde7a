//! Limits of the machine: excess is reported, and everything else continues.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, process};

use nix::sys::resource::{Resource, setrlimit};
use podtrace::lab::Lab;
use podtrace::lab::traffic::{ping, udp_exchange};
use serde_json::Value;
use tempfile::TempDir;

use super::one_node;
use super::tracer::{Tracer, podtrace, run, trace_nodes};
use crate::cri_lab::cgroup::{self, hierarchies};

/// Makes the command run with a limit.
fn limit(command: &mut Command, resource: Resource, limit: u64) {
    // SAFETY: one system call, which may be made between fork and exec.
    unsafe { command.pre_exec(move || setrlimit(resource, limit, limit).map_err(io::Error::from)) };
}

fn text(value: &Value) -> &str {
    value["text"].as_str().unwrap_or_default()
}

#[test]
fn interfaces_without_descriptors_are_reported_and_counted() {
    const FILES: u64 = 64;
    let lab = one_node(9);
    let mut command = podtrace();
    command.args(["trace", "-o", "json", "--strict", "--duration", "3s"]);
    let _table = trace_nodes(&mut command, &lab, &[0]);
    limit(&mut command, Resource::RLIMIT_NOFILE, FILES);
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let values: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let refused = values.iter().map(text);
    let refused: Vec<_> = refused
        .filter(|text| text.contains(" is not traced: "))
        .collect();
    assert!(!refused.is_empty(), "{stdout}");
    for text in &refused {
        let why = "Too many open files; podtrace may have 64 files open";
        assert!(text.contains(why) && text.contains("ulimit -Hn"), "{text}");
    }
    let summed_up = format!("interfaces: {} not traced", refused.len());
    assert!(
        values
            .iter()
            .any(|value| text(value).starts_with(&summed_up)),
        "{stdout}"
    );
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn recording_stops_at_the_limit_of_a_files_size_and_tracing_goes_on() {
    let lab = one_node(2);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.pcapng");
    let mut tracer = limited_recording(&lab, &[file.as_os_str()]);
    fill(&lab);
    tracer.wait_for(is_stopped);
    sees_ping(&lab, &mut tracer);
    let values = tracer.finish();
    assert_eq!(values.iter().filter(|value| is_stopped(value)).count(), 1);
    assert!(fs::metadata(&file).unwrap().len() <= FILE_MAX);
    let replayed = run(&["replay", file.to_str().unwrap()]);
    assert!(replayed.status.success(), "{replayed:?}");
}

/// Rotation at a size above the limit continues in the next file.
#[test]
fn recording_that_rotates_goes_on_in_another_file_at_the_limit_of_a_files_size() {
    let lab = one_node(2);
    let folder = TempDir::new().unwrap();
    let options = [folder.path().as_os_str(), "--rotate-size=1GB".as_ref()];
    let mut tracer = limited_recording(&lab, &options);
    for _ in 0..2 {
        fill(&lab);
        tracer.wait_for(is_stopped);
        tracer.wait_for(|value| text(value).starts_with("recording again: "));
    }
    sees_ping(&lab, &mut tracer);
    let values = tracer.finish();
    let files = fs::read_dir(folder.path()).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 2, "{files:?}");
    for file in &files {
        assert!(fs::metadata(file).unwrap().len() <= FILE_MAX);
    }
    // The lost events are counted, and all others are there.
    let folder = folder.path().to_str().unwrap();
    let replayed = run(&["replay", "-o", "json", folder]);
    assert!(replayed.status.success(), "{replayed:?}");
    let shown = String::from_utf8(replayed.stdout).unwrap();
    assert!(shown.contains("ICMP echo reply id 77 "), "no ping");
    let total = |summary: &Value| summary["total"]["seen"].as_u64().unwrap();
    let replayed: Value = serde_json::from_str(shown.lines().last().unwrap()).unwrap();
    assert_eq!(total(&replayed), total(values.last().unwrap()));
}

/// The limit of a file's size.
const FILE_MAX: u64 = 1 << 20;

/// Traces a node and records under that limit; `to`: a path and other options.
fn limited_recording(lab: &Lab, to: &[&OsStr]) -> Tracer {
    let mut command = podtrace();
    command.args(["trace", "-w"]).args(to);
    let _table = trace_nodes(&mut command, lab, &[0]);
    limit(&mut command, Resource::RLIMIT_FSIZE, FILE_MAX);
    Tracer::spawn(command)
}

/// Sends more than a file may hold: each datagram and its reply are events at several tap
/// points.
fn fill(lab: &Lab) {
    const DATAGRAMS: usize = 800;
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    let service = (to.ipv4, 9000).into();
    let sent = udp_exchange(&from.netns, &to.netns, service, DATAGRAMS, &[7; 100]);
    assert_eq!(sent.unwrap(), DATAGRAMS);
}

fn is_stopped(value: &Value) -> bool {
    let text = text(value);
    text.starts_with("recording stopped, tracing goes on:")
        && text.contains("the limit of a file's size")
}

fn sees_ping(lab: &Lab, tracer: &mut Tracer) {
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    ping(&from.netns, to.ipv4.into(), 77, 1, 56).unwrap();
    tracer.wait_for(|value| {
        let what = value["what"].as_str().unwrap_or_default();
        value["type"] == "path" && what.starts_with("ICMP echo reply id 77 ")
    });
}

/// A cgroup with a memory limit, until it is dropped.
struct Limited(PathBuf);

impl Limited {
    /// None without memory cgroups.
    fn new(bytes: u64) -> Option<Self> {
        let files = ["memory.limit_in_bytes", "memory.max"];
        let below = format!("podtrace-limits-{}", process::id());
        hierarchies().unwrap().into_iter().find_map(|hierarchy| {
            if hierarchy.is_v2() {
                // If this is refused or already done, the files below show it.
                let _ = fs::write(hierarchy.own.join("cgroup.subtree_control"), "+memory");
            }
            let group = Self(hierarchy.make(Path::new(&below)).ok()?);
            let limit = files.map(|file| group.0.join(file));
            let limit = limit.iter().find(|file| file.exists())?;
            fs::write(limit, bytes.to_string()).ok()?;
            Some(group)
        })
    }

    /// Makes the command run in it.
    fn hold(&self, command: &mut Command) {
        let processes = self.0.join("cgroup.procs");
        // SAFETY: the child opens and writes a file, whose path is made already.
        unsafe { command.pre_exec(move || fs::write(&processes, "0")) };
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        cgroup::remove(&self.0).unwrap();
    }
}

#[test]
fn rings_fit_into_a_small_cgroup_and_larger_ones_are_refused_with_a_hint() {
    let Some(group) = Limited::new(64 << 20) else {
        println!("skipped: no cgroups of memory");
        return;
    };
    let lab = one_node(1);
    let trace = |options: &[&str]| {
        let mut command = podtrace();
        command.args(["trace", "--duration", "100ms"]).args(options);
        let _table = trace_nodes(&mut command, &lab, &[0]);
        group.hold(&mut command);
        command.output().unwrap()
    };
    let fits = trace(&[]);
    assert!(fits.status.success(), "{fits:?}");
    let refused = trace(&["--buffer", "128"]);
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(stderr.contains("no memory for the rings"), "{stderr}");
    assert!(stderr.contains("--buffer"), "{stderr}");
    assert_eq!(refused.status.code(), Some(2));
}
