//! A storm of events takes no more CPU time than allowed.

use crate::cases::one_node;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use podtrace::lab::{
    LabPod,
    traffic::flood::{Flood, FloodSpec, udp_flood},
};

use crate::cases::tracer::Tracer;

/// Percent of one processor.
const LIMIT: u32 = 10;
const FLOOD: FloodSpec = FloodSpec {
    payload: 64,
    duration: Duration::from_secs(2),
};

/// The CPU time of a process, in clock ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, behind_name) = stat.rsplit_once(')').unwrap();
    let fields: Vec<_> = behind_name.split_whitespace().collect();
    // User and system time (proc_pid_stat(5)).
    [11, 12]
        .map(|at| fields[at].parse::<u64>().unwrap())
        .iter()
        .sum()
}

/// The niceness of a process's threads, by their names.
fn niceness(pid: u32, thread: &str) -> Option<i64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stats = threads.filter_map(|one| fs::read_to_string(one.ok()?.path().join("stat")).ok());
    let mut stats = stats.filter(|stat| stat.contains(&format!("({thread})")));
    let stat = stats.next()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(16)?.parse().ok()
}

/// A flood by threads that yield to podtrace, so that only the limit holds it back.
fn modest_flood(from: &LabPod, to: &LabPod) -> Flood {
    let flood = || {
        rustix::process::nice(19).unwrap();
        udp_flood(&from.netns, &to.netns, (to.ipv4, 5353).into(), FLOOD).unwrap()
    };
    thread::scope(|scope| scope.spawn(flood).join().unwrap())
}

#[test]
fn flood_takes_no_more_processor_time_than_the_limit() {
    let lab = one_node(2);
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    let limit = LIMIT.to_string();
    let tracer = Tracer::start(&lab, &[0], &["--cpu-limit", &limit, "--buffer", "4"]);
    let pid = tracer.pid();
    for (thread, expected) in [("podtrace", 10), ("ring-reader", 10), ("attacher", 0)] {
        assert_eq!(niceness(pid, thread), Some(expected), "{thread}");
    }
    let (started, before) = (Instant::now(), ticks(pid));
    let flood = modest_flood(from, to);
    let taken = Duration::from_millis(10 * (ticks(pid) - before));
    let share = taken.as_secs_f64() / started.elapsed().as_secs_f64();
    println!(
        "{:.1} % of one processor during {} datagrams",
        share * 100.0,
        flood.sent
    );
    // The queue and the unwritten data are processed while the reader waits.
    assert!(share < 2.5 * f64::from(LIMIT) / 100.0, "{share}");
    // This checks conservation.
    let values = tracer.finish();
    // Attaching may already take it to the limit.
    let mut notices = values.iter().filter_map(|value| value["text"].as_str());
    assert!(notices.any(|text| text.starts_with("--cpu-limit 10 holds podtrace back")));
    let total = &values.last().unwrap()["total"];
    assert!(total["lost_ring"].as_u64().unwrap() > 0, "{total}");
    assert!(total["seen"].as_u64().unwrap() > flood.arrived, "{total}");
}
