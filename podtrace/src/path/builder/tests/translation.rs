//! Paths go on through address translation.
use proptest::prelude::*;

use super::*;
use crate::packet::Ends;

/// A packet with other ends.
fn with_ends(packet: &Packet, ends: Ends) -> Packet {
    let mut packet = packet.clone();
    if let Network::Ip(ip) = &mut packet.network {
        (ip.source, ip.destination) = (ends.source, ends.destination);
    }
    if let (
        Transport::Tcp {
            source,
            destination,
            ..
        }
        | Transport::Udp {
            source,
            destination,
            ..
        },
        Some((from, to)),
    ) = (&mut packet.transport, ends.ports)
    {
        (*source, *destination) = (from, to);
    }
    packet
}

fn ends(source: &str, destination: &str, ports: (u16, u16)) -> Ends {
    Ends {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        ports: Some(ports),
    }
}

fn syn() -> Packet {
    let mut packet = packet("10.96.0.10");
    packet.transport = Transport::Tcp {
        source: 40_000,
        destination: 80,
        sequence: 77,
        acknowledgment: 0,
        flags: 2,
        payload: 0,
    };
    if let Network::Ip(ip) = &mut packet.network {
        ip.protocol = 6;
    }
    packet
}

/// The tap points before and behind a node's translation.
const BEFORE: [(u32, Direction); 3] = [(POD1, Egress), (VETH1, Ingress), (CNI0, Ingress)];
const BEHIND: [(u32, Direction); 4] = [
    (CNI0, Egress),
    (VETH2, Egress),
    (POD2, Ingress),
    (POD2, Socket),
];
const BACK: [(u32, Direction); 4] = [
    (CNI0, Egress),
    (VETH1, Egress),
    (POD1, Ingress),
    (POD1, Socket),
];

fn push(
    builder: &mut Builder,
    world: &World,
    packet: &Packet,
    from_ns: u64,
    at: &[(u32, Direction)],
) -> Vec<u64> {
    let mut ids = Vec::new();
    for (ts_ns, (interface, direction)) in (from_ns..).zip(at) {
        let mut event = event(ts_ns, *interface, *direction, packet);
        if let (POD1, Some(link)) = (*interface, &mut event.packet.link) {
            link.destination = mac_of(NETNS1);
        }
        ids.push(builder.push(&event, world));
    }
    ids
}

#[test]
fn service_request_and_its_answer_are_a_path_each() {
    let world = world();
    let mut builder = Builder::new(500_000_000);
    let request = syn();
    let service = request.ends().unwrap();
    let backend = ends("10.244.1.2", "10.244.1.3", (40_000, 8080));
    push(&mut builder, &world, &request, 1000, &BEFORE);
    push(
        &mut builder,
        &world,
        &with_ends(&request, backend),
        2000,
        &BEHIND,
    );
    let mut answer = request.clone();
    answer.transport = SYN_ACK;
    push(
        &mut builder,
        &world,
        &with_ends(&answer, backend.reversed()),
        3000,
        &[(POD2, Egress), (VETH2, Ingress), (CNI0, Ingress)],
    );
    push(
        &mut builder,
        &world,
        &with_ends(&answer, service.reversed()),
        4000,
        &BACK,
    );
    builder.expire(SETTLE_NS + 5000);
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 2);
    for (path, (before, after)) in paths
        .iter()
        .zip([(service, backend), (backend.reversed(), service.reversed())])
    {
        assert_eq!(path.hops.len(), 7);
        assert_eq!(path.outcome, Outcome::Delivered);
        assert!(!path.ambiguous);
        let translation = Translation {
            hop: 3,
            before,
            after,
        };
        assert_eq!(path.translations, [translation]);
    }
    assert!(paths[0].translations[0].is_of_destination());
    assert!(!paths[0].translations[0].is_of_source());
}

