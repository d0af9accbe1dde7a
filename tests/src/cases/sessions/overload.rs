//! More events than podtrace can process, from its own programs: every one is accounted for,
//! live and in the recording, and losses are reported as they happen.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions, loaded_programs};
use podtrace::lab::traffic::ping;
use podtrace::lab::{Lab, LabPod};
use podtrace_ebpf::config::PROGRAM_INGRESS;
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use super::live::tail;
use super::record::{conserved, number, of_type, parse};
use crate::cases::scenarios::lab;
use crate::cases::tracer::{Process, interrupt, podtrace, trace_nodes};

/// Events of one run.
const REPEAT: u32 = 100_000;
/// The notice of losses.
const LOST: &str = " events lost, a CPU's ring was full (--buffer makes it larger): ";
/// The deadline of every wait.
const DEADLINE: Duration = Duration::from_secs(60);

/// podtrace with a small ring, on the first node of a lab.
struct Overloaded {
    child: Process,
    lines: Receiver<String>,
    passed: Vec<String>,
    _table: NamedTempFile,
}

impl Overloaded {
    fn on<A: AsRef<OsStr>>(lab: &Lab, args: &[A]) -> Self {
        let mut command = podtrace();
        command.args(args);
        command.args(["--strict", "--buffer", "1", "--duration", "90s"]);
        let table = trace_nodes(&mut command, lab, &[0]);
        let (child, lines) = spawn(command);
        let mut overloaded = Self {
            child,
            lines,
            passed: Vec::new(),
            _table: table,
        };
        overloaded.wait_for("podtrace on", r#""type":"start""#);
        overloaded
    }

    /// Reads until a line has one of these texts.
    fn wait_for(&mut self, one: &str, other: &str) {
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|_| panic!("no {one} in {}", tail(&self.passed)));
            let is_it = line.contains(one) || line.contains(other);
            self.passed.push(line);
            if is_it {
                return;
            }
        }
    }

    fn stop(mut self) -> (ExitStatus, Vec<String>) {
        let started = Instant::now();
        interrupt(&self.child);
        let mut lines = std::mem::take(&mut self.passed);
        lines.extend(self.lines.iter());
        let status = self.child.wait().unwrap();
        println!("ended {:?} after the signal", started.elapsed());
        (status, lines)
    }
}

/// Runs a podtrace; returns its lines except for those of the flood's packets, which are too
/// many.
fn spawn(mut command: Command) -> (Process, Receiver<String>) {
    let mut child = Process::spawn(command.stdout(Stdio::piped()));
    let mut stdout = BufReader::with_capacity(1 << 20, child.stdout.take().unwrap());
    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut line = String::new();
        while stdout.read_line(&mut line).unwrap() > 0 {
            let is_kept = !line.contains("UDP ") && !line.starts_with("   ");
            if is_kept && sender.send(line.trim_end().to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    (child, lines)
}

/// Opens a program of the running podtrace.
fn program_of(pid: u32, name: &'static str) -> SchedClassifier {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let ids: HashSet<u32> = infos
        .filter_map(|info| fs::read_to_string(info.ok()?.path()).ok())
        .filter_map(|info| {
            let id = info.lines().find_map(|line| line.strip_prefix("prog_id:"));
            id?.trim().parse().ok()
        })
        .collect();
    // Others' programs may vanish meanwhile.
    let info = loaded_programs()
        .filter_map(Result::ok)
        .find(|info| ids.contains(&info.id()) && info.name() == name.as_bytes())
        .unwrap();
    SchedClassifier::from_program_info(info, name.into()).unwrap()
}

/// A UDP datagram from and to localhost.
fn datagram() -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00]);
    frame.extend([0x45, 0, 0, 32, 0, 7, 0, 0, 64, 17, 0, 0]);
    frame.extend([127, 0, 0, 1, 127, 0, 0, 1]);
    frame.extend([0x13, 0x88, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]);
    frame
}

