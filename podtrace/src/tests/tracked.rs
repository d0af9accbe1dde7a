//! A replay joins what the live session joined by the node's connection tracking.
use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::{sample::*, services::packet};
use crate::{
    model::translation::{FlowChanges, TranslatedFlow},
    output::render::Render,
    packet::Ends,
    update::Update,
};

/// A flow of the first pod to a Service, which becomes one from the node to the second pod.
fn flow(port: u16) -> TranslatedFlow {
    TranslatedFlow {
        protocol: 17,
        before: Ends {
            source: pod_address(1, 0),
            destination: "10.96.0.10".parse().unwrap(),
            ports: Some((port, 53)),
        },
        after: Ends {
            source: uplink_address(1),
            destination: pod_address(1, 1),
            ports: Some((port + 1000, 53)),
        },
    }
}

/// Some flows are tracked from now on, or no longer.
pub(super) fn flows(number: u16) -> FlowChanges {
    let some: Vec<_> = (0..number % 4).map(|port| flow(port + 1)).collect();
    let (new, gone) = match number % 2 {
        0 => (some, Vec::new()),
        _ => (Vec::new(), some),
    };
    FlowChanges { new, gone }
}

/// Equal datagrams of two flows, under way at once; only the node knows which is which.
fn record(is_tracked: bool, output: Box<dyn Render>) -> Recorded {
    let mut tape = Tape::new(1, How::default(), output);
    if is_tracked {
        tape.update(&Update::Translations {
            node: 0,
            netns: 1,
            changes: flows(3 - 1),
            ts_ns: tape.now_ns,
        });
    }
    let frame = |ends: Ends, netns| {
        let (from, to) = ends.ports.unwrap();
        packet((ends.source, from), (ends.destination, to), 0, netns)
    };
    for port in [1, 2] {
        let frame = frame(flow(port).before, 1);
        for (interface, direction, cgroup) in [
            (POD1, Direction::Egress, 11),
            (VETH1, Direction::Ingress, CGROUP_NONE),
            (BRIDGE, Direction::Ingress, CGROUP_NONE),
        ] {
            tape.event(interface, direction, &frame, cgroup, (None, 0));
        }
    }
    for port in [2, 1] {
        let frame = frame(flow(port).after, 3);
        for (interface, direction) in [
            (BRIDGE, Direction::Egress),
            (VETH2, Direction::Egress),
            (POD2, Direction::Ingress),
        ] {
            tape.event(interface, direction, &frame, CGROUP_NONE, (None, 0));
        }
    }
    tape.tick(1_000_000_000);
    tape.finish()
}

#[test]
fn replay_joins_what_the_node_tracks() {
    for is_tracked in [false, true] {
        for (live, again) in outputs(EPOCH_NS).into_iter().zip(outputs(0)) {
            let recorded = record(is_tracked, live);
            let replayed = replay(&recorded.files, &["worker1"], again);
            assert_eq!(replayed.damage, []);
            assert_eq!(replayed.text, recorded.text);
        }
        let text = record(is_tracked, text()).text;
        let translated = text.matches("SNAT").count();
        assert_eq!(translated, if is_tracked { 2 } else { 0 }, "{text}");
        for port in [1, 2].into_iter().filter(|_| is_tracked) {
            let expected = format!("SNAT 10.244.1.2:{port} -> 192.168.77.11:{}", port + 1000);
            assert!(text.contains(&expected), "{text}");
        }
    }
}
