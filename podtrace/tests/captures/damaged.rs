//! What a damaged file says of packets: nothing that the damage explains.
use std::{collections::BTreeMap, fs, ops::Range, path::Path};

use super::*;
use crate::{
    bytes::{block, section_with},
    run::notices,
};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
/// What would be wrong to say: of the recording itself, podtrace says nothing of it.
const CLAIMS: [&str; 7] = [
    "events_lost",
    "loop",
    "no_socket",
    "not_seen_further",
    "refused",
    "unanswered",
    "given_up",
];

fn recording() -> Vec<u8> {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs");
    fs::read(recordings.join("worker1.pcapng")).unwrap()
}

/// The blocks of a file, with their types.
fn blocks(bytes: &[u8]) -> Vec<(u32, Range<usize>)> {
    let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    let (mut blocks, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let end = at + word(at + 4) as usize;
        blocks.push((word(at), at..end));
        at = end;
    }
    blocks
}

fn outcomes(summary: &Value) -> BTreeMap<String, u64> {
    serde_json::from_value(summary["outcomes"].clone()).unwrap()
}

/// Checks that the summary adds up and claims nothing; returns how many paths may lack hops.
fn check(lines: &[Value], what: &str) -> u64 {
    let summary = of_type(lines, "summary")[0];
    for (outcome, count) in outcomes(summary) {
        let is_claim = CLAIMS.contains(&&*outcome);
        assert!(count == 0 || !is_claim, "{what}: {outcome}");
    }
    let total = &summary["total"];
    let of = |name: &str| total[name].as_u64().unwrap_or_default();
    assert_eq!(
        of("seen"),
        of("emitted") + of("filtered") + of("lost_ring") + of("undecodable") + of("unrecorded"),
        "{what}: {total}"
    );
    summary["incomplete"].as_u64().unwrap()
}

#[test]
fn damage_explains_what_is_missing() {
    let bytes = recording();
    let files = Files::new();
    files.add("whole", &bytes);
    assert_eq!(check(&files.json(&["whole"]), "whole"), 0);
    let mut seen = BTreeMap::<u32, usize>::new();
    for (kind, block) in blocks(&bytes) {
        let number = seen.entry(kind).or_default();
        *number += 1;
        if !matches!(kind, INTERFACE | SECTION_HEADER) && !number.is_multiple_of(7) {
            continue;
        }
        let what = format!("block {number} of type {kind:#x}");
        let mut damaged = bytes.clone();
        damaged[block.start + block.len() / 2] ^= 0xff;
        files.add("damaged", &damaged);
        let lines = files.json(&["damaged"]);
        let incomplete = check(&lines, &what);
        let is_left_out = notices(&lines).iter().any(|text| text.contains("left out"));
        assert!(incomplete > 0 || kind != PACKET && !is_left_out, "{what}");
    }
}

#[test]
fn file_without_one_of_its_interfaces_claims_nothing() {
    let bytes = recording();
    let files = Files::new();
    let interfaces = blocks(&bytes).into_iter();
    for (_, block) in interfaces.filter(|(kind, _)| *kind == INTERFACE) {
        let rest = [&bytes[..block.start], &bytes[block.end..]].concat();
        files.add("rest", &rest);
        let lines = files.json(&["rest"]);
        let what = format!("{block:?}");
        let incomplete = check(&lines, &what);
        let left_out = of_type(&lines, "summary")[0]["left_out"].is_array();
        assert_eq!(incomplete > 0, left_out, "{what}");
        // What is made of it says the same.
        let args = [
            "export", "--format", "pcapng", "--force", "-w", "made", "rest",
        ];
        assert_eq!(files.run(&args).code, Some(0));
        let ends = |lines: &[Value]| {
            let paths = of_type(lines, "path").into_iter();
            let ends = paths.map(|path| format!("{} {}", path["outcome"], path["incomplete"]));
            ends.collect::<Vec<_>>()
        };
        assert_eq!(ends(&files.json(&["made"])), ends(&lines), "{what}");
    }
}

#[test]
fn unknown_end_in_a_damaged_file_is_told_in_words() {
    let mut bytes = recording();
    let packets = blocks(&bytes).into_iter();
    let packets: Vec<_> = packets.filter(|(kind, _)| *kind == PACKET).collect();
    let (first, last) = (packets[60].1.clone(), packets[64].1.clone());
    bytes[first.start + 40..last.end].fill(0xff);
    let files = Files::new();
    files.add("damaged", &bytes);
    let output = files.run(&["replay", "damaged"]);
    assert!(output.stdout.contains("hops may be missing"), "{output:?}");
    assert!(!output.stdout.contains("events were lost"), "{output:?}");
}

/// The interfaces of another tool's file are numbered by their order.
#[test]
fn interface_behind_a_damaged_one_keeps_its_number() {
    let named = |name: &str| [&[2, 0, 4, 0][..], name.as_bytes()].concat();
    let interface = |name: &str| section_with(1, &named(name))[28..].to_vec();
    let packet_at = |interface: u8, sequence: u16| {
        let time = begin_us() + u64::from(sequence) * 1_000_000;
        let mut block = packet(6, time, &frame(sequence));
        block[8] = interface;
        block
    };
    let mut garbage = interface("eth1");
    garbage[..8].fill(0xee);
    for (damaged, places) in [
        (interface("eth1"), &["eth0", "eth1", "eth2"][..]),
        (block(1, &[]), &["eth0", "eth2"]),
        // Nothing tells how many there were.
        (garbage, &[]),
    ] {
        let parts = [section_with(1, &named("eth0")), damaged, interface("eth2")];
        let packets = (0..3).flat_map(|number| packet_at(number, number.into()));
        let files = Files::new();
        files.add("file", &[parts.concat(), packets.collect()].concat());
        let lines = files.json(&["file"]);
        let paths = of_type(&lines, "path").into_iter();
        let seen: Vec<_> = paths
            .map(|path| path["hops"][0]["interface"].as_str().unwrap())
            .collect();
        assert_eq!(seen, places, "{lines:?}");
        let summary = of_type(&lines, "summary")[0];
        let left_out = summary["left_out"][0]["packets"].as_u64();
        assert_eq!(left_out.unwrap_or_default(), 3 - places.len() as u64);
    }
}

/// Each block is intact then; only the counts tell.
#[test]
fn events_put_in_twice_are_reported() {
    let bytes = recording();
    let all = blocks(&bytes);
    let packets = all.iter().filter(|(kind, _)| *kind == PACKET);
    let files = Files::new();
    files.add("as recorded", &bytes);
    assert_eq!(
        files.run(&["replay", "--strict", "as recorded"]).code,
        Some(0)
    );
    for (_, packet) in packets.step_by(40) {
        let mut doubled = bytes[..packet.end].to_vec();
        doubled.extend(&bytes[packet.start..]);
        files.add("doubled", &doubled);
        let output = files.run(&["replay", "--strict", "doubled"]);
        assert_eq!(output.code, Some(4));
        let said = "-- doubled: 1 event more than were recorded";
        assert!(output.stdout.contains(said), "{}", output.stdout);
    }
}
