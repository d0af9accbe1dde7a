//! Traffic of somebody who wants to be taken for others: equal packets, one identification for
//! all, sequence numbers that wrap and overlap, fragments that overlap, forged quotes, in tunnels
//! and outside of them.
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    translation::{ends, with_ends},
    *,
};
use crate::{
    packet::{Fragment, IcmpError, Payload, Quote},
    path::Hop,
};

const SECOND: u64 = 1_000_000_000;

/// Where packets are seen, in no order that a network has.
const TAPS: [(u32, Direction); 12] = [
    (POD1, Egress),
    (VETH1, Ingress),
    (CNI0, Ingress),
    (CNI0, Egress),
    (VETH2, Egress),
    (POD2, Ingress),
    (POD2, Socket),
    (UPLINK, Egress),
    (UPLINK, Ingress),
    (POD2, Egress),
    (VETH2, Ingress),
    (VETH1, Egress),
];

/// The flow that is for a group.
const GROUP: u8 = 4;

/// An event, as numbers to choose with.
type Choice = (u8, u8, u8, u8, u8);

fn choice() -> impl Strategy<Value = Choice> {
    (0u8..12, 0u8..7, 0u8..12, 0u8..12, 0u8..5)
}

/// A packet of few kinds, numbers and ends, so that many are equal.
fn made((_, kind, number, length, flow): Choice) -> Packet {
    let ends = [
        ends("10.244.1.2", "10.244.1.3", (5000, 80)),
        ends("10.244.1.2", "10.96.0.10", (5000, 80)),
        ends("10.244.1.3", "10.244.1.2", (80, 5000)),
        ends("192.0.2.1", "10.244.1.3", (5000, 80)),
        ends("10.244.1.2", "239.1.2.3", (5000, 80)),
    ][usize::from(flow)];
    let mut packet = packet("10.244.1.3");
    let (number, length) = (u32::from(number), u32::from(length));
    let tcp = |sequence, acknowledgment, flags, payload| Transport::Tcp {
        source: 0,
        destination: 0,
        sequence,
        acknowledgment,
        flags,
        payload,
    };
    let near_the_end = (u32::MAX - 60).wrapping_add(number * 10);
    let (protocol, transport, payload) = match kind {
        // Some are large enough to be cut.
        0 => (17, packet.transport, if number > 5 { 580 } else { 4 }),
        1 => (
            6,
            tcp(near_the_end, 1, 0x10, 1 + length * 10),
            1 + length * 10,
        ),
        2 => (6, tcp(number, 0, 0x02, 0), 0),
        3 => (
            6,
            tcp(0, number + 1, [0x12, 0x14][length as usize % 2], 0),
            0,
        ),
        4 if number == 0 => (17, packet.transport, 28 + 8 * (length % 3)),
        4 => (17, Transport::Fragment, 28 + 8 * (length % 3)),
        5 => (
            1,
            Transport::Echo {
                reply: length % 2 == 1,
                id: 1,
                sequence: number as u16,
            },
            0,
        ),
        _ => (1, Transport::Icmp { kind: 3, code: 4 }, 0),
    };
    packet.transport = transport;
    packet.length = 40 + payload;
    packet.payload_hash = number / 6;
    if let Network::Ip(ip) = &mut packet.network {
        ip.protocol = protocol;
        ip.ttl = 60 + (length % 4) as u8;
        ip.id = number % 2 * 7;
        ip.fragment = (kind == 4).then_some(Fragment {
            id: ip.id,
            offset: (number * 48).min(552) as u16,
            more: number < 11,
        });
    }
    if flow == GROUP
        && let Some(link) = &mut packet.link
    {
        link.destination = Mac([1, 0, 0x5e, 1, 2, 3]);
    }
    with_ends(&packet, ends)
}

/// The tunnel that a packet is in, by what it is chosen by.
fn tunnel((_, kind, number, length, _): Choice) -> Option<Tunnel> {
    let [near, far, other] = ["192.168.77.11", "192.168.77.12", "192.168.77.13"];
    let ends = [[near, far], [far, near], [other, near]][usize::from(number % 3)];
    let [source, destination] = ends.map(|address| address.parse().unwrap());
    (length % 2 == 0 || kind == 6 && length % 3 == 0).then_some(Tunnel {
        source,
        destination,
        carrier: Carrier::Vxlan(1),
        id: u32::from(number / 6),
        fragment: None,
    })
}

