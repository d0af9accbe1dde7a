//! More packets than can be taken: nothing is lost without being counted.

use std::fs;
use std::thread;

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions, loaded_programs};
use podtrace::node::netns::NetNs;
use podtrace_ebpf::config::PROGRAM_EGRESS;
use serde_json::Value;

use super::live::Live;
use super::record::{conserved, notices, number, of_type, parse, replay_json};
use crate::cases::roads::lab;

/// Runs of the program on each frame.
const REPEAT: u32 = 500_000;
/// Different frames.
const FRAMES: u32 = 4;

/// Status of a program that lost events and was to be strict.
const LOST: i32 = 4;

/// A program that a process has loaded.
fn program_of(process: u32, name: &'static str) -> SchedClassifier {
    let ids: Vec<u32> = fs::read_dir(format!("/proc/{process}/fdinfo"))
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|text| {
            let id = text
                .lines()
                .find_map(|line| line.strip_prefix("prog_id:"))?;
            id.trim().parse().ok()
        })
        .collect();
    let program = loaded_programs()
        .map(Result::unwrap)
        .find(|program| ids.contains(&program.id()) && program.name_as_str() == Some(name));
    SchedClassifier::from_program_info(program.unwrap(), name.into()).unwrap()
}

/// A UDP packet whose payload is the number.
fn frame(number: u32) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0, 0, 92, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend([127, 0, 0, 1, 127, 0, 0, 1, 0x0f, 0xa0, 0, 53, 0, 72, 0, 0]);
    frame.extend(number.to_be_bytes());
    frame.resize(106, 7);
    frame
}

/// Makes the tap at the namespace's loopback interface see millions of packets.
fn flood(process: u32, netns: &NetNs) {
    let program = program_of(process, PROGRAM_EGRESS);
    for number in 0..FRAMES {
        let frame = frame(number);
        let result = netns.run(|| {
            program.test_run(TestRunOptions {
                data_in: Some(&frame),
                repeat: REPEAT,
                ..TestRunOptions::default()
            })
        });
        result.unwrap().unwrap();
    }
}

/// What was counted where packets leave by loopback.
fn loopback(values: &[Value]) -> &Value {
    let taps = values.last().unwrap()["taps"].as_array().unwrap();
    let is_it = |tap: &&Value| {
        tap["pod"] == "default/mypod1" && tap["interface"] == "lo" && tap["direction"] == "egress"
    };
    taps.iter().find(is_it).unwrap()
}

#[test]
fn every_event_of_a_flood_is_emitted_or_counted_as_lost() {
    let lab = lab();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("flood.pcapng");
    let args = ["trace", "-o", "json", "--strict", "--buffer", "1", "-w"];
    let args = [&args[..], &[file.to_str().unwrap()]].concat();
    let mut live = Live::on(&lab, &[0, 1], &args);
    let netns = lab.nodes[0].pods[0].netns.clone();
    let process = live.id();
    let flooding = thread::spawn(move || flood(process, &netns));
    // It is said while it happens.
    live.wait_for(|line| line.contains("events lost"));
    flooding.join().unwrap();
    let (status, lines) = live.stop();
    assert_eq!(status.code(), Some(LOST));
    let values = parse(&lines);
    let total = conserved(&values);
    let seen = number(loopback(&values), "seen");
    assert_eq!(seen, u64::from(REPEAT * FRAMES));
    assert!(number(loopback(&values), "lost_ring") > 0);
    for path in of_type(&values, "path") {
        assert_ne!(path["outcome"], "not_seen_further", "{path}");
    }
    // The file says the same.
    let replayed = replay_json(&[&file]);
    assert_eq!(conserved(&replayed), total);
    assert_eq!(loopback(&replayed), loopback(&values));
    assert!(!notices(&replayed).is_empty());
}
