//! Errors about the packets of a tunnel refuse what these carry.
use proptest::prelude::*;

use super::*;
use crate::{
    packet::{DecodeOptions, Framing, TunnelKind},
    path::refusal::Carried,
};

const NEAR: [u8; 4] = [192, 168, 77, 11];
const FAR: [u8; 4] = [192, 168, 77, 12];
/// Where the inner packet is plain.
const INSIDE: [(u32, Direction); 3] = [(POD1, Egress), (VETH1, Ingress), (CNI0, Ingress)];

fn ipv4(protocol: u8, id: u16, ends: [[u8; 4]; 2], payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let [high, low] = id.to_be_bytes();
    let mut packet = vec![
        0x45, 0, len[0], len[1], high, low, 0x40, 0, 64, protocol, 0, 0,
    ];
    packet.extend(ends.concat());
    packet.extend(payload);
    packet
}

fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap();
    let words = [ports.0, ports.1, len, 0];
    let mut datagram: Vec<_> = words.into_iter().flat_map(u16::to_be_bytes).collect();
    datagram.extend(payload);
    datagram
}

fn frame(packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend(packet);
    frame
}

/// A datagram of the first pod for a pod of another node. `number`: its identification.
fn inner(number: u16) -> Vec<u8> {
    let question = udp((5000, 53), b"a question that is long enough");
    ipv4(17, number, [[10, 244, 1, 2], [10, 244, 2, 2]], &question)
}

/// The packet that carries it.
fn outer(kind: TunnelKind, id: u16, inner: &[u8]) -> Vec<u8> {
    let ends = [NEAR, FAR];
    match kind {
        TunnelKind::Vxlan => {
            let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0], &frame(inner)[..]].concat();
            ipv4(17, id, ends, &udp((40_000, 8472), &vxlan))
        }
        TunnelKind::Gre => ipv4(47, id, ends, &[&[0, 0, 8, 0], inner].concat()),
        _ => ipv4(4, id, ends, inner),
    }
}

/// The error that the other node sends, quoting so many bytes.
fn error(quoted: &[u8], length: usize) -> Vec<u8> {
    let message = [&[3, 3, 0, 0, 0, 0, 0, 0], &quoted[..length]].concat();
    ipv4(1, 1, [FAR, NEAR], &message)
}

fn seen(ts_ns: u64, (interface, direction): (u32, Direction), packet: &[u8]) -> Event {
    let frame = frame(packet);
    let wire_len = u32::try_from(frame.len()).unwrap();
    let options = DecodeOptions {
        vxlan_ports: vec![8472],
        key_payload: 16,
        filter: None,
    };
    let (packet, payload) =
        Packet::decode_with_payload(&frame, wire_len, Framing::Ethernet, &options);
    Event {
        wire_len,
        payload,
        ..event(ts_ns, interface, direction, &packet)
    }
}

/// Sends a packet by a tunnel; returns its number.
fn send(builder: &mut Builder, world: &World, ts_ns: u64, packet: &[u8], carrier: &[u8]) -> u64 {
    for (number, tap) in (0..).zip(INSIDE) {
        builder.push(&seen(ts_ns + number, tap, packet), world);
    }
    builder.push(&seen(ts_ns + 3, (UPLINK, Egress), carrier), world)
}

/// The paths that have ended, those that were shown amended.
fn shown(builder: &mut Builder, world: &World) -> Vec<Path> {
    builder.expire(SECOND);
    let mut paths = finished(builder);
    for path in &mut paths {
        builder.amend(path, world);
    }
    paths.sort_by_key(|path| path.id);
    paths
}