fn seen(ts_ns: u64, choice: Choice) -> Event {
    let (tap, kind, number, length, flow) = choice;
    let (interface, direction) = TAPS[usize::from(tap)];
    let mut event = event(ts_ns, interface, direction, &made(choice));
    if kind == 1 {
        event.gso_segments = u16::from(number % 4);
    }
    if interface == UPLINK {
        event.packet.tunnel = tunnel(choice);
    }
    if kind == 6 {
        // Of what may have been sent, or not.
        let mut about = made((tap, number % 6, number, length, (flow + 2) % 4));
        if length > 5 {
            about.tunnel = tunnel((tap, number % 6, number, length, 0));
        }
        event.payload = Some(Box::new(Payload::Quote(Quote {
            error: IcmpError {
                is_v4: true,
                kind: 3,
                code: 4,
                value: 1450,
            },
            packet: about,
            port: None,
        })));
    }
    event
}

/// Of each path, the events that it was given.
fn joined(choices: &[Choice], step_ns: u64) -> (BTreeMap<u64, Vec<Event>>, Vec<Path>) {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    let (mut given, mut paths) = (BTreeMap::<u64, Vec<Event>>::new(), Vec::new());
    for (number, choice) in (1..).zip(choices) {
        let event = seen(number * step_ns, *choice);
        let id = builder.push(&event, &world);
        given.entry(id).or_default().push(event);
        if number.is_multiple_of(16) {
            builder.expire(number * step_ns);
        }
        assert!(builder.open_bytes() <= OPEN_BYTES);
        paths.extend(finished(&mut builder));
    }
    builder.expire(SECOND * 100 + choices.len() as u64 * step_ns);
    builder.finish();
    assert_eq!(builder.open_bytes(), 0);
    paths.extend(finished(&mut builder));
    (given, paths)
}