/// The address of the node stands for the pod's: what comes back for it goes on, and has a
/// round trip from where the request began.
#[test]
fn masqueraded_ping_comes_back() {
    let mut world = world();
    let node: IpAddr = "192.168.77.11".parse().unwrap();
    apply_snapshot(&mut world, &[node]);
    let mut request = packet("198.51.100.1");
    request.transport = Transport::Echo {
        reply: false,
        id: 7,
        sequence: 1,
    };
    let inside = request.ends().unwrap();
    let mut outside = inside;
    outside.source = node;
    for second in [false, true] {
        let mut builder = Builder::new(500_000_000);
        push(&mut builder, &world, &request, 1000, &BEFORE);
        let mut translated = with_ends(&request, outside);
        if second {
            // Another process of the node uses the identifier.
            translated.transport = Transport::Echo {
                reply: false,
                id: 9,
                sequence: 1,
            };
        }
        push(&mut builder, &world, &translated, 2000, &[(UPLINK, Egress)]);
        let reply = |packet: &Packet, ends: Ends| {
            let mut reply = with_ends(packet, ends.reversed());
            if let Transport::Echo { reply, .. } = &mut reply.transport {
                *reply = true;
            }
            reply
        };
        let come = reply(&translated, outside);
        push(&mut builder, &world, &come, 3000, &[(UPLINK, Ingress)]);
        let go_on = reply(&request, inside);
        push(&mut builder, &world, &go_on, 4000, &BACK);
        builder.expire(SETTLE_NS + 5000);
        let paths = finished(&mut builder);
        let outcomes: Vec<_> = paths.iter().map(|path| path.outcome).collect();
        assert_eq!(outcomes, [Outcome::LeftNode, Outcome::Delivered]);
        assert_eq!([paths[0].hops.len(), paths[1].hops.len()], [4, 5]);
        let round_trip = paths[1].round_trip.as_ref().unwrap();
        assert_eq!(round_trip.at[0], (POD1, 4002 - 1000));
        assert_eq!(round_trip.at.len(), 4);
    }
}

/// A packet that comes for the node's address and is dropped before it is translated back
/// is not delivered.
#[test]
fn answer_to_a_masqueraded_packet_is_not_for_the_node() {
    let mut world = world();
    let node: IpAddr = "192.168.77.11".parse().unwrap();
    apply_snapshot(&mut world, &[]);
    let request = syn();
    let mut outside = request.ends().unwrap();
    outside.source = node;
    let mut builder = Builder::new(500_000_000);
    push(&mut builder, &world, &request, 1000, &BEFORE);
    let translated = with_ends(&request, outside);
    push(&mut builder, &world, &translated, 2000, &[(UPLINK, Egress)]);
    let mut answer = with_ends(&request, outside.reversed());
    if let Transport::Tcp { sequence, .. } = &mut answer.transport {
        *sequence = 1;
    }
    push(&mut builder, &world, &answer, 3000, &[(UPLINK, Ingress)]);
    builder.expire(600_000_000);
    let outcomes: Vec<_> = finished(&mut builder)
        .iter()
        .map(|path| path.outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::LeftNode, Outcome::NotSeenFurther]);
}

/// A pod that asks a Service and is its own backend: both ends are translated.
#[test]
fn hairpin_is_one_path() {
    let world = world();
    let mut builder = Builder::new(500_000_000);
    let request = syn();
    push(&mut builder, &world, &request, 1000, &BEFORE);
    let own = ends("10.244.1.1", "10.244.1.2", (50_000, 8080));
    push(&mut builder, &world, &with_ends(&request, own), 2000, &BACK);
    builder.expire(SETTLE_NS + 5000);
    let paths = finished(&mut builder);
    assert_eq!((paths.len(), paths[0].hops.len()), (1, 7));
    let translation = paths[0].translations[0];
    assert!(translation.is_of_source() && translation.is_of_destination());
}

/// What a process of the node sends after it has read the same is a packet of its own.
#[test]
fn relay_is_no_translation() {
    let world = world();
    let relayed = with_ends(
        &packet("10.96.0.10"),
        ends("10.244.1.1", "10.244.1.3", (900, 53)),
    );
    let mut later = relayed.clone();
    if let Network::Ip(ip) = &mut later.network {
        ip.ttl = 65;
    }
    for (packet_out, cgroup) in [(&relayed, CGROUP2), (&later, CGROUP_NONE)] {
        let mut builder = Builder::new(500_000_000);
        push(&mut builder, &world, &packet("10.96.0.10"), 1000, &BEFORE);
        let mut sent = event(2000, CNI0, Egress, packet_out);
        sent.cgroup = cgroup;
        builder.push(&sent, &world);
        builder.finish();
        assert_eq!(finished(&mut builder).len(), 2);
    }
}

