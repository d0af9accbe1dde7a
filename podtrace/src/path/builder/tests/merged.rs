//! Two nodes with clocks of their own, as a merge of their recordings shows them.
use std::sync::Arc;

use proptest::prelude::*;

use std::collections::BTreeMap;

use super::*;
use crate::clock::nodes::{Basis, Clock, Crossings, Side};

/// The interfaces of the second node.
const UPLINK2: u32 = 6;
const BRIDGE2: u32 = 7;
const VETH3: u32 = 8;
const POD3: u32 = 9;
const NODE2: u64 = 21;
const NETNS3: u64 = 22;

pub(super) const THERE: [(u32, Direction); 8] = [
    (POD1, Egress),
    (VETH1, Ingress),
    (CNI0, Ingress),
    (UPLINK, Egress),
    (UPLINK2, Ingress),
    (BRIDGE2, Egress),
    (VETH3, Egress),
    (POD3, Ingress),
];
const BACK: [(u32, Direction); 8] = [
    (POD3, Egress),
    (VETH3, Ingress),
    (BRIDGE2, Ingress),
    (UPLINK2, Egress),
    (UPLINK, Ingress),
    (CNI0, Egress),
    (VETH1, Egress),
    (POD1, Ingress),
];
/// Where a packet leaves its node.
const LEAVES: usize = 3;
const START: u64 = 1_764_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// The session of an interface.
fn session(interface: u32) -> usize {
    usize::from(interface >= UPLINK2)
}

pub(super) fn two_nodes() -> World {
    let mut world = world();
    for (number, name, netns, leads_to, role) in [
        (UPLINK2, "eth0", NODE2, None, Role::Uplink),
        (BRIDGE2, "cni0", NODE2, None, Role::Bridge),
        (VETH3, "veth3", NODE2, Some(NETNS3), Role::Veth),
        (POD3, "eth0", NETNS3, None, Role::Pod),
    ] {
        let point = TapPoint {
            node: 1,
            node_name: "worker2".into(),
            ..tap_point(name, netns, leads_to, role)
        };
        world.tap_points.set(number, point);
    }
    apply_snapshot(&mut world, &["10.244.2.2".parse().unwrap()]);
    world
}

/// A clock: how far it is ahead at [`START`], and how fast it runs.
#[derive(Clone, Copy, Debug)]
struct Runs {
    ahead_ns: i64,
    drift_ppb: i64,
}

impl Runs {
    fn reads(self, since_ns: u64) -> u64 {
        let drift = i128::from(since_ns) * i128::from(self.drift_ppb) / 1_000_000_000;
        let ns = i128::from(START) + i128::from(since_ns) + i128::from(self.ahead_ns) + drift;
        u64::try_from(ns).unwrap()
    }
}

/// A packet of the model.
#[derive(Clone, Debug)]
struct Sent {
    back: bool,
    /// Packets of the same content are equal.
    content: u32,
    start_ns: u64,
    /// How long it is on the wire.
    wire_ns: u64,
    /// How many taps it passes.
    passes: usize,
}

fn sent() -> impl Strategy<Value = Sent> {
    let start = prop_oneof![0..200_000_u64, 0..3 * SECOND];
    let wire = prop_oneof![3..50_u64, 500..50_000_u64];
    let passes = prop_oneof![4 => Just(THERE.len()), 1 => 1..=THERE.len()];
    (any::<bool>(), 0..12_u32, start, wire, passes).prop_map(
        |(back, content, start_ns, wire_ns, passes)| Sent {
            back,
            content,
            start_ns,
            wire_ns,
            passes,
        },
    )
}

fn clock() -> impl Strategy<Value = Runs> {
    let ahead = prop_oneof![
        -20_000..20_000_i64,
        -(3600 * SECOND as i64)..3600 * SECOND as i64
    ];
    (ahead, -50_000..50_000_i64).prop_map(|(ahead_ns, drift_ppb)| Runs {
        ahead_ns,
        drift_ppb,
    })
}

impl Sent {
    fn packet(&self) -> Packet {
        let ends = if self.back {
            ["10.244.2.2", "10.244.1.2"]
        } else {
            ["10.244.1.2", "10.244.2.2"]
        };
        let mut packet = packet(ends[1]);
        if let Network::Ip(ip) = &mut packet.network {
            ip.source = ends[0].parse().unwrap();
        }
        packet.payload_hash = 1 + self.content + 100 * u32::from(self.back);
        packet.link = None;
        packet
    }

