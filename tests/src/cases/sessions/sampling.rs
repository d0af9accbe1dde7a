//! Parts of the packets: `--sample`, `--max-rate`, `--headers-only`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use podtrace::lab::traffic::{ping, tcp_exchange};
use serde_json::Value;

use super::export::export_to;
use super::live::Live;
use super::record::{number, of_type, parse, replay_json};
use crate::cases::scenarios::{TWO_NODES, lab};
use crate::cases::tracer::{Tracer, hops, paths, run};

const PINGS: u16 = 200;
/// One in this many.
const SHARE: usize = 4;

/// The sequence numbers of echo messages.
fn sequences<'a>(paths: impl Iterator<Item = &'a Value>) -> BTreeSet<u16> {
    let last_word = |path: &Value| {
        let what = path["what"].as_str().unwrap();
        what.rsplit(' ').next().unwrap().parse().unwrap()
    };
    paths.map(last_word).collect()
}

fn count(values: &[Value], outcome: &str) -> usize {
    let paths = of_type(values, "path");
    paths.filter(|path| path["outcome"] == outcome).count()
}

#[test]
fn sampled_packets_have_all_their_hops_and_their_replies() {
    let lab = lab();
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let share = format!("1/{SHARE}");
    let tracer = Tracer::start(&lab, &[0, 1], &["--sample", &share]);
    ping(&from.netns, to.ipv4.into(), 23, PINGS, 56).unwrap();
    let values = tracer.finish();
    let (source, destination) = (from.ipv4.to_string(), to.ipv4.to_string());
    let requests = paths(&values, "ICMP echo request", &source, &destination);
    let requests: Vec<_> = requests.collect();
    let expected = usize::from(PINGS) / SHARE;
    assert!(requests.len().abs_diff(expected) < expected / 2);
    for path in &requests {
        assert_eq!(hops(path), TWO_NODES, "{path}");
        assert_eq!(path["outcome"], "delivered", "{path}");
    }
    let replies = paths(&values, "ICMP echo reply", &destination, &source);
    let replies: Vec<_> = replies.collect();
    for path in &replies {
        assert!(path["rtt_ns"].as_u64().unwrap() > 0, "{path}");
    }
    let [requests, replies] = [requests, replies].map(|paths| sequences(paths.into_iter()));
    assert_eq!(requests, replies);
    assert_eq!(count(&values, "not_seen_further"), 0);
    let total = &values.last().unwrap()["total"];
    assert!(number(total, "filtered") > number(total, "emitted"));
    assert_eq!(number(total, "lost_ring"), 0);
}

#[test]
fn different_sampling_is_not_reported_as_loss() {
    let lab = lab();
    let dir = tempfile::tempdir().unwrap();
    let files = ["one", "two"].map(|name| dir.path().join(format!("{name}.pcapng")));
    let [one, two] = files.each_ref().map(|file| file.to_str().unwrap());
    // Shorter than the traffic, so that packets are given up during it.
    let timeout = ["record", "--hop-timeout", "20ms"];
    let record = |node, args: &[&str]| Live::on(&lab, &[node], &[&timeout, args].concat());
    let lives = [
        record(0, &["-w", one]),
        record(1, &["-w", two, "--sample", "1/4"]),
    ];
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(100) {
        ping(&from.netns, to.ipv4.into(), 23, PINGS, 56).unwrap();
    }
    for live in lives {
        live.finish();
    }
    let merged = dir.path().join("merged.pcapng");
    export_to(&merged, "pcapng", &[], &files);
    for files in [&files[..], &[merged]] {
        let values = replay_json(files);
        assert!(count(&values, "delivered") > 0);
        assert!(count(&values, "unknown") > 0);
        assert_eq!(count(&values, "not_seen_further"), 0);
    }
}

#[test]
fn rate_beyond_the_limit_lowers_the_share() {
    let lab = lab();
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let args = ["trace", "-o", "json", "--max-rate", "2k"];
    let mut live = Live::on(&lab, &[0, 1], &args);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                ping(&from.netns, to.ipv4.into(), 23, 10, 56).unwrap();
            }
        });
        let line = live.wait_for(|line| line.contains(" packets is traced"));
        assert!(line.contains("1 in "), "{line}");
        is_done.store(true, Ordering::Relaxed);
    });
    let values = parse(&live.finish());
    assert_eq!(count(&values, "not_seen_further"), 0);
    assert!(number(&values.last().unwrap()["total"], "filtered") > 0);
}

#[test]
fn headers_are_enough_for_whole_paths() {
    let lab = lab();
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let tracer = Tracer::start(&lab, &[0, 1], &["--headers-only"]);
    let service = (to.ipv4, 8080).into();
    tcp_exchange(&from.netns, &to.netns, service, 1_000).unwrap();
    let values = tracer.finish();
    let (source, destination) = (from.ipv4.to_string(), to.ipv4.to_string());
    let segments: Vec<_> = paths(&values, "TCP ", &source, &destination).collect();
    assert!(segments.len() >= 3);
    for path in segments {
        assert_eq!(hops(path), TWO_NODES, "{path}");
    }
}

#[test]
fn shares_and_rates_that_are_none_are_refused() {
    for args in [["--sample", "2/3"], ["--max-rate", "fast"]] {
        let output = run(&["trace", args[0], args[1]]);
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("for example"), "{stderr}");
    }
}
