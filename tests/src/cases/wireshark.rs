//! Wireshark's interface: tshark captures by `podtrace extcap`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use podtrace::lab::Lab;
use podtrace::lab::traffic::ping;
use tempfile::TempDir;

use super::one_node;
use super::tracer::{Process, podtrace};

/// How many packets tshark captures: those of some pings at all their hops.
const PACKETS: &str = "240";
/// More pings than that, in case none is captured.
const PINGS_MAX: u16 = 2000;

/// Where tshark looks for programs for extcap.
fn folder_of_all() -> PathBuf {
    let output = Command::new("tshark").args(["-G", "folders"]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    // Later versions name the user's before it.
    let mut named = text
        .lines()
        .filter_map(|line| line.split_once("xtcap path:"));
    let (_, folder) = named.next_back().expect(&text);
    PathBuf::from(folder.trim())
}

/// tshark with podtrace among its interfaces, which names the pods of a lab.
fn tshark(lab: &Lab, folder: &Path) -> Command {
    let extcap = folder.join("extcap");
    fs::create_dir(&extcap).unwrap();
    let program = fs::canonicalize(podtrace().get_program()).unwrap();
    symlink(program, extcap.join("podtrace-extcap")).unwrap();
    let (table, config) = (folder.join("table"), folder.join("config.toml"));
    fs::write(&table, lab.pod_table()).unwrap();
    let settings = format!("[extcap]\npods = \"{}\"\n", table.display());
    fs::write(&config, settings).unwrap();
    // Wireshark 4.0 looks in no other folder: ours takes its place, in a namespace of its own.
    let script = r#"mount --bind "$1" "$2" && shift 2 && exec tshark "$@""#;
    let mut command = Command::new("unshare");
    let netns = &lab.nodes[0].netns.name;
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([&extcap, &folder_of_all()])
        .args(["-i", "podtrace", "-f", "icmp", "-c", PACKETS])
        .args(["-o", &format!("extcap.podtrace.netns:{netns}")])
        .env("PODTRACE_CONFIG", config)
        .env("HOME", folder);
    command
}

/// podtrace ends with tshark: the process waits for both.
#[test]
fn tshark_captures_hops_with_names() {
    let lab = one_node(2);
    let folder = TempDir::new().unwrap();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../podtrace/deploy/wireshark/podtrace.lua"
    );
    let mut command = tshark(&lab, folder.path());
    command.args(["-X", &format!("lua_script:{script}"), "-l", "-T", "fields"]);
    command.args([
        "-e",
        "podtrace.hop",
        "-e",
        "podtrace.pod",
        "-e",
        "icmp.type",
    ]);
    let mut tshark = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    for id in 0..PINGS_MAX {
        ping(&from.netns, to.ipv4.into(), id, 1, 56).unwrap();
        if tshark.try_wait().unwrap().is_some() {
            break;
        }
        // Only limits their number.
        thread::sleep(Duration::from_millis(10));
    }
    let stdout = std::io::read_to_string(tshark.stdout.take().unwrap()).unwrap();
    let stderr = std::io::read_to_string(tshark.stderr.take().unwrap()).unwrap();
    assert!(tshark.wait().unwrap().success(), "{stderr}");
    assert!(!stderr.contains("Error by extcap pipe"), "{stderr}");
    let rows: Vec<Vec<_>> = stdout
        .lines()
        .map(|row| row.split('\t').collect())
        .collect();
    assert_eq!(rows.len().to_string(), PACKETS);
    for (pod, kind) in [(from, "8"), (to, "8"), (to, "0"), (from, "0")] {
        let is_there = |row: &Vec<&str>| row[1] == pod.name && row[2] == kind;
        assert!(rows.iter().any(is_there), "{} {kind}: {stdout}", pod.name);
    }
    assert!(rows.iter().any(|row| row[0] == "1" && row[1] == from.name));
}
