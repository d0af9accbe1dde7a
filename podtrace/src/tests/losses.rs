//! Packets under way while events were lost are marked so, live and in a replay.
use podtrace_ebpf::record::Direction;

use super::sample::*;
use crate::{
    model::{
        loss::{LostSpan, Missing},
        origin::Origin,
        tap::TapCount,
    },
    output::json::Json,
    replay::merge::Stream,
    update::Update,
};

const MS: u64 = 1_000_000;

/// Five packets that arrive, the third and the fifth while events are lost: those of
/// one are counted, when the others' were lost is known.
fn tape(how: How, output: Box<dyn crate::output::render::Render>) -> Recorded {
    let mut tape = Tape::new(1, how, output);
    for number in 0..5 {
        tape.now_ns += 100 * MS;
        match number {
            2 => lose(&mut tape, 1),
            4 => {
                lose(&mut tape, 2);
                let begin_ns = tape.now_ns;
                tape.pipeline.record_loss(LostSpan {
                    from_ns: begin_ns + 100,
                    to_ns: begin_ns + 200,
                    events: 2,
                });
            }
            _ => {}
        }
        tape.ping(number, 5);
        tape.tick(50 * MS);
    }
    tape.finish()
}

fn lose(tape: &mut Tape, events: u64) {
    tape.count(VETH1, Direction::Egress, |counters| {
        counters.seen += events;
        counters.lost += events;
    });
}

fn ends(text: &str) -> Vec<&str> {
    let ends = text.lines().filter(|line| line.contains("delivered"));
    ends.map(str::trim).collect()
}

#[test]
fn packets_that_arrive_while_events_are_lost_are_marked() {
    for rotate_bytes in [None, Some(2_000)] {
        let how = How {
            rotate_bytes,
            ..How::default()
        };
        for (live, again) in outputs(EPOCH_NS).into_iter().zip(outputs(0)) {
            let recorded = tape(how, live);
            let replayed = replay(&recorded.files, &["worker1"], again);
            assert_eq!(replayed.text, recorded.text);
        }
    }
    let recorded = tape(How::default(), text());
    assert_eq!(
        ends(&recorded.text),
        [
            "delivered in 4.0 µs",
            "delivered in 4.0 µs",
            "delivered in 4.0 µs (hops may be missing)",
            "delivered in 4.0 µs",
            "delivered in 4.0 µs (hops may be missing)",
            "5 packets · 5 delivered · 2 incomplete",
        ]
    );
}

/// Three packets of the first node that are not seen again: one that went on after the other
/// node's recording had ended, one that was under way meanwhile, one before.
#[test]
fn packets_under_way_at_another_recordings_end_are_unknown() {
    let mut short = Tape::new(2, How::default(), text());
    short.now_ns += 1_000 * MS;
    short.ping(1, 5);
    let mut long = Tape::new(1, How::default(), text());
    for (number, pause_ms) in [(1, 900), (2, 800), (3, 800)] {
        long.ping(number, 2);
        long.tick(pause_ms * MS);
    }
    let recorded = [long.finish(), short.finish()];
    let streams = recorded.iter().enumerate().map(|(number, recorded)| {
        let origin = Origin {
            session: number,
            nodes: number..number + 1,
        };
        Stream::new(chain(&recorded.files), origin, None)
    });
    let json = Box::new(Json::new(0));
    let replayed = play(streams.collect(), &["worker1", "worker2"], json);
    let outcomes = replayed.text.lines().filter_map(|line| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let is_path = value["type"] == "path" && value["outcome"] != "delivered";
        is_path.then(|| value["outcome"].as_str().unwrap().to_owned())
    });
    let outcomes: Vec<_> = outcomes.collect();
    assert_eq!(
        outcomes,
        ["not_seen_further", "unknown", "not_seen_further"]
    );
}

/// Three packets that arrive, and two events that the recording of them does not hold: nothing
/// tells when, but that it was until the tick behind the second packet.
#[test]
fn what_was_not_recorded_is_not_lost() {
    let mut tape = Tape::new(1, How::default(), text());
    for number in 0..3 {
        if number == 1 {
            tape.count(VETH1, Direction::Egress, |counters| counters.seen += 2);
            let (taps, _) = tape.pipeline.taps_mut();
            let count = taps.entry((VETH1, Direction::Egress)).or_default();
            count.unrecorded += 2;
        }
        tape.ping(number, 5);
        tape.now_ns += 700 * MS;
        let missing = Missing {
            lost: 0,
            not_recorded: if number > 0 { 2 } else { 0 },
        };
        tape.pipeline.advance(tape.now_ns, missing);
    }
    let recorded = tape.finish();
    let replayed = replay(&recorded.files, &["worker1"], text());
    assert_eq!(
        ends(&replayed.text),
        [
            "delivered in 4.0 µs",
            "delivered in 4.0 µs",
            "delivered in 4.0 µs (hops may be missing)",
            "3 packets · 3 delivered · 1 incomplete",
        ]
    );
    let counts: Vec<_> = replayed.text.lines().rev().take(2).collect();
    assert_eq!(
        counts,
        [
            "  worker1 veth1 egress: 2 seen, 0 emitted, 2 not recorded",
            "events: 17 seen = 15 emitted + 0 filtered + 0 lost + 2 not recorded",
        ]
    );
    let count = TapCount {
        seen: 2,
        unrecorded: 2,
        ..TapCount::default()
    };
    assert_eq!(replayed.taps[&(VETH1, Direction::Egress)], count);
}

/// A section repeats what interfaces lack a tap: the file before it may be missing.
#[test]
fn what_a_section_repeats_is_said_once() {
    let how = How {
        rotate_bytes: Some(8_000),
        ..How::default()
    };
    let mut tape = Tape::new(1, how, text());
    for left in [2, 0] {
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
    for number in 0..100 {
        tape.ping(number, 5);
        tape.tick(MS);
    }
    let recorded = tape.finish();
    assert!(recorded.files.len() > 4, "{:?}", recorded.files);
    let mut files = recorded.files.clone();
    files.remove(2);
    let replayed = replay(&files, &["worker1"], text());
    let said = replayed.text.matches("every interface is traced now");
    assert_eq!(said.count(), 1, "{}", replayed.text);
}

/// What the files did not take is not recorded, also in what the recording says at its end.
#[test]
fn a_full_disk_records_nothing() {
    let how = How {
        is_full: true,
        ..How::default()
    };
    for ticks in [false, true] {
        let mut tape = Tape::new(1, how, text());
        for number in 0..3 {
            tape.ping(number, 5);
            if ticks {
                tape.tick(700 * MS);
            }
        }
        let recorded = tape.finish();
        let closing = recorded.closing.unwrap();
        let expected = "-- recorded 0 events, 15 not recorded, 0 bytes";
        assert_eq!(closing, expected);
        let counts = "15 emitted + 0 filtered + 0 lost · 15 not recorded";
        assert!(recorded.text.contains(counts), "{}", recorded.text);
    }
}
