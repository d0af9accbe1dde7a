//! A node whose agent tells of times that have not come.
use std::{fs, io::Write as _};

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::{agents::follow, sample::*};

const MS: u64 = 1_000_000;
const YEAR_NS: u64 = 365 * 24 * 3600 * 1_000_000_000;
const PACKETS: u16 = 20;

/// A node's session: a packet from its pod to the wire every 10 ms. `after_ns`: how much later than
/// its begin the second half is.
fn record(node: u8, after_ns: u64) -> Vec<u8> {
    let mut tape = Tape::new(node, How::default(), text());
    for number in 0..PACKETS {
        let is_late = number >= PACKETS / 2;
        let after_ns = if is_late { after_ns } else { 0 };
        tape.now_ns = BEGIN_NS + 1000 * MS + u64::from(number) * 10 * MS + after_ns;
        let bytes = frame(pod_address(node, 0), pod_address(3, 0), number, mac(2));
        for interface in [VETH1, BRIDGE] {
            tape.event(
                interface,
                Direction::Ingress,
                &bytes,
                CGROUP_NONE,
                (None, 0),
            );
        }
    }
    tape.tick(1000 * MS);
    fs::read(&tape.finish().files[0]).unwrap()
}

#[test]
fn node_of_the_future_is_named_and_left_out() {
    let sessions = [record(1, 0), record(2, 100 * YEAR_NS)];
    let lines = follow(&[0, 0], move |mut pipes| {
        // The one that lies is there before the other.
        pipes[1].write_all(&sessions[1]).unwrap();
        drop(pipes.pop());
        for part in sessions[0].chunks(500) {
            pipes[0].write_all(part).unwrap();
        }
    });
    let notices: Vec<_> = lines
        .iter()
        .filter_map(|line| line["text"].as_str())
        .collect();
    assert!(
        notices
            .iter()
            .any(|text| text.contains("unix:1") && text.contains("have not come")),
        "{notices:#?}"
    );
    let of_first = |line: &&serde_json::Value| {
        let source = pod_address(1, 0).to_string();
        line["type"] == "path" && line["source"] == source.as_str()
    };
    assert_eq!(lines.iter().filter(of_first).count(), usize::from(PACKETS));
    let late = notices.iter().any(|text| text.contains("came too late"));
    assert!(!late, "{notices:#?}");
}
