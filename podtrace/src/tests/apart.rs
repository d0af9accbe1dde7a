//! Recordings of two nodes, merged: one translates a packet, the other or the wire cuts it, and
//! their clocks are apart.
use std::{fs, io::Write as _, net::IpAddr, thread};

use podtrace_ebpf::record::{CGROUP_NONE, Direction};
use serde_json::Value;

use super::{
    agents::follow,
    runs::{files, replay},
    sample::*,
};
use crate::replay::cluster::PATIENCE;

const MS: u64 = 1_000_000;
/// By how much the second node's clock is ahead.
const AHEAD_NS: u64 = 250 * MS;
const ROUNDS: u32 = 20;
/// Bytes of a segment; of how many a large packet consists.
const SEGMENT: u32 = 20;
const SEGMENTS: u16 = 5;

const CLIENT_PORT: u16 = 40_000;
const FLAGS_ACK: u8 = 0x10;

/// An end of a TCP connection.
type End = (IpAddr, u16);

fn service() -> End {
    ("10.96.0.10".parse().unwrap(), 80)
}

fn client() -> End {
    (pod_address(1, 0), CLIENT_PORT)
}

fn server() -> End {
    (pod_address(2, 0), 8080)
}

/// A segment with these numbers, and a payload of this length.
fn tcp((from, to): (End, End), id: u16, [sequence, acknowledgment]: [u32; 2], len: u32) -> Vec<u8> {
    let mut frame = frame(from.0, to.0, id, mac(2));
    frame.truncate(14 + 20);
    frame[23] = 6;
    let total = u16::try_from(40 + len).unwrap();
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    frame.extend(sequence.to_be_bytes());
    frame.extend(acknowledgment.to_be_bytes());
    frame.extend([0x50, FLAGS_ACK, 1, 0, 0, 0, 0, 0]);
    frame.extend((0..len).map(|at| sequence.wrapping_add(at) as u8));
    frame
}

/// The two nodes, each recorded by its own clock.
struct Nodes([Tape; 2]);

impl Nodes {
    fn see(&mut self, node: u8, at_ns: u64, tap: (u32, Direction), frame: &[u8], segments: u16) {
        let tape = &mut self.0[usize::from(node) - 1];
        tape.now_ns = match node {
            1 => at_ns,
            _ => at_ns + AHEAD_NS,
        };
        let (interface, direction) = tap;
        let is_pods = interface == POD1 && direction != Direction::Ingress;
        let cgroup = if is_pods { 11 } else { CGROUP_NONE };
        let outer = match interface {
            UPLINK => {
                let ends = [1, 2].map(uplink_address);
                let is_there = (node == 1) == (direction == Direction::Egress);
                let [from, to] = if is_there { ends } else { [ends[1], ends[0]] };
                tunnelled(frame, from, to)
            }
            _ => frame.to_vec(),
        };
        let bytes = match direction {
            Direction::Socket => &outer[14..],
            _ => &outer,
        };
        tape.event(interface, direction, bytes, cgroup, (None, segments));
    }
}

/// From the pod to the wire, and from the wire to the pod.
const OUT: [(u32, Direction); 3] = [
    (POD1, Direction::Egress),
    (VETH1, Direction::Ingress),
    (BRIDGE, Direction::Ingress),
];
const IN: [(u32, Direction); 3] = [
    (BRIDGE, Direction::Egress),
    (VETH1, Direction::Egress),
    (POD1, Direction::Ingress),
];
const WIRE: [(u32, Direction); 2] = [(UPLINK, Direction::Egress), (UPLINK, Direction::Ingress)];
const SOCKET: (u32, Direction) = (POD1, Direction::Socket);

