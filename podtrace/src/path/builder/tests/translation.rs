//! Paths continue through address translation.
mod model;

use super::*;
use crate::{
    model::translation::{FlowChanges, TranslatedFlow},
    packet::Ends,
};

/// A packet with other ends.
pub(super) fn with_ends(packet: &Packet, ends: Ends) -> Packet {
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

pub(super) fn ends(source: &str, destination: &str, ports: (u16, u16)) -> Ends {
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

/// The tap points before and after a node's translation.
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
    if let Transport::Tcp { acknowledgment, .. } = &mut answer.transport {
        *acknowledgment = 78;
    }
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

/// The node's address stands for the pod's: replies to it continue to the pod, and their round
/// trip begins where the request began.
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

/// A reply to the node's address that is dropped before it is translated back is not
/// delivered.
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
    answer.link = answer.link.map(|link| Link {
        destination: mac_of(NODE),
        ..link
    });
    push(&mut builder, &world, &answer, 3000, &[(UPLINK, Ingress)]);
    builder.expire(600_000_000);
    let outcomes: Vec<_> = finished(&mut builder)
        .iter()
        .map(|path| path.outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::LeftNode, Outcome::NotSeenFurther]);
}

/// A flow's ports are used again by another one: the packets are for the node then, whether the
/// translation is too long ago or a socket of the node has taken one meanwhile.
#[test]
fn ports_of_an_earlier_translation_are_not_translated_for_ever() {
    const SECOND: u64 = 1_000_000_000;
    for (after_ns, by_socket, outcome) in [
        (SECOND, false, Outcome::NotSeenFurther),
        (119 * SECOND, false, Outcome::NotSeenFurther),
        (121 * SECOND, false, Outcome::Delivered),
        (2 * SECOND, true, Outcome::Delivered),
    ] {
        let mut world = world();
        apply_snapshot(&mut world, &[]);
        let mut builder = Builder::new(500_000_000);
        let request = syn();
        let mut outside = request.ends().unwrap();
        outside.source = "10.244.1.1".parse().unwrap();
        push(&mut builder, &world, &request, 1000, &BEFORE);
        let translated = with_ends(&request, outside);
        push(&mut builder, &world, &translated, 2000, &[(UPLINK, Egress)]);
        let to_node = |number: u32| {
            let mut packet = with_ends(&request, outside.reversed());
            if let Transport::Tcp { sequence, .. } = &mut packet.transport {
                *sequence = number;
            }
            packet.link = packet.link.map(|link| Link {
                destination: mac_of(NODE),
                ..link
            });
            packet
        };
        if by_socket {
            let at = [(UPLINK, Ingress), (UPLINK, Socket)];
            push(&mut builder, &world, &to_node(1), SECOND, &at);
            builder.expire(2 * SECOND - 1);
        }
        push(
            &mut builder,
            &world,
            &to_node(2),
            after_ns,
            &[(UPLINK, Ingress)],
        );
        builder.expire(after_ns + SECOND);
        let last = finished(&mut builder).pop().unwrap();
        assert_eq!(last.outcome, outcome, "{after_ns} {by_socket}");
    }
}

/// A pod that is its own backend of a Service: both ends are translated.
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

/// A packet that a process of the node sends after it read the same content is a packet of its
/// own.
#[test]
fn relayed_packet_is_no_translation() {
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

/// Two equal datagrams of different flows: which of them continues is unknown until one was
/// seen to be translated.
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
    // Each datagram alone.
    let ms = 1_000_000;
    for (from_ns, before, after) in [(700 * ms, one, new_one), (1400 * ms, other, new_other)] {
        let first = send(from_ns, before, &BEFORE);
        assert_eq!(send(from_ns + 10, after, &BEHIND), [first[0]; 4]);
    }
    // Both datagrams again.
    let first = send(2100 * ms, one, &BEFORE);
    let second = send(2101 * ms, other, &BEFORE);
    assert_eq!(send(2102 * ms, new_other, &BEHIND), [second[0]; 4]);
    assert_eq!(send(2103 * ms, new_one, &BEHIND), [first[0]; 4]);
}

/// The node's connection tracking tells which of two equal datagrams of different flows goes
/// on, from their first packets on; and nothing of a flow that it has forgotten.
#[test]
fn equal_datagrams_are_distinguished_by_what_the_node_tracks() {
    let world = world();
    let flows: Vec<_> = [(1, "10.96.0.10"), (2, "10.96.0.20")]
        .map(|(port, service)| TranslatedFlow {
            protocol: 17,
            before: ends("10.244.1.2", service, (port, 53)),
            after: ends("10.244.1.1", "10.244.1.3", (port + 100, 53)),
        })
        .into();
    let datagram = packet("10.96.0.10");
    let is_known_by = |tracked: &[(usize, u64, bool)]| {
        let mut builder = Builder::new(500_000_000);
        for (node, netns, is_gone) in tracked {
            let mut changes = FlowChanges {
                new: flows.clone(),
                gone: Vec::new(),
            };
            if *is_gone {
                std::mem::swap(&mut changes.new, &mut changes.gone);
            }
            builder.track((*node, *netns), &changes, 500);
        }
        let mut send = |from_ns: u64, flow: Ends, at: &[(u32, Direction)]| {
            let packet = with_ends(&datagram, flow);
            push(&mut builder, &world, &packet, from_ns, at)[0]
        };
        let first = send(1000, flows[0].before, &BEFORE);
        let second = send(2000, flows[1].before, &BEFORE);
        let behind = [
            send(3000, flows[1].after, &BEHIND),
            send(4000, flows[0].after, &BEHIND),
        ];
        assert!(behind == [second, first] || behind.iter().all(|id| *id > second));
        behind == [second, first]
    };
    assert!(!is_known_by(&[]));
    assert!(is_known_by(&[(0, NODE, false)]));
    assert!(!is_known_by(&[(0, NODE, false), (0, NODE, true)]));
    // Another node's, or a pod's own.
    assert!(!is_known_by(&[(1, NODE, false), (0, NETNS1, false)]));
}