/// Which of two equal datagrams of different flows goes on is not known before one of them
/// was seen to be translated.
#[test]
fn equal_datagrams_of_two_flows_stay_apart_until_their_translations_are_known() {
    let world = world();
    let mut builder = Builder::new(500_000_000);
    let (one, other) = (
        ends("10.244.1.2", "10.96.0.10", (1, 53)),
        ends("10.244.1.2", "10.96.0.20", (2, 53)),
    );
    let [new_one, new_other] =
        [(1, "10.244.1.3"), (2, "10.244.1.3")].map(|(port, to)| ends("10.244.1.1", to, (port, 53)));
    let datagram = packet("10.96.0.10");
    let mut send = |from_ns: u64, flow: Ends, at: &[(u32, Direction)]| {
        push(
            &mut builder,
            &world,
            &with_ends(&datagram, flow),
            from_ns,
            at,
        )
    };
    // Both are under way at once.
    send(1000, one, &BEFORE);
    send(2000, other, &BEFORE);
    send(3000, new_other, &BEHIND);
    let apart = send(4000, new_one, &BEHIND);
    assert!(apart.iter().all(|id| *id > 2));
    // Each alone.
    let ms = 1_000_000;
    for (from_ns, before, after) in [(700 * ms, one, new_one), (1400 * ms, other, new_other)] {
        let first = send(from_ns, before, &BEFORE);
        assert_eq!(send(from_ns + 10, after, &BEHIND), [first[0]; 4]);
    }
    // Both again.
    let first = send(2100 * ms, one, &BEFORE);
    let second = send(2101 * ms, other, &BEFORE);
    assert_eq!(send(2102 * ms, new_other, &BEHIND), [second[0]; 4]);
    assert_eq!(send(2103 * ms, new_one, &BEHIND), [first[0]; 4]);
}

/// One packet of the model.
#[derive(Clone, Debug)]
struct Sent {
    flow: u16,
    /// What its content is made of.
    content: u32,
    kind: u8,
    start: u64,
    /// How many of its tap points it passes.
    passes: usize,
}

fn sent() -> impl Strategy<Value = Sent> {
    (0u16..6, 0u32..8, 0u8..3, 0u64..40, 2usize..=7).prop_map(
        |(flow, content, kind, start, passes)| Sent {
            flow,
            content,
            kind,
            start,
            passes,
        },
    )
}

impl Sent {
    fn packets(&self) -> [Packet; 2] {
        let mut packet = packet("10.96.0.10");
        packet.payload_hash = if self.kind == 1 { 0 } else { 1 + self.content };
        if self.kind == 2 {
            packet.transport = Transport::Tcp {
                source: 0,
                destination: 0,
                sequence: self.content,
                acknowledgment: 0,
                flags: 0x10,
                payload: 4,
            };
            if let Network::Ip(ip) = &mut packet.network {
                ip.protocol = 6;
            }
        }
        let before = ends("10.244.1.2", "10.96.0.10", (1000 + self.flow, 53));
        // Some flows keep one end, others none.
        let after = if self.flow.is_multiple_of(2) {
            ends("10.244.1.2", "10.244.1.3", (1000 + self.flow, 5353))
        } else {
            ends("10.244.1.1", "10.244.1.3", (2000 + self.flow, 5353))
        };
        [with_ends(&packet, before), with_ends(&packet, after)]
    }

    /// What decides for content: all but the flow.
    fn content(&self) -> (u8, u32) {
        (self.kind, if self.kind == 1 { 0 } else { self.content })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// No two flows are joined, and a packet is in one piece if its content is its own.
    #[test]
    fn content_decides_or_nothing_does(packets in prop::collection::vec(sent(), 1..24)) {
        let world = world();
        let mut events = Vec::new();
        for (number, sent) in packets.iter().enumerate() {
            let [before, after] = sent.packets();
            let taps = BEFORE.map(|tap| (tap, &before)).into_iter().map(|(tap, packet)| (tap, packet.clone()))
                .chain(BEHIND.map(|tap| (tap, after.clone())));
            for (hop, ((interface, direction), packet)) in taps.enumerate().take(sent.passes) {
                let ts_ns = 1 + sent.start * 4 + hop as u64 * 16 + number as u64 % 4;
                events.push((ts_ns, number, event(ts_ns, interface, direction, &packet)));
            }
        }
        events.sort_by_key(|(ts_ns, number, _)| (*ts_ns, *number));
        let mut builder = Builder::new(500_000_000);
        let mut ids = vec![Vec::new(); packets.len()];
        for (_, number, event) in &events {
            ids[*number].push(builder.push(event, &world));
        }
        builder.finish();
        let ambiguous: BTreeMap<u64, bool> =
            finished(&mut builder).iter().map(|path| (path.id, path.ambiguous)).collect();
        for (number, sent) in packets.iter().enumerate() {
            let is_own = packets.iter().enumerate().all(|(other, packet)| {
                other == number || packet.content() != sent.content()
            });
            if is_own && sent.kind != 1 {
                prop_assert!(ids[number].windows(2).all(|pair| pair[0] == pair[1]), "{sent:?} in pieces");
                prop_assert!(!ambiguous[&ids[number][0]]);
            }
            for (other, packet) in packets.iter().enumerate().skip(number + 1) {
                let is_shared = ids[number].iter().any(|id| ids[other].contains(id));
                prop_assert!(!is_shared || packet.flow == sent.flow || ids[number].iter().any(|id| ambiguous[id]),
                    "{sent:?} and {packet:?} are one path");
            }
        }
    }
}