#[test]
fn error_about_a_tunnels_packet_refuses_what_that_carries() {
    let vtep = IpAddr::from(FAR);
    for (kind, port) in [
        (TunnelKind::Vxlan, Some(8472)),
        (TunnelKind::Gre, None),
        (TunnelKind::Ipip, None),
    ] {
        let (packet, carrier) = (inner(7), outer(kind, 99, &inner(7)));
        // Of the inner packet: nothing, a part of its IP header, that alone, and all.
        let behind = carrier.len() - packet.len();
        for length in [28, behind.max(20) + 12, behind + 20, carrier.len()] {
            for is_traced in [false, true] {
                let mut world = world();
                if is_traced {
                    apply_snapshot(&mut world, &[vtep]);
                }
                let mut builder = Builder::new(TIMEOUT_NS);
                assert_eq!(send(&mut builder, &world, 1000, &packet, &carrier), 1);
                // Others are under way.
                let other = outer(kind, 100, &inner(8));
                send(&mut builder, &world, 1100, &inner(8), &other);
                let answer = error(&carrier, length);
                builder.push(&seen(2000, (UPLINK, Ingress), &answer), &world);
                let paths = shown(&mut builder, &world);
                let what = format!("{kind:?} {length} {is_traced}");
                assert_eq!(paths[0].outcome, Outcome::Refused, "{what}");
                assert_ne!(paths[1].outcome, Outcome::Refused, "{what}");
                let refusal = paths[0].refusal.as_deref().unwrap();
                assert_eq!(refusal.by, vtep);
                assert_eq!(refusal.reason, Reason::Icmp(NO_PORT));
                assert_eq!(refusal.carried, Some(Carried { by: kind, port }), "{what}");
                assert_eq!(paths[2].about, Some(1));
            }
        }
    }
}

/// It quotes another packet, or comes from where none went.
#[test]
fn forged_error_about_a_tunnels_packet_refuses_nothing() {
    let (packet, carrier) = (inner(7), outer(TunnelKind::Vxlan, 99, &inner(7)));
    let other_id = outer(TunnelKind::Vxlan, 98, &packet);
    let other_length = {
        let mut longer = carrier.clone();
        longer[3] += 1;
        longer
    };
    for (quoted, from) in [
        (&other_id, (UPLINK, Ingress)),
        (&other_length, (UPLINK, Ingress)),
        (&carrier, (VETH1, Ingress)),
        (&carrier, (POD2, Egress)),
    ] {
        let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
        send(&mut builder, &world, 1000, &packet, &carrier);
        builder.push(&seen(2000, from, &error(quoted, 28)), &world);
        let paths = shown(&mut builder, &world);
        assert_eq!(paths[0].outcome, Outcome::LeftForVtep(FAR.into()));
        assert!(paths[0].refusal.is_none());
    }
}

/// Nothing tells which of two it is.
#[test]
fn short_quote_of_equal_outer_packets_is_ambiguous() {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    for number in [7, 8] {
        let carrier = outer(TunnelKind::Vxlan, 0, &inner(number));
        send(
            &mut builder,
            &world,
            1000 * u64::from(number),
            &inner(number),
            &carrier,
        );
    }
    let answer = error(&outer(TunnelKind::Vxlan, 0, &inner(7)), 28);
    builder.push(&seen(10_000, (UPLINK, Ingress), &answer), &world);
    let paths = shown(&mut builder, &world);
    assert!(paths.iter().all(|path| path.refusal.is_none()));
    assert!(paths[2].ambiguous && paths[2].about.is_none());
    // The whole one tells.
    let (mut builder, carrier) = (
        Builder::new(TIMEOUT_NS),
        outer(TunnelKind::Vxlan, 0, &inner(7)),
    );
    send(&mut builder, &world, 1000, &inner(7), &carrier);
    let other = outer(TunnelKind::Vxlan, 0, &inner(8));
    send(&mut builder, &world, 1100, &inner(8), &other);
    let answer = error(&carrier, carrier.len());
    builder.push(&seen(2000, (UPLINK, Ingress), &answer), &world);
    let paths = shown(&mut builder, &world);
    let refused = paths.iter().map(|path| path.refusal.is_some());
    assert_eq!(refused.collect::<Vec<_>>(), [true, false, false]);
}

/// What the pod at the far end refuses is refused by that pod, not by the node.
#[test]
fn error_in_a_tunnel_is_about_the_inner_packet() {
    let (packet, carrier) = (inner(7), outer(TunnelKind::Vxlan, 99, &inner(7)));
    let message = [&[3, 3, 0, 0, 0, 0, 0, 0], &packet[..28]].concat();
    let answer = ipv4(1, 1, [[10, 244, 2, 2], [10, 244, 1, 2]], &message);
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0], &frame(&answer)[..]].concat();
    let answer = ipv4(17, 5, [FAR, NEAR], &udp((40_001, 8472), &vxlan));
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    send(&mut builder, &world, 1000, &packet, &carrier);
    builder.push(&seen(2000, (UPLINK, Ingress), &answer), &world);
    let paths = shown(&mut builder, &world);
    let refusal = paths[0].refusal.as_deref().unwrap();
    assert_eq!(refusal.by, IpAddr::from([10, 244, 2, 2]));
    assert_eq!(refusal.carried, None);
}

