//! A stalled reader of the output: packets are still traced and recorded, and packets not
//! shown are counted.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{ChildStdout, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use podtrace::lab::Lab;
use podtrace::lab::traffic::ping;
use tempfile::TempDir;

use super::record::{conserved, lines, notices, number, of_type, parse, replay_json};
use crate::cases::scenarios::lab;
use crate::cases::tracer::{ALL_TRACED, Process, interrupt, podtrace, trace_nodes};

/// Pings: their events take several times the output that may wait.
const PINGS: u16 = 3000;
/// The bytes of most of them in a recording: when it has as many, nothing was shown for long.
const RECORDED: u64 = 3_000_000;
/// How long a stalled reader is waited for, with some margin.
const PATIENCE: Duration = Duration::from_secs(10);
/// The deadline of every other wait.
const DEADLINE: Duration = Duration::from_secs(60);

/// A podtrace whose output is read until it has tapped everything.
struct Stalled {
    child: Process,
    stdout: BufReader<ChildStdout>,
    first: String,
}

impl Stalled {
    fn on(lab: &Lab, file: &Path, duration: &str) -> Self {
        let mut command = podtrace();
        command.args([
            "trace",
            "--strict",
            "--buffer",
            "64",
            "--duration",
            duration,
        ]);
        command.args(["-o", "json", "-w"]).arg(file);
        let _table = trace_nodes(&mut command, lab, &[0]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Process::spawn(&mut command);
        let mut stdout = BufReader::with_capacity(1, child.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        assert!(first.contains(r#""type":"start""#), "{first}");
        while first.contains(r#""attaching":"#) && !first.contains(ALL_TRACED) {
            stdout.read_line(&mut first).unwrap();
        }
        Self {
            child,
            stdout,
            first,
        }
    }

    /// Waits until it has ended; returns its status and standard error.
    fn end(&mut self, patience: Duration) -> (ExitStatus, String) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < patience, "it does not end");
            thread::sleep(Duration::from_millis(5));
        };
        let mut error = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut error).unwrap();
        (status, error)
    }
}

/// Many pings between two pods, until most of them are recorded.
fn flood(lab: &Lab, file: &Path) {
    let pods = &lab.nodes[0].pods;
    let answered = ping(&pods[0].netns, pods[1].ipv4.into(), 9, PINGS, 56).unwrap();
    assert_eq!(answered.len(), usize::from(PINGS));
    let started = Instant::now();
    while fs::metadata(file).unwrap().len() < RECORDED {
        assert!(started.elapsed() < DEADLINE, "it is not recorded");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The file has every ping and its reply.
#[track_caller]
fn has_all(file: &Path) {
    let values = replay_json(&[file]);
    let total = conserved(&values);
    assert!(total.get("unrecorded").is_none(), "{total}");
    assert_eq!(number(total, "lost_ring"), 0, "{total}");
    let pings = of_type(&values, "path")
        .filter(|path| path["what"].as_str().unwrap().starts_with("ICMP echo"));
    assert!(pings.clone().all(|path| path["outcome"] == "delivered"));
    assert_eq!(pings.count(), 2 * usize::from(PINGS));
}

#[test]
fn reader_that_stalls_keeps_nothing_from_being_recorded_or_ended() {
    let (lab, dir) = (lab(), TempDir::new().unwrap());
    let file = dir.path().join("a.pcapng");
    let mut stalled = Stalled::on(&lab, &file, "90s");
    flood(&lab, &file);
    interrupt(&stalled.child);
    let (status, error) = stalled.end(PATIENCE);
    assert_eq!(status.code(), Some(4), "{error}");
    assert!(
        error.starts_with("podtrace: nobody read the last "),
        "{error}"
    );
    has_all(&file);
}

#[test]
fn pager_may_take_its_time_until_a_signal_comes() {
    let (lab, dir) = (lab(), TempDir::new().unwrap());
    let file = dir.path().join("a.pcapng");
    let mut stalled = Stalled::on(&lab, &file, "6s");
    flood(&lab, &file);
    // The recording is closed before the wait for the reader.
    let started = Instant::now();
    while !is_closed(&file) {
        assert!(started.elapsed() < DEADLINE, "it does not end by itself");
    }
    has_all(&file);
    assert!(stalled.child.try_wait().unwrap().is_none());
    interrupt(&stalled.child);
    let (status, error) = stalled.end(PATIENCE);
    assert_eq!(status.code(), Some(4), "{error}");
}

/// Whether a recording has its end.
fn is_closed(file: &Path) -> bool {
    let output = podtrace().arg("replay").arg(file).output().unwrap();
    !String::from_utf8_lossy(&output.stdout).contains("ends without a closing block")
}

#[test]
fn packets_that_a_slow_reader_did_not_get_are_counted() {
    let (lab, dir) = (lab(), TempDir::new().unwrap());
    let file = dir.path().join("a.pcapng");
    let mut stalled = Stalled::on(&lab, &file, "90s");
    flood(&lab, &file);
    // The reader resumes.
    let mut text = stalled.first.clone();
    let mut line = String::new();
    while !line.contains("packets not shown: the output is not read fast enough") {
        line.clear();
        assert!(stalled.stdout.read_line(&mut line).unwrap() > 0);
        text += &line;
    }
    interrupt(&stalled.child);
    stalled.stdout.read_to_string(&mut text).unwrap();
    let (status, error) = stalled.end(PATIENCE);
    assert_eq!((status.code(), error.as_str()), (Some(4), ""));

    let values = parse(&lines(&text));
    let summary = values.last().unwrap();
    let total = conserved(&values);
    let not_shown = &summary["not_shown"];
    let shown = |name| of_type(&values, name).count() as u64;
    assert!(number(not_shown, "packets") > 0, "{summary}");
    assert_eq!(
        number(summary, "packets"),
        shown("path") + number(not_shown, "packets"),
        "{summary}"
    );
    assert_eq!(
        number(total, "emitted"),
        shown("event") + number(not_shown, "events"),
        "{summary}"
    );
    let reported: u64 = notices(&values)
        .iter()
        .filter_map(|text| text.split_once(" not shown"))
        .filter_map(|(packets, _)| {
            packets
                .strip_suffix('s')
                .unwrap_or(packets)
                .strip_suffix(" packet")?
                .parse::<u64>()
                .ok()
        })
        .sum();
    // Packets left out in the last second are in the summary alone.
    let all = number(not_shown, "packets");
    assert!(0 < reported && reported <= all, "{reported} of {all}");
    has_all(&file);
}
