//! What was under way while events were lost says so, live and in a replay.
use podtrace_ebpf::record::Direction;

use super::sample::*;
use crate::{
    model::{loss::LostSpan, origin::Origin},
    output::json::Json,
    replay::merge::Stream,
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
                tape.pipeline.note_loss(LostSpan {
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
fn what_was_under_way_when_another_recording_ended_is_unknown() {
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
