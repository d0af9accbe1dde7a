//! SIGKILL at any moment: during the start, the trace, and the end.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::tracer::{Process, interrupt, podtrace, trace_nodes};
use super::{cleanup, dumps, pings_are_answered, tcx_programs, wait_for_orphans, wait_for_stubs};
use crate::cases::attach_methods::each_attach_method;
use crate::cases::one_node;

/// The states in which podtrace is killed: start, trace, end.
const STATES: u64 = 3;
/// The number of kills in each state, at moments spread over the span.
const MOMENTS: u64 = 12;
/// Longer than a start until its taps are active, and than an end.
const SPAN_US: u64 = 120_000;

/// Numbers from a seed (Steele and others, SplitMix64).
struct Random(u64);

impl Random {
    /// From `PODTRACE_SEED`, or from the time; prints the seed.
    fn new() -> Self {
        let seed = match std::env::var("PODTRACE_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs(),
        };
        println!("PODTRACE_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// Sleeps for a time within this part of the span: the moment of the kill, not a wait for
    /// something.
    fn moment(&mut self, part: u64) {
        let length = SPAN_US / MOMENTS;
        thread::sleep(Duration::from_micros(part * length + self.below(length)));
    }
}

#[test]
fn kill_at_any_moment_leaves_nothing_that_one_cleanup_does_not_remove() {
    let mut random = Random::new();
    each_attach_method(|method| {
        let lab = one_node(2);
        let before = dumps(&lab);
        for number in 0..STATES * MOMENTS {
            let mut command = podtrace();
            command.args([
                "trace",
                "-o",
                "json",
                "--attach",
                method,
                "--duration",
                "30s",
            ]);
            command.args(["-i", "veth0101", "-i", "eth0"]);
            let _table = trace_nodes(&mut command, &lab, &[0]);
            let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
            let state = number % STATES;
            if state > 0 {
                process.wait_for_its_first_line();
            }
            if state == 2 {
                interrupt(&process);
            }
            random.moment(number / STATES);
            process.kill().unwrap();
            process.wait().unwrap();
            if method == "tcx" {
                assert_eq!(tcx_programs(&lab), 0, "start {number}");
            }
        }
        pings_are_answered(&lab);
        if method == "clsact" {
            // The taps are freed at once; their stubs wait to be swept.
            wait_for_stubs();
            println!("{:#?}", cleanup(&lab));
        }
        assert_eq!(dumps(&lab), before);
        wait_for_orphans(&[]);
        pings_are_answered(&lab);
    });
}
