//! What was under way while events were lost says so, live and in a replay.
use podtrace_ebpf::record::Direction;

use super::sample::*;
use crate::model::loss::LostSpan;

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