/// A request to the Service, which its client's node translates. `cut_by_wire`: whether it is cut
/// before the server's node sees it, or behind.
fn request(
    nodes: &mut Nodes,
    at_ns: u64,
    id: u16,
    sequence: u32,
    segments: u16,
    cut_by_wire: bool,
) {
    let of = |to, number: u16, segments: u16| {
        let start = sequence.wrapping_add(u32::from(number) * SEGMENT);
        tcp(
            (client(), to),
            id + number,
            [start, 1],
            u32::from(segments) * SEGMENT,
        )
    };
    let whole = if segments > 1 { segments } else { 0 };
    let mut now_ns = at_ns;
    let mut next = || {
        now_ns += 10_000;
        now_ns
    };
    for tap in OUT {
        nodes.see(1, next(), tap, &of(service(), 0, segments), whole);
    }
    nodes.see(1, next(), WIRE[0], &of(server(), 0, segments), whole);
    if !cut_by_wire {
        nodes.see(2, next(), WIRE[1], &of(server(), 0, segments), whole);
    }
    for number in 0..segments {
        let segment = of(server(), number, 1);
        if cut_by_wire {
            nodes.see(2, next(), WIRE[1], &segment, 0);
        }
        for tap in IN.into_iter().chain([SOCKET]) {
            nodes.see(2, next(), tap, &segment, 0);
        }
    }
}

/// What the server acknowledges, which the client's node translates back.
fn acknowledge(nodes: &mut Nodes, at_ns: u64, id: u16, acknowledgment: u32) {
    let of = |from| tcp((from, client()), id, [1, acknowledgment], 0);
    let taps = OUT.into_iter().chain([WIRE[0]]);
    let mut now_ns = at_ns;
    for tap in taps {
        now_ns += 10_000;
        nodes.see(2, now_ns, tap, &of(server()), 0);
    }
    nodes.see(1, now_ns + 10_000, WIRE[1], &of(server()), 0);
    for tap in IN {
        now_ns += 10_000;
        nodes.see(1, now_ns + 10_000, tap, &of(service()), 0);
    }
}

/// A small request, a large one, and the acknowledgment of both, again and again.
fn record(cut_by_wire: bool) -> [Recorded; 2] {
    let mut nodes = Nodes([1, 2].map(|node| Tape::new(node, How::default(), text())));
    let bytes = SEGMENT * (1 + u32::from(SEGMENTS));
    for round in 0..ROUNDS {
        let at_ns = BEGIN_NS + 1000 * MS + u64::from(round) * 50 * MS;
        for (number, tape) in nodes.0.iter_mut().enumerate() {
            let own_ns = at_ns + [0, AHEAD_NS][number];
            tape.tick(own_ns - tape.now_ns);
        }
        // The sequence numbers wrap on the way.
        let sequence = (bytes * round).wrapping_sub(10 * bytes);
        let id = 100 * u16::try_from(round).unwrap();
        request(&mut nodes, at_ns, id, sequence, 1, cut_by_wire);
        let large = sequence.wrapping_add(SEGMENT);
        request(
            &mut nodes,
            at_ns + MS,
            id + 10,
            large,
            SEGMENTS,
            cut_by_wire,
        );
        acknowledge(
            &mut nodes,
            at_ns + 2 * MS,
            id + 50,
            sequence.wrapping_add(bytes),
        );
    }
    nodes.0.map(|mut tape| {
        tape.tick(1_000 * MS);
        tape.finish()
    })
}