/// Floods a pod's loopback interface, and pings, during some work; returns the number of
/// events.
fn flooded(lab: &Lab, pid: u32, work: impl FnOnce()) -> u64 {
    let pods: &[LabPod] = &lab.nodes[0].pods;
    let (over, runs) = (AtomicBool::new(false), AtomicU64::new(0));
    let program = program_of(pid, PROGRAM_INGRESS);
    let frame = datagram();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let run = pods[0].netns.run(|| {
                    program.test_run(TestRunOptions {
                        data_in: Some(&frame),
                        repeat: REPEAT,
                        ..TestRunOptions::default()
                    })
                });
                run.unwrap().unwrap();
                runs.fetch_add(REPEAT.into(), Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                ping(&pods[0].netns, pods[1].ipv4.into(), 41, 5, 56).unwrap();
            }
        });
        // Ends the threads even if the work panics.
        let _over = Over(&over);
        work();
    });
    runs.into_inner()
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn every_event_of_an_overload_is_accounted_for_live_and_in_the_recording() {
    let (lab, dir) = (lab(), TempDir::new().unwrap());
    let file = dir.path().join("a.pcapng");
    let args = ["trace", "-o", "json", "-w", file.to_str().unwrap()];
    let mut overloaded = Overloaded::on(&lab, &args);
    let started = Instant::now();
    let runs = flooded(&lab, overloaded.child.id(), || {
        for _ in 0..2 {
            overloaded.wait_for(r#""type":"loss""#, r#""type":"loss""#);
        }
    });
    let flooded_for = started.elapsed();
    let (status, lines) = overloaded.stop();
    assert_eq!(status.code(), Some(4));
    let values = parse(&lines);
    let total = conserved(&values);
    let lost = number(total, "lost_ring");
    println!("{runs} events in {flooded_for:?}: {total}");

    let summary = values.last().unwrap();
    let mut taps = summary["taps"].as_array().unwrap().iter();
    let pod = lab.nodes[0].pods[0].name.as_str();
    let is_flooded = |tap: &Value| {
        tap["interface"] == "lo"
            && tap["direction"] == "ingress"
            && tap["pod"].as_str().is_some_and(|name| name.ends_with(pod))
    };
    let flooded = taps.find(|tap| is_flooded(tap)).unwrap();
    assert_eq!(number(flooded, "seen"), runs, "{flooded}");
    assert!(number(flooded, "lost_ring") > 0, "{flooded}");

    // Reported while it happened, at most once a second, the worst tap first.
    let losses: Vec<_> = of_type(&values, "loss").collect();
    let reported: u64 = losses.iter().map(|loss| number(loss, "lost")).sum();
    assert!(reported > 0 && reported <= lost, "{reported} of {lost}");
    assert_eq!(number(losses.last().unwrap(), "total"), reported);
    for pair in losses.windows(2) {
        let apart = number(pair[1], "time_ns") - number(pair[0], "time_ns");
        assert!(apart >= 1_000_000_000, "{apart}");
    }
    assert!(is_flooded(&losses[0]["taps"][0]), "{}", losses[0]);

    // Every ping was answered: none may be reported as lost.
    let pings: Vec<_> = of_type(&values, "path")
        .filter(|path| path["what"].as_str().unwrap().starts_with("ICMP echo"))
        .collect();
    let lost = pings
        .iter()
        .find(|path| path["outcome"] == "not_seen_further");
    assert!(lost.is_none(), "{lost:?}");
    check_file(&file, total, flooded, &losses);
}

/// The recording accounts for the same events. Replayed as text: JSON would be gigabytes.
fn check_file(file: &Path, live: &Value, flooded: &Value, losses: &[&Value]) {
    let mut command = podtrace();
    command
        .args(["replay", "--color", "never", "--strict"])
        .arg(file);
    let (mut child, lines) = spawn(command);
    let lines: Vec<_> = lines.iter().collect();
    assert_eq!(child.wait().unwrap().code(), Some(4));
    let [seen, emitted, filtered, lost, not_recorded] = sum(&lines);
    assert_eq!(seen, emitted + filtered + lost + not_recorded);
    assert_eq!(
        (seen, filtered),
        (number(live, "seen"), number(live, "filtered"))
    );
    // A slow disk does not record everything.
    let unrecorded = number(live, "emitted") - emitted;
    assert_eq!(
        (lost, not_recorded),
        (number(live, "lost_ring"), unrecorded)
    );
    let tap = lines.iter().find(|line| line.contains(" lo ingress: "));
    let tap = tap.unwrap_or_else(|| panic!("{}", tail(&lines)));
    assert!(
        tap.contains(&format!(" {} seen, ", number(flooded, "seen"))),
        "{tap}"
    );
    let full = format!(" {} lost (ring full)", number(flooded, "lost_ring"));
    assert!(tap.contains(&full), "{tap}");
    let reported: Vec<u64> = lines.iter().filter_map(|line| events_lost(line)).collect();
    let live: Vec<u64> = losses.iter().map(|loss| number(loss, "lost")).collect();
    if unrecorded == 0 {
        assert_eq!(reported, live);
    }
}

/// The number of lost events in a line.
fn events_lost(line: &str) -> Option<u64> {
    let (events, _) = line.strip_prefix("-- ")?.split_once(LOST)?;
    events.parse().ok()
}

/// The numbers of the line that accounts for all events: seen, emitted, filtered, lost, not
/// recorded.
#[track_caller]
fn sum(lines: &[String]) -> [u64; 5] {
    let sum = lines.iter().find(|line| line.starts_with("events: "));
    let sum = sum.unwrap_or_else(|| panic!("{}", tail(lines)));
    let numbers = sum.split(' ').filter_map(|word| word.parse().ok());
    let numbers: Vec<u64> = numbers.chain([0]).take(5).collect();
    assert!(sum.contains(" seen = "), "{sum}");
    numbers.try_into().unwrap()
}

#[test]
fn words_account_for_every_event_of_an_overload() {
    let lab = lab();
    let mut overloaded = Overloaded::on(&lab, &["trace", "--color", "never"]);
    flooded(&lab, overloaded.child.id(), || {
        for _ in 0..2 {
            overloaded.wait_for(LOST, LOST);
        }
    });
    let (status, lines) = overloaded.stop();
    assert_eq!(status.code(), Some(4));
    let report = lines
        .iter()
        .find(|line| events_lost(line).is_some())
        .unwrap();
    let pod = &lab.nodes[0].pods[0].name;
    assert!(report.contains(&format!("{pod} lo ingress")), "{report}");
    let [seen, emitted, filtered, lost, 0] = sum(&lines) else {
        panic!("nothing is recorded");
    };
    assert!(lost > 0);
    assert_eq!(seen, emitted + filtered + lost);
    println!("{report}\n{seen} seen, {lost} lost");
}
