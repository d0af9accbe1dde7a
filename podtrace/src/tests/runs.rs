//! Several recordings of one node: runs of a recorder, and exports of parts.
use std::path::PathBuf;

use podtrace_ebpf::record::{CGROUP_NONE, Direction};
use serde_json::Value;

use super::sample::*;
use crate::{
    output::{json::Json, printer::Printer},
    replay::{options::PlayerOptions, player::Player},
    signals::Stop,
    sink::TextSink,
    update::Update,
};

const MS: u64 = 1_000_000;
/// A minute passes between two runs.
const RUNS_NS: [u64; 2] = [BEGIN_NS, BEGIN_NS + 60_000 * MS];

/// A run of a node: a ping between its pods, then packets to and from the other node.
fn run(node: u8, number: u8, zero_ns: i64) -> Recorded {
    let begin_ns = RUNS_NS[usize::from(number)];
    let mut tape = Tape::run(node, How::default(), text(), (number, begin_ns, zero_ns));
    attaching(&mut tape, 2);
    tape.tick(MS);
    attaching(&mut tape, 0);
    tape.tick(700 * MS);
    let first = u16::from(number) * 100;
    tape.ping(first, 5);
    for id in 1..5 {
        tape.tick(700 * MS);
        let (from, to) = if id % 2 == 0 { (2, 1) } else { (1, 2) };
        let ends = [from, to].map(uplink_address);
        let direction = if from == node {
            Direction::Egress
        } else {
            tape.now_ns += MS;
            Direction::Ingress
        };
        let frame = frame(ends[0], ends[1], first + id, mac(1));
        tape.event(UPLINK, direction, &frame, CGROUP_NONE, (None, 0));
        tape.now_ns -= if from == node { 0 } else { MS };
    }
    tape.tick(700 * MS);
    tape.finish()
}

fn attaching(tape: &mut Tape, left: u64) {
    tape.update(&Update::Attaching {
        left,
        refused: 0,
        partial: 0,
        pods: Vec::new(),
        since_ns: None,
        begun_ns: None,
        ts_ns: tape.now_ns,
    });
}

/// What is printed as JSON.
#[derive(Clone, Default)]
pub(super) struct Lines(std::sync::Arc<std::sync::Mutex<String>>);

impl TextSink for Lines {
    fn take(&mut self, text: &str) -> std::io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }
}

impl Lines {
    pub(super) fn values(&self) -> Vec<Value> {
        let text = self.0.lock().unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }
}

/// The lines of JSON of a replay.
pub(super) fn replay(files: Vec<PathBuf>) -> Vec<Value> {
    let options = PlayerOptions {
        files,
        ..PlayerOptions::default()
    };
    let player = Player::new(&options, false, Stop::default()).unwrap();
    let lines = Lines::default();
    let printer = Printer::new(Box::new(Json::new(0)), Box::new(lines.clone()));
    player.run(|_| Ok(vec![Box::new(printer)])).unwrap();
    lines.values()
}

pub(super) fn files(runs: &[&Recorded]) -> Vec<PathBuf> {
    runs.iter().flat_map(|run| run.files.clone()).collect()
}

/// Each path as outcome, number of hops, and whether it is incomplete.
fn paths(lines: &[Value]) -> Vec<(String, usize, bool)> {
    let paths = lines.iter().filter(|line| line["type"] == "path");
    paths
        .map(|path| {
            (
                path["outcome"].as_str().unwrap().to_owned(),
                path["hops"].as_array().unwrap().len(),
                path["incomplete"].as_bool().unwrap(),
            )
        })
        .collect()
}

fn notices(lines: &[Value]) -> Vec<&str> {
    let notices = lines.iter().filter(|line| line["type"] == "notice");
    notices.map(|line| line["text"].as_str().unwrap()).collect()
}

#[test]
fn later_run_continues_the_earlier_one() {
    // The second measurement of a clock's zero is not quite the first one.
    let runs = [run(1, 0, 0), run(2, 0, 0), run(1, 1, 700), run(2, 1, -900)];
    let [a1, a2, b1, b2] = &runs;
    let first = paths(&replay(files(&[a1, a2])));
    let second = paths(&replay(files(&[b1, b2])));
    let delivered = |hops| ("delivered".to_owned(), hops, false);
    let whole = [5, 5, 2, 2, 2, 2].map(delivered);
    assert_eq!(first, whole);
    assert_eq!(second, whole);
    // In any order of the files.
    for order in [[a1, a2, b1, b2], [b1, b2, a2, a1], [b2, a1, b1, a2]] {
        let lines = replay(files(&order));
        assert_eq!(paths(&lines), [&whole[..], &whole[..]].concat());
        let clocks = notices(&lines).into_iter();
        let clocks: Vec<_> = clocks.filter(|text| text.contains("clock of")).collect();
        assert!(
            clocks.len() == 1 && !clocks[0].contains("unknown"),
            "{clocks:?}"
        );
        assert_eq!(lines[0]["nodes"].as_array().unwrap().len(), 2, "{lines:?}");
    }
}