    /// The taps that it passes, and when.
    fn hops(&self) -> impl Iterator<Item = (u32, Direction, u64)> {
        let taps = if self.back { BACK } else { THERE };
        let (start_ns, wire_ns) = (self.start_ns, self.wire_ns);
        let at =
            move |hop: usize| start_ns + hop as u64 * 2000 + if hop > LEAVES { wire_ns } else { 0 };
        let hops = taps.into_iter().enumerate().take(self.passes);
        hops.map(move |(hop, (interface, direction))| (interface, direction, at(hop)))
    }
}

/// What a merge does: the events by corrected time, each with the number of its packet, and
/// the second node's clock.
fn merge(sent: &[Sent], clock: Runs, world: &mut World) -> (Vec<(usize, Event)>, Clock) {
    let runs = [
        Runs {
            ahead_ns: 0,
            drift_ppb: 0,
        },
        clock,
    ];
    let mut crossings = Crossings::new(2);
    let mut events = Vec::new();
    for (number, packet) in sent.iter().enumerate() {
        for (interface, direction, since_ns) in packet.hops() {
            let session = session(interface);
            let event = event(
                runs[session].reads(since_ns),
                interface,
                direction,
                &packet.packet(),
            );
            let side = match direction {
                Egress => Side::Left,
                _ => Side::Entered,
            };
            if matches!(interface, UPLINK | UPLINK2) {
                crossings.record(session, &event.packet.key(), side, event.ts_ns);
            }
            events.push((number, event));
        }
    }
    let clocks = crossings.solve(&[]);
    for (_, event) in &mut events {
        event.ts_ns = clocks[session(event.interface)]
            .line
            .to_reference(event.ts_ns);
    }
    // Equal times of one node are in the order in which they were recorded.
    events.sort_by_key(|(_, event)| {
        (
            event.ts_ns,
            event.direction == Ingress && matches!(event.interface, UPLINK | UPLINK2),
        )
    });
    world.doubts = Arc::new(crossings.doubts(&clocks, TIMEOUT_NS));
    world.clocks = [(1, (1, Arc::clone(&clocks[1].line)))].into();
    (events, clocks[1].clone())
}

/// The paths, and the packets whose events have the numbers of each.
fn paths(events: &[(usize, Event)], world: &World) -> Vec<(Path, Vec<usize>)> {
    let mut builder = Builder::new(TIMEOUT_NS);
    let mut members: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut paths = Vec::new();
    for (number, event) in events {
        builder.expire(event.ts_ns);
        let id = builder.push(event, world);
        members.entry(id).or_default().push(*number);
        paths.extend(finished(&mut builder));
    }
    builder.expire(u64::MAX - SECOND);
    builder.finish();
    paths.extend(finished(&mut builder));
    let of = |path: Path| {
        let members = members.get(&path.id).cloned().unwrap_or_default();
        (path, members)
    };
    paths.into_iter().map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A path that is not marked is right, however little the packets show of the clocks.
    #[test]
    fn packets_of_two_clocks_are_joined_rightly_or_marked(
        sent in prop::collection::vec(sent(), 1..24),
        clock in clock(),
    ) {
        let mut world = two_nodes();
        let (events, clock) = merge(&sent, clock, &mut world);
        let is_sound = !matches!(clock.basis, Basis::Inconsistent { .. });
        let paths = paths(&events, &world);
        for (path, members) in &paths {
            let sessions = path.hops.iter().map(|hop| session(hop.interface));
            let mut sessions: Vec<_> = sessions.collect();
            sessions.dedup();
            prop_assert!(sessions.len() <= 2, "an order that cannot be: {path:?}");
            if path.ambiguous || path.incomplete {
                continue;
            }
            let first = members[0];
            prop_assert!(members.iter().all(|member| *member == first), "{members:?} are one: {path:?}");
            if path.outcome == Outcome::NotSeenFurther && path.late_of.is_none() {
                prop_assert!(path.hops.len() == sent[first].passes, "it went on: {path:?} {:?}", sent[first]);
            }
        }
        for (number, packet) in sent.iter().enumerate() {
            let is_alone = sent.iter().enumerate().all(|(other, one)| {
                other == number || (one.back, one.content) != (packet.back, packet.content)
            });
            if is_alone && is_sound {
                let of_it = |(_, members): &&(Path, Vec<usize>)| members.contains(&number);
                prop_assert_eq!(paths.iter().filter(of_it).count(), 1, "in pieces: {:?}", packet);
            }
        }
    }
}