/// Each packet is one path, through its translation, its cuts, and both nodes.
fn check(lines: &[Value], cut_by_wire: bool) {
    let paths: Vec<_> = lines.iter().filter(|line| line["type"] == "path").collect();
    assert_eq!(paths.len(), 3 * ROUNDS as usize);
    for path in paths {
        let hops = path["hops"].as_array().unwrap();
        let is_answer = path["source_port"] == 8080;
        assert_eq!(hops.len(), if is_answer { 8 } else { 9 }, "{path:#}");
        assert_eq!(path["outcome"], "delivered", "{path:#}");
        assert_eq!(
            (&path["ambiguous"], &path["incomplete"]),
            (&Value::from(false), &Value::from(false)),
            "{path:#}"
        );
        let kinds: Vec<_> = hops
            .iter()
            .enumerate()
            .filter(|(_, hop)| !hop["translation"].is_null())
            .map(|(number, hop)| (number, hop["translation"]["kind"].as_str().unwrap()))
            .collect();
        let kind = if is_answer { (5, "snat") } else { (3, "dnat") };
        assert_eq!(kinds, [kind], "{path:#}");
        let is_large = path["payload_bytes"] == SEGMENT * u32::from(SEGMENTS);
        let in_pieces = hops.iter().filter(|hop| hop["segments"] == SEGMENTS);
        let cut_at = if cut_by_wire { 5 } else { 4 };
        assert_eq!(
            in_pieces.count(),
            if is_large { cut_at } else { 0 },
            "{path:#}"
        );
        let times = hops.iter().map(|hop| hop["delta_ns"].as_u64());
        assert!(times.is_sorted(), "{path:#}");
    }
}

#[test]
fn packets_that_one_node_translates_and_the_other_cuts_are_a_path_each() {
    for cut_by_wire in [false, true] {
        let [one, other] = record(cut_by_wire);
        for order in [[&one, &other], [&other, &one]] {
            let lines = replay(files(&order));
            check(&lines, cut_by_wire);
        }
    }
}

#[test]
fn sessions_that_agents_stream_give_the_same_paths() {
    for cut_by_wire in [false, true] {
        let recorded = record(cut_by_wire);
        let sessions = recorded.map(|recorded| fs::read(&recorded.files[0]).unwrap());
        let lines = follow(&[0, AHEAD_NS], move |mut pipes| {
            // Neither comes in whole blocks, and one is always a little behind.
            for at in (0..).map(|number| number * 997) {
                let parts = sessions.each_ref().map(|session| session.get(at..));
                if parts == [None, None] {
                    return;
                }
                for (pipe, part) in pipes.iter_mut().zip(parts) {
                    let part = part.unwrap_or_default();
                    pipe.write_all(&part[..part.len().min(997)]).unwrap();
                }
            }
        });
        check(&lines, cut_by_wire);
        let summary = lines.last().unwrap();
        assert_eq!(summary["total"]["unrecorded"], Value::Null, "{summary:#}");
    }
}

#[test]
fn session_that_stops_is_left_behind() {
    let sessions = record(false).map(|recorded| fs::read(&recorded.files[0]).unwrap());
    let lines = follow(&[0, AHEAD_NS], move |mut pipes| {
        let [one, other] = &sessions;
        let half = other.len() / 2;
        pipes[0].write_all(one).unwrap();
        pipes[1].write_all(&other[..half]).unwrap();
        // Nobody waits for the rest.
        thread::sleep(PATIENCE + PATIENCE / 2);
        pipes[1].write_all(&other[half..]).unwrap();
    });
    let paths: Vec<_> = lines.iter().filter(|line| line["type"] == "path").collect();
    let with = |outcome: &str| {
        paths
            .iter()
            .filter(|path| path["outcome"] == outcome)
            .count()
    };
    assert!(with("delivered") >= 3 * 9 - 3, "{}", with("delivered"));
    let elsewhere = with("left_node") + with("left_for_vtep") + with("unknown");
    assert!(elsewhere >= 2 * 9 - 2, "{elsewhere}");
    assert_eq!(with("not_seen_further") + with("dropped"), 0);
    let notices = lines.iter().filter(|line| line["type"] == "notice");
    let mut notices = notices.map(|line| line["text"].as_str().unwrap());
    assert!(notices.any(|text| text.contains("fell behind")));
    // What came too late is in none of them, and counted.
    let total = &lines.last().unwrap()["total"];
    let count = |name: &str| total[name].as_u64().unwrap_or_default();
    assert!(count("unrecorded") > 0, "{total}");
    assert_eq!(
        count("seen"),
        count("emitted") + count("unrecorded"),
        "{total}"
    );
}