#[test]
fn runs_of_one_node_are_one_recording() {
    let [a, b] = [run(1, 0, 0), run(1, 1, 300)];
    let apart = [&a, &b].map(|run| paths(&replay(files(&[run]))));
    for order in [[&a, &b], [&b, &a]] {
        let lines = replay(files(&order));
        assert_eq!(paths(&lines), apart.concat());
        assert_eq!(
            notices(&lines)
                .iter()
                .filter(|text| text.contains("clock"))
                .count(),
            0
        );
    }
}

/// The node was started anew in between: nothing says how its clocks compare.
#[test]
fn another_boot_has_another_clock() {
    let [a, b] = [run(1, 0, 0), run(1, 1, 2_000_000)];
    let lines = replay(files(&[&a, &b]));
    let clocks = notices(&lines).into_iter();
    assert_eq!(clocks.filter(|text| text.contains("unknown")).count(), 1);
}

/// A recording beside others of the node: `at`: when it begins and ends, of the second in which
/// six pings come; `apart_ns`: how much later than others it sees each.
fn beside(number: u8, at: (u64, u64), apart_ns: u64, filtered: u64) -> Recorded {
    let begin_ns = BEGIN_NS + at.0 * MS;
    let mut tape = Tape::run(1, How::default(), text(), (number, begin_ns, 0));
    attaching(&mut tape, 0);
    for id in 0..6 {
        let ping_ns = BEGIN_NS + (50 + 100 * id) * MS + apart_ns;
        if (begin_ns..BEGIN_NS + at.1 * MS).contains(&ping_ns) {
            tape.tick(ping_ns - tape.now_ns);
            tape.ping(u16::try_from(id).unwrap(), 5);
        }
    }
    for _ in 0..filtered {
        tape.count(VETH1, Direction::Ingress, |counters| {
            counters.seen += 1;
            counters.filtered += 1;
        });
    }
    tape.tick(BEGIN_NS + at.1 * MS - tape.now_ns);
    tape.finish()
}

fn total(lines: &[Value]) -> [u64; 4] {
    let summary = lines.iter().find(|line| line["type"] == "summary").unwrap();
    ["seen", "emitted", "filtered", "lost"].map(|name| summary["total"][name].as_u64().unwrap_or(0))
}

#[test]
fn events_of_two_recordings_are_taken_once() {
    let alone = paths(&replay(files(&[&beside(1, (0, 2000), 0, 0)])));
    assert_eq!(alone, vec![("delivered".to_owned(), 5, false); 6]);
    for (other, apart_ns, twice) in [
        ((0, 2000), 700, 30),
        ((0, 2000), 0, 30),
        // Within the other, overlapping its end, and from before its begin.
        ((200, 400), 700, 10),
        ((300, 2500), 700, 15),
    ] {
        let [one, other] = [beside(1, (0, 2000), 0, 0), beside(2, other, apart_ns, 0)];
        for order in [[&one, &other], [&other, &one]] {
            let lines = replay(files(&order));
            assert_eq!(paths(&lines), alone);
            let [seen, emitted, filtered, lost] = total(&lines);
            assert_eq!([seen, emitted, filtered, lost], [30 + twice, 30, twice, 0]);
            let said = format!("{twice} events that two recordings of a node hold were taken once");
            assert!(notices(&lines).contains(&&*said), "{:?}", notices(&lines));
            assert_eq!(lines[0]["nodes"].as_array().unwrap().len(), 1);
        }
    }
    // One takes over from the other, between two packets.
    let [one, other] = [beside(1, (0, 320), 0, 0), beside(2, (200, 2500), 700, 0)];
    let lines = replay(files(&[&other, &one]));
    assert_eq!(total(&lines), [35, 30, 5, 0]);
    let outcomes: Vec<_> = paths(&lines)
        .into_iter()
        .map(|path| (path.0, path.1))
        .collect();
    assert_eq!(outcomes, vec![("delivered".to_owned(), 5); 6]);
}

/// Nothing tells of which packets a recording has all: what both have may count twice.
#[test]
fn recordings_of_a_part_count_twice() {
    let all = [0, 3].map(|filtered| beside(1, (0, 2000), 0, filtered));
    let part = beside(2, (0, 2000), 700, 2);
    // Of the one that has all.
    let lines = replay(files(&[&part, &all[0]]));
    assert_eq!(paths(&lines).len(), 6);
    assert_eq!(total(&lines), [62, 30, 32, 0]);
    let lines = replay(files(&[&part, &all[1]]));
    assert_eq!(paths(&lines).len(), 12);
    assert_eq!(total(&lines), [65, 60, 5, 0]);
    let told = notices(&lines).into_iter();
    let told = told.filter(|text| text.contains("packets that both have count twice"));
    assert_eq!(told.count(), 1, "{lines:?}");
}