/// Whether a path's packet had these ends at one of its hops, as far as both show them.
fn has_had(path: &Path, packet: &Packet) -> bool {
    let ways = |packet: &Packet| (packet.source(), packet.destination(), packet.ip_protocol());
    let later = |packet: &Packet| packet.transport == Transport::Fragment;
    let is_it = packet.ends().is_some_and(|ends| path.has_had(ends));
    match later(packet) || later(&path.packet) {
        true => ways(packet) == ways(&path.packet) || !path.translations.is_empty(),
        false => is_it && path.packet.ip_protocol() == packet.ip_protocol(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Each packet that was seen is in a path, at the tap that saw it; and with no other ends
    /// than that path shows.
    #[test]
    fn every_packet_has_a_path_with_its_ends(
        choices in prop::collection::vec(choice(), 1..160),
        is_slow: bool,
    ) {
        let (given, paths) = joined(&choices, if is_slow { SECOND / 20 } else { 1000 });
        for (id, events) in given {
            let own: Vec<_> = paths.iter().filter(|path| path.id == id).collect();
            prop_assert_eq!(own.len(), 1, "path {}", id);
            for event in events {
                let is_there = |hop: &Hop| hop.is_at(&event);
                // Pieces that were left behind have a path of their own.
                let mut parts = paths.iter().filter(|path| path.part_of.is_some_and(|of| of.packet == id));
                prop_assert!(
                    own[0].hops.iter().any(is_there) || parts.any(|part| part.hops.iter().any(is_there)),
                    "{event:?} is not on {own:?}"
                );
                prop_assert!(has_had(own[0], &event.packet), "{event:?} on {own:?}");
            }
        }
        let numbers: BTreeSet<_> = paths.iter().map(|path| path.id).collect();
        prop_assert_eq!(numbers.len(), paths.len());
    }
}

/// Whether an answer that came in by the uplink can be about what left there in a tunnel.
fn comes_back(answer: &Path, there: &Tunnel) -> bool {
    let first = &answer.hops[0];
    let quote = answer.payload.as_deref().and_then(Payload::quote);
    let quoted = quote.and_then(|quote| quote.packet.tunnel);
    match first.tunnel.as_deref() {
        Some(back) => back.source == there.destination,
        None => quoted.map_or(
            answer.packet.destination() == Some(there.source),
            |quoted| {
                let outer = |tunnel: &Tunnel| (tunnel.source, tunnel.destination, tunnel.id);
                outer(&quoted) == outer(there)
            },
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// What is said of how a packet ended has its proof on its path.
    #[test]
    fn no_end_is_told_without_a_proof(
        choices in prop::collection::vec(choice(), 1..160),
        is_slow: bool,
    ) {
        let (_, paths) = joined(&choices, if is_slow { SECOND / 20 } else { 1000 });
        for path in &paths {
            let all = path.divisible();
            prop_assert!(path.segments.iter().all(|seen| seen.bytes <= all), "{path:?}");
            let is_datagram = matches!(path.packet.transport, Transport::Udp { .. });
            let is_taken = path.sockets().next().is_some();
            if path.outcome == Outcome::Delivered {
                let arrives = |hop: &Hop| !hop.aside
                    && matches!(hop.direction, Ingress | Socket);
                prop_assert!(path.hops.iter().any(arrives), "{path:?}");
                prop_assert!(is_taken || !is_datagram || !path.packet.is_for_many(), "{path:?}");
            }
            prop_assert!(path.outcome != Outcome::NoReceiver || !is_taken, "{path:?}");
            let Some(refusal) = path.refusal.as_deref() else {
                prop_assert!(path.outcome != Outcome::Refused, "{path:?}");
                continue;
            };
            let answer = paths.iter().find(|path| path.id == refusal.packet);
            let answer = answer.filter(|answer| answer.hops[0].interface == UPLINK);
            let is_exit = |hop: &&Hop| (hop.interface, hop.direction) == (UPLINK, Egress);
            let left = path.hops.iter().take(refusal.hops).rfind(is_exit);
            let there = left.and_then(|hop| hop.tunnel.as_deref());
            if let (Some(answer), Some(there)) = (answer, there)
                && answer.hops[0].direction == Ingress
            {
                prop_assert!(comes_back(answer, there), "{answer:?} about {path:?}");
            }
        }
    }
}

/// As many flows as a node tracks, all translated at once, with more packets under way than there
/// is room for. `content`: what tells a flow's packet from those of others.
fn many(content: impl Fn(u16) -> u32) -> (Vec<[u64; 2]>, BTreeMap<u64, bool>) {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    let mut paths = BTreeMap::new();
    let mut take = |builder: &mut Builder| {
        let taken = builder.take_finished();
        paths.extend(taken.map(|path| (path.id, path.ambiguous)));
    };
    let of = |flow: u16| {
        let mut packet = packet("10.96.0.10");
        packet.transport = Transport::Tcp {
            source: 0,
            destination: 0,
            sequence: content(flow),
            acknowledgment: 9,
            flags: 0x10,
            payload: 0,
        };
        if let Network::Ip(ip) = &mut packet.network {
            (ip.protocol, ip.id) = (6, 7);
        }
        [
            with_ends(&packet, ends("10.244.1.2", "10.96.0.10", (flow, 80))),
            with_ends(&packet, ends("10.244.1.1", "10.244.1.3", (!flow, 8080))),
        ]
    };
    let mut ids = vec![[0; 2]; 1 << 16];
    for half in 0..2 {
        for number in 0..=u16::MAX {
            // The last first: the others are given up to make room.
            let flow = [number, !number][half];
            let tap = [(CNI0, Ingress), (CNI0, Egress)][half];
            let ts_ns = 1 + half as u64 * 100_000_000 + u64::from(number) * 1000;
            let event = event(ts_ns, tap.0, tap.1, &of(flow)[half]);
            ids[usize::from(flow)][half] = builder.push(&event, &world);
            assert!(builder.open_bytes() <= OPEN_BYTES);
            take(&mut builder);
        }
    }
    builder.finish();
    take(&mut builder);
    (ids, paths)
}

#[test]
fn flows_that_are_translated_at_once_are_never_mixed() {
    let (ids, paths) = many(|flow| u32::from(flow) * 1000);
    let joined = ids.iter().filter(|[before, after]| before == after).count();
    // The others were given up, and begin anew behind the translation.
    assert!(joined > 5_000, "{joined}");
    let all: BTreeSet<_> = ids.iter().flatten().collect();
    assert_eq!(all.len(), 2 * ids.len() - joined);
    assert!(paths.values().all(|ambiguous| !ambiguous));
}

/// One that is alone at last may be taken for another, but says so.
#[test]
fn flows_with_equal_packets_are_left_apart() {
    let (ids, paths) = many(|_| 5);
    let mut flows = BTreeMap::<u64, BTreeSet<usize>>::new();
    for (flow, ids) in ids.iter().enumerate() {
        for id in ids {
            flows.entry(*id).or_default().insert(flow);
        }
    }
    for (id, flows) in &flows {
        assert!(flows.len() == 1 || paths[id], "{id}: {flows:?}");
    }
    let mixed = flows.values().filter(|flows| flows.len() > 1).count();
    assert!(mixed < 100, "{mixed}");
}
