//! A node whose taps come after its session has begun, beside one that has traced for long.
use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::{
    runs::{files, replay},
    sample::*,
};
use crate::{model::start::Start, update::Update};

const MS: u64 = 1_000_000;
/// When the second node has its taps, after both sessions have begun.
const TAPPED_NS: u64 = 300 * MS;
const PACKETS: u16 = 40;

/// A packet from a pod of the first node to one of the second by the tunnel, which the second one
/// shows only when it has taps.
fn send(tapes: &mut [Tape; 2], id: u16, is_tapped: bool) {
    let inner = frame(pod_address(1, 0), pod_address(2, 0), id, mac(2));
    let outer = tunnelled(&inner, uplink_address(1), uplink_address(2));
    let [one, two] = tapes;
    let ways = [
        (POD1, Direction::Egress, 11, &inner),
        (VETH1, Direction::Ingress, CGROUP_NONE, &inner),
        (BRIDGE, Direction::Ingress, CGROUP_NONE, &inner),
        (UPLINK, Direction::Egress, CGROUP_NONE, &outer),
    ];
    for (interface, direction, cgroup, frame) in ways {
        one.event(interface, direction, frame, cgroup, (None, 0));
    }
    two.now_ns = one.now_ns;
    if is_tapped {
        let ways = [
            (UPLINK, Direction::Ingress, &outer),
            (BRIDGE, Direction::Egress, &inner),
            (VETH1, Direction::Egress, &inner),
            (POD1, Direction::Ingress, &inner),
        ];
        for (interface, direction, frame) in ways {
            two.event(interface, direction, frame, CGROUP_NONE, (None, 0));
        }
        two.event(POD1, Direction::Socket, &inner[14..], 11, (None, 0));
    }
}

#[test]
fn what_leaves_for_a_node_before_it_has_taps_is_not_lost() {
    let mut tapes = [false, true].map(|tells_start| {
        let how = How {
            tells_start,
            ..How::default()
        };
        Tape::new(1 + u8::from(tells_start), how, text())
    });
    let mut is_told = false;
    for id in 1..=PACKETS {
        for tape in &mut tapes {
            let at_ns = BEGIN_NS + u64::from(id) * 20 * MS;
            tape.tick(at_ns - tape.now_ns);
        }
        let is_tapped = tapes[1].now_ns >= BEGIN_NS + TAPPED_NS;
        if is_tapped && !std::mem::replace(&mut is_told, true) {
            tapes[1].update(&Update::Start(Start {
                begun_ns: Some(BEGIN_NS + TAPPED_NS),
                ..Start::default()
            }));
        }
        send(&mut tapes, id, is_tapped);
    }
    let recorded = tapes.map(|mut tape| {
        tape.tick(2_000 * MS);
        tape.finish()
    });
    let lines = replay(files(&[&recorded[0], &recorded[1]]));
    let count = |outcome: &str| {
        let is_it = |line: &&serde_json::Value| line["outcome"] == outcome;
        lines.iter().filter(is_it).count()
    };
    let before = usize::try_from(TAPPED_NS / (20 * MS)).unwrap() - 1;
    assert_eq!(count("not_seen_further"), 0, "{lines:#?}");
    assert_eq!(count("left_for_vtep"), before);
    assert_eq!(count("delivered"), usize::from(PACKETS) - before);
}
