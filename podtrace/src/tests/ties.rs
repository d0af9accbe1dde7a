//! Packets that leave one node and enter another at the same time.
use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::sample::*;
use crate::{model::origin::Origin, output::json::Json, replay::merge::Stream};

/// The order of the files does not decide: a packet leaves before it enters.
#[test]
fn departure_comes_before_the_arrival_of_the_same_time() {
    let ends = [uplink_address(1), uplink_address(2)];
    let record = |node: u8, direction: Direction| {
        let mut tape = Tape::new(node, How::default(), text());
        // Both recordings have begun.
        tape.tick(1_000_000);
        for number in 1..4 {
            let frame = frame(ends[0], ends[1], number, mac(1));
            tape.event(UPLINK, direction, &frame, CGROUP_NONE, (None, 0));
        }
        tape.finish()
    };
    let from = record(1, Direction::Egress);
    let to = record(2, Direction::Ingress);
    for recorded in [[&from, &to], [&to, &from]] {
        let streams = recorded.iter().enumerate().map(|(number, recorded)| {
            let origin = Origin {
                session: number,
                nodes: number..number + 1,
            };
            Stream::new(chain(&recorded.files), origin, None)
        });
        let replayed = play(streams.collect(), &["one", "other"], Box::new(Json::new(0)));
        let paths = replayed.text.lines().filter_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let hops = value["hops"].as_array()?.len();
            Some((value["outcome"].as_str().unwrap().to_owned(), hops))
        });
        let delivered = ("delivered".to_owned(), 2);
        assert_eq!(paths.collect::<Vec<_>>(), vec![delivered; 3]);
    }
}
