use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::*;
use crate::{
    model::{
        left_out::Reason,
        loss::TapLoss,
        tap::{TapCount, TapCounts},
    },
    path::{
        RoundTrip,
        builder::tests::{SYN_ACK, path, path_to_vtep},
    },
    world::fixture::{CGROUP2, POD1, VETH1, world},
};

const EPOCH_NS: i128 = 1_700_000_000_000_000_000;

#[test]
fn path_that_may_lack_hops_says_so() {
    let mut out = String::new();
    for incomplete in [false, true] {
        let path = Path {
            incomplete,
            ..path(1)
        };
        Json::new(0).path(&mut out, &path, &world());
    }
    let values: Vec<_> = out
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["outcome"].clone(), line["incomplete"].clone())
        })
        .collect();
    assert_eq!(
        values,
        [false, true].map(|it| ("delivered".into(), it.into()))
    );
}

#[test]
fn summary_counts_paths_that_may_lack_hops() {
    let mut out = String::new();
    let summary = Summary {
        packets: 3,
        incomplete: 2,
        ..Summary::default()
    };
    Json::new(0).summary(&mut out, &summary, &NotShown::default(), &world());
    insta::assert_snapshot!(out, @r#"{"type":"summary","packets":3,"outcomes":{"delivered":0,"dropped":0,"events_lost":0,"given_up":0,"in_flight":0,"left_for_vtep":0,"left_node":0,"loop":0,"no_receiver_expected":0,"no_socket":0,"not_seen_further":0,"refused":0,"unanswered":0,"unknown":0},"incomplete":2,"unreadable":0,"duration_ns":0,"total":{"seen":0,"emitted":0,"filtered":0,"lost_ring":0,"undecodable":0},"taps":[]}"#);
}

/// A path with a value in every field except those of several nodes' clocks.
fn full_path() -> Path {
    let mut path = path_to_vtep(3);
    path.round_trip = Some(RoundTrip {
        at: vec![(POD1, 64_200), (VETH1, 63_000)],
        is_whole: true,
    });
    path.ambiguous = false;
    path
}

#[test]
fn path_is_as_documented() {
    let mut out = String::new();
    Json::new(EPOCH_NS).path(&mut out, &full_path(), &world());
    insta::assert_snapshot!(out);
}

#[test]
fn event_is_as_documented() {
    let mut packet = path(1).packet;
    let mut events = vec![Event {
        ts_ns: 7,
        interface: VETH1,
        direction: Direction::Ingress,
        wire_len: 46,
        gso_segments: 0,
        cgroup: CGROUP_NONE,
        packet: packet.clone(),
        payload: None,
        vlan_tci: None,
        matches: true,
        captured: bytes::Bytes::new(),
        link: crate::packet::link::ETHERNET,
        number: 0,
    }];
    packet.vlan = Some(5);
    packet.transport = SYN_ACK;
    events.push(Event {
        direction: Direction::Socket,
        gso_segments: 3,
        cgroup: CGROUP2,
        packet,
        ..events[0].clone()
    });
    // An unknown interface.
    events.push(Event {
        interface: 99,
        ..events[0].clone()
    });
    let mut out = String::new();
    for event in events {
        Json::new(EPOCH_NS).event(&mut out, &event, 4, &world());
    }
    insta::assert_snapshot!(out);
}

#[test]
fn objects_of_the_session_are_as_documented() {
    let (mut out, world) = (String::new(), world());
    let mut json = Json::new(EPOCH_NS);
    json.start(&mut out, &Start::default());
    let start = Start {
        nodes: vec!["worker1".into(), "worker2".into()],
        interfaces: 12,
        attaching: Some(3),
        pods: 4,
        namespaces: 6,
        attach: Some("tcx".into()),
        source: Some("session.pcapng".into()),
        begun_ns: None,
        agents: None,
    };
    json.start(&mut out, &start);
    json.notice(&mut out, "all interfaces are tapped");
    let loss = Loss {
        ts_ns: 9,
        total: 5,
        taps: vec![TapLoss {
            interface: POD1,
            direction: Direction::Egress,
            lost_ring: 3,
            undecodable: 1,
        }],
    };
    json.loss(&mut out, &loss, &world);
    let count = TapCount {
        seen: 21,
        emitted: 6,
        filtered: 5,
        lost_ring: 4,
        undecodable: 3,
        unrecorded: 3,
    };
    let mut summary = Summary {
        taps: TapCounts::from([
            ((POD1, Direction::Egress), count),
            ((99, Direction::Ingress), TapCount::default()),
        ]),
        ..Summary::default()
    };
    summary.left_out.add(Reason::LinkType(9), 2);
    summary.left_out.add(Reason::NoTime, 1);
    let not_shown = NotShown {
        packets: 1,
        events: 2,
        notices: 3,
    };
    json.summary(&mut out, &summary, &not_shown, &world);
    insta::assert_snapshot!(out);
}