/// The error in a tunnel from one node to another.
fn tunnelled(error: &[u8], ends: [[u8; 4]; 2]) -> Vec<u8> {
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0], &frame(error)[..]].concat();
    ipv4(17, 5, ends, &udp((40_001, 8472), &vxlan))
}

/// Nobody between the nodes sees the inner packet, and no other node gets it.
#[test]
fn inner_quote_counts_only_from_the_far_end_of_the_tunnel() {
    let (packet, carrier) = (inner(7), outer(TunnelKind::Vxlan, 99, &inner(7)));
    let quoting = |from: [u8; 4], to: [u8; 4], quoted: &[u8]| {
        ipv4(
            1,
            1,
            [from, to],
            &[&[3, 3, 0, 0, 0, 0, 0, 0], quoted].concat(),
        )
    };
    let (pod, far_pod, other) = ([10, 244, 1, 2], [10, 244, 2, 2], [192, 168, 77, 13]);
    let inner_quote = quoting(far_pod, pod, &packet);
    let mut another_outer = carrier.clone();
    another_outer[5] += 1;
    for (answer, tap, is_refused) in [
        (
            tunnelled(&inner_quote, [FAR, NEAR]),
            (UPLINK, Ingress),
            true,
        ),
        (quoting(FAR, NEAR, &carrier), (UPLINK, Ingress), true),
        // A router between them.
        (quoting(other, NEAR, &carrier), (UPLINK, Ingress), true),
        (inner_quote.clone(), (UPLINK, Ingress), false),
        (quoting(other, pod, &packet), (UPLINK, Ingress), false),
        (
            tunnelled(&inner_quote, [other, NEAR]),
            (UPLINK, Ingress),
            false,
        ),
        (quoting(FAR, NEAR, &another_outer), (UPLINK, Ingress), false),
    ] {
        for is_traced in [false, true] {
            let mut world = world();
            if is_traced {
                apply_snapshot(&mut world, &[FAR.into()]);
            }
            let mut builder = Builder::new(TIMEOUT_NS);
            send(&mut builder, &world, 1000, &packet, &carrier);
            builder.push(&seen(2000, tap, &answer), &world);
            let paths = shown(&mut builder, &world);
            let what = format!("{answer:?} {is_traced}");
            assert_eq!(paths[0].outcome == Outcome::Refused, is_refused, "{what}");
            assert_eq!(paths[0].refusal.is_some(), is_refused, "{what}");
        }
    }
}

/// What a node sends from the address that the tunnel has too is answered without it.
#[test]
fn node_gets_answers_to_its_own_address_outside_of_the_tunnel() {
    let question = udp((5000, 53), b"a question that is long enough");
    let packet = ipv4(17, 7, [NEAR, [10, 244, 2, 2]], &question);
    let carrier = outer(TunnelKind::Vxlan, 99, &packet);
    let message = [&[3, 3, 0, 0, 0, 0, 0, 0], &packet[..]].concat();
    let answer = ipv4(1, 1, [[10, 244, 2, 2], NEAR], &message);
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    builder.push(&seen(1000, (UPLINK, Egress), &carrier), &world);
    builder.push(&seen(2000, (UPLINK, Ingress), &answer), &world);
    assert_eq!(shown(&mut builder, &world)[0].outcome, Outcome::Refused);
}

