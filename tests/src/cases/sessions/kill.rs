//! SIGKILL loses at most the last flush interval.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use podtrace::lab::traffic::ping;
use serde_json::Value;
use tempfile::TempDir;

use super::export::export_to;
use super::live::{Live, tail};
use super::peers::agree;
use super::record::{notices, number, of_type, parse, replay_json, run};
use crate::cases::scenarios::lab;

/// Upper bound of what a recording may lack, in nanoseconds: five flush intervals of 100 ms,
/// as a machine may be busy, and half of the interval without the option.
const LACKS: u64 = 500_000_000;
/// The duration of the recording.
const SPAN: u64 = 1_500_000_000;
/// The deadline of a wait.
const DEADLINE: Duration = Duration::from_secs(30);

/// The identity of an event.
fn identity(event: &Value) -> (u64, u64, String, String) {
    (
        number(event, "time_ns"),
        number(event, "ifindex"),
        event["direction"].to_string(),
        event["what"].to_string(),
    )
}

/// Kills a recording under traffic; the file has everything except for the end.
fn check(zstd: bool) {
    let lab = lab();
    let dir = TempDir::new().unwrap();
    let name = if zstd { "a.pcapng.zst" } else { "a.pcapng" };
    let file = dir.path().join(name);
    let mut args = vec!["trace", "-o", "json", "--flush", "100ms", "-i", "veth0101"];
    args.extend(zstd.then_some("--zstd"));
    args.extend(["-w", file.to_str().unwrap()]);
    let mut live = Live::on(&lab, &[0], &args);
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    let stop = AtomicBool::new(false);
    let time = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        (value["type"] == "event").then(|| number(&value, "time_ns"))
    };
    let lines = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                ping(&from.netns, to.ipv4.into(), 9, 2, 56).unwrap();
                // Only limits their number.
                thread::sleep(Duration::from_millis(1));
            }
        });
        let first = live.wait_for(|line| time(line).is_some());
        let last = time(&first).unwrap() + SPAN;
        live.wait_for(|line| time(line).is_some_and(|ns| ns >= last));
        let lines = live.kill();
        stop.store(true, Ordering::Relaxed);
        lines
    });
    // The last line may be cut.
    let shown = parse(&lines[..lines.len() - 1]);
    let shown: BTreeSet<_> = of_type(&shown, "event").map(identity).collect();
    let newest = shown.iter().next_back().unwrap().0;

    let values = replay_json(&[&file]);
    let recorded: BTreeSet<_> = of_type(&values, "event").map(identity).collect();
    let missing: Vec<_> = shown.difference(&recorded).collect();
    let is_old = |event: &&&(u64, u64, String, String)| event.0 + LACKS < newest;
    assert_eq!(
        missing.iter().filter(is_old).count(),
        0,
        "{}",
        tail(&missing)
    );
    assert!(recorded.len() > shown.len() / 2);
    let notices = notices(&values);
    let is_noticed = |text: &str| notices.iter().any(|notice| notice.contains(text));
    assert!(is_noticed("ends without a closing block"), "{notices:?}");
    let damage = notices
        .iter()
        .filter(|notice| notice.contains("is damaged"));
    let cuts = damage.clone().filter(|notice| notice.contains("cut off"));
    assert!(damage.clone().count() <= 1, "{notices:?}");
    assert_eq!(damage.clone().count(), cuts.count(), "{notices:?}");
    println!(
        "killed: {} events shown, {} of them not in the file, the oldest {} ms before the end",
        shown.len(),
        missing.len(),
        missing
            .first()
            .map_or(0, |event| (newest - event.0) / 1_000_000)
    );
    let recovered = dir.path().join("recovered.pcapng");
    export_to(&recovered, "pcapng", &[], &[&file]);
    let read = agree(&recovered);
    assert_eq!(of_type(&read, "event").count(), recorded.len());
    // tshark 4.0 reads garbage from more than a few frames of zstd.
    if !zstd && damage.count() == 0 {
        agree(&file);
    }
}

#[test]
fn last_packet_before_a_silence_is_not_kept_waiting() {
    let lab = lab();
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcapng");
    let mut args = vec!["trace", "-o", "json", "--flush", "700ms", "-i", "lo"];
    args.extend(["--hop-timeout", "50ms", "-w", file.to_str().unwrap()]);
    let mut live = Live::on(&lab, &[0], &args);
    let localhost = std::net::Ipv4Addr::LOCALHOST.into();
    ping(&lab.nodes[0].pods[0].netns, localhost, 9, 1, 56).unwrap();
    live.wait_for(|line| line.contains("ICMP echo reply id 9 "));
    let since = Instant::now();
    let args = ["replay", file.to_str().unwrap()];
    while !String::from_utf8_lossy(&run(&args).stdout).contains("echo reply id 9 ") {
        assert!(since.elapsed() < DEADLINE);
        thread::yield_now();
    }
}

/// Until something of the new file is on disk, the earlier one is all that there is.
#[test]
fn killed_recording_leaves_the_file_that_it_was_to_replace() {
    let lab = lab();
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("old");
    fs::write(&file, "keep me").unwrap();
    let mut args = vec![
        "trace", "-o", "json", "--flush", "60s", "-i", "lo", "--force",
    ];
    args.extend(["-w", file.to_str().unwrap()]);
    let mut live = Live::on(&lab, &[0], &args);
    let localhost = std::net::Ipv4Addr::LOCALHOST.into();
    ping(&lab.nodes[0].pods[0].netns, localhost, 9, 1, 56).unwrap();
    live.wait_for(|line| line.contains("\"event\""));
    live.kill();
    assert_eq!(fs::read(&file).unwrap(), b"keep me");
}

#[test]
fn killed_recording_lacks_its_last_moments_at_most() {
    check(false);
}

#[test]
fn killed_compressed_recording_lacks_its_last_moments_at_most() {
    check(true);
}