/// What goes from pod to pod on the node is not refused from outside, nor what left without a
/// tunnel from inside one, but by a router.
#[test]
fn answer_comes_in_by_the_way_that_the_packet_went_out() {
    let (packet, world) = (inner(7), world());
    let message = [&[3, 3, 0, 0, 0, 0, 0, 0], &packet[..]].concat();
    let answer = ipv4(1, 1, [[10, 244, 2, 2], [10, 244, 1, 2]], &message);
    let routers = ipv4(1, 1, [[10, 244, 2, 0], [10, 244, 1, 2]], &message);
    for (out, answer, is_refused) in [
        ((VETH2, Egress), &answer, false),
        ((CNI0, Egress), &answer, false),
        ((UPLINK, Egress), &answer, true),
        ((UPLINK, Egress), &tunnelled(&answer, [FAR, NEAR]), false),
        // A router to what nobody knows.
        ((UPLINK, Egress), &tunnelled(&routers, [FAR, NEAR]), true),
    ] {
        let mut builder = Builder::new(TIMEOUT_NS);
        for (ts_ns, tap) in (1000..).zip(INSIDE.into_iter().chain([out])) {
            builder.push(&seen(ts_ns, tap, &packet), &world);
        }
        builder.push(&seen(2000, (UPLINK, Ingress), answer), &world);
        let paths = shown(&mut builder, &world);
        assert_eq!(paths[0].outcome == Outcome::Refused, is_refused, "{out:?}");
    }
}

/// A packet of the model, and how an error quotes it, if one does.
#[derive(Clone, Debug)]
struct Sent {
    number: u16,
    outer_id: u16,
    longer: bool,
    kind: TunnelKind,
    quoted: Option<bool>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let kind = prop_oneof![
        Just(TunnelKind::Vxlan),
        Just(TunnelKind::Gre),
        Just(TunnelKind::Ipip)
    ];
    let quoted = prop::option::of(any::<bool>());
    (0u16..8, 0u16..8, any::<bool>(), kind, quoted).prop_map(
        |(number, outer_id, longer, kind, quoted)| Sent {
            number,
            outer_id,
            longer,
            kind,
            quoted,
        },
    )
}

impl Sent {
    fn inner(&self) -> Vec<u8> {
        let question = udp((5000, 53), &[7; 30][..if self.longer { 30 } else { 29 }]);
        let ends = [[10, 244, 1, 2], [10, 244, 2, 2]];
        ipv4(17, self.number, ends, &question)
    }

    fn outer(&self) -> Vec<u8> {
        outer(self.kind, self.outer_id, &self.inner())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Errors come once all have left. One refuses a packet that it quotes, or none, and a packet
    /// that is unlike all others is refused if it is quoted, however shortly.
    #[test]
    fn error_refuses_the_packet_in_the_tunnel_that_it_quotes(
        packets in prop::collection::vec(sent(), 1..12),
    ) {
        let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
        for (number, packet) in (1u64..).zip(&packets) {
            let ts_ns = 1000 * number;
            let id = send(&mut builder, &world, ts_ns, &packet.inner(), &packet.outer());
            prop_assert_eq!(id, number);
        }
        let mut quoted = Vec::new();
        for (number, packet) in packets.iter().enumerate() {
            if let Some(is_short) = packet.quoted {
                let carrier = packet.outer();
                let length = if is_short { 28 } else { carrier.len() };
                let event = seen(100_000 + number as u64, (UPLINK, Ingress), &error(&carrier, length));
                quoted.push((builder.push(&event, &world), number, is_short));
            }
        }
        let paths = shown(&mut builder, &world);
        let is_like = |one: &Sent, other: &Sent, is_short| match is_short {
            // The IP header decides.
            true => one.outer()[..20] == other.outer()[..20],
            false => one.inner() == other.inner(),
        };
        for (answer, number, is_short) in quoted {
            let packet = &packets[number];
            let answer = paths.iter().find(|path| path.id == answer).unwrap();
            let about = answer.about.map(|id| &packets[id as usize - 1]);
            prop_assert!(about.is_none_or(|about| is_like(about, packet, is_short)));
            let alike = packets.iter().filter(|other| is_like(other, packet, is_short)).count();
            if alike == 1 {
                prop_assert_eq!(answer.about, Some(number as u64 + 1));
                prop_assert_eq!(paths[number].outcome, Outcome::Refused);
            } else if is_short {
                prop_assert!(answer.about.is_none() && answer.ambiguous);
            }
        }
        for (number, packet) in packets.iter().enumerate() {
            let is_quoted = packets.iter().any(|other| {
                other.quoted.is_some_and(|is_short| is_like(packet, other, is_short))
            });
            prop_assert!(is_quoted || paths[number].refusal.is_none());
        }
    }
}
