//! Answers that refuse a packet.
mod arrived;
mod fragments;
mod model;
mod resets;
mod translated;
mod tunnels;

use std::net::Ipv4Addr;

use super::{
    translation::{ends, with_ends},
    *,
};
use crate::{
    packet::{IcmpError, Payload, Quote},
    path::refusal::{Reason, Refusal},
};

const SECOND: u64 = 1_000_000_000;

const TOO_BIG: IcmpError = IcmpError {
    is_v4: true,
    kind: 3,
    code: 4,
    value: 1450,
};
const NO_PORT: IcmpError = IcmpError {
    code: 3,
    value: 0,
    ..TOO_BIG
};

/// From the first pod to the node's bridge.
const TO_CNI0: [(u32, Direction); 3] = [(POD1, Egress), (VETH1, Ingress), (CNI0, Ingress)];
/// From the node back to the first pod.
const TO_POD1: [(u32, Direction); 3] = [(CNI0, Egress), (VETH1, Egress), (POD1, Ingress)];
/// From the first pod to the second.
const THROUGH: [(u32, Direction); 4] = [
    (POD1, Egress),
    (VETH1, Ingress),
    (VETH2, Egress),
    (POD2, Ingress),
];
/// And back.
const BACK: [(u32, Direction); 4] = [
    (POD2, Egress),
    (VETH2, Ingress),
    (VETH1, Egress),
    (POD1, Ingress),
];

/// With the first pod's MAC address.
fn to_pod1(packet: Packet) -> Packet {
    let link = packet.link.map(|link| Link {
        destination: mac_of(NETNS1),
        ..link
    });
    Packet { link, ..packet }
}

/// The error of `from` that quotes a packet.
fn error(from: &str, error: IcmpError, about: &Packet) -> Message {
    let quoted = Packet {
        link: None,
        payload_hash: 0,
        ..about.clone()
    };
    let mut packet = to_pod1(packet("10.244.1.2"));
    if let Network::Ip(ip) = &mut packet.network {
        ip.source = from.parse().unwrap();
        ip.destination = about.source().unwrap();
        ip.protocol = 1;
    }
    packet.transport = Transport::Icmp {
        kind: error.kind,
        code: error.code,
    };
    packet.payload_hash = about.payload_hash ^ about.key().tag();
    let quote = Some(Box::new(Quote {
        error,
        packet: quoted,
        port: None,
    }));
    Message { packet, quote }
}

/// A packet, with its quote.
#[derive(Clone)]
struct Message {
    packet: Packet,
    quote: Option<Box<Quote>>,
}

impl From<&Packet> for Message {
    fn from(packet: &Packet) -> Self {
        Self {
            packet: packet.clone(),
            quote: None,
        }
    }
}

impl From<&Message> for Message {
    fn from(message: &Message) -> Self {
        message.clone()
    }
}

impl Message {
    fn at(&self, ts_ns: u64, interface: u32, direction: Direction) -> Event {
        Event {
            payload: self
                .quote
                .clone()
                .map(|quote| Box::new(Payload::Quote(*quote))),
            ..event(ts_ns, interface, direction, &self.packet)
        }
    }
}

fn push(
    builder: &mut Builder,
    world: &World,
    message: impl Into<Message>,
    from_ns: u64,
    taps: &[(u32, Direction)],
) {
    let message = message.into();
    for (ts_ns, (interface, direction)) in (from_ns..).zip(taps) {
        builder.push(&message.at(ts_ns, *interface, *direction), world);
    }
}

/// Feeds a packet and then an answer; returns all their paths, in order.
fn answered(
    packet: &Packet,
    taps: &[(u32, Direction)],
    answer: impl Into<Message>,
    back: &[(u32, Direction)],
) -> Vec<Path> {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    push(&mut builder, &world, packet, 1000, taps);
    push(&mut builder, &world, answer, 2000, back);
    builder.expire(SECOND);
    let mut paths = finished(&mut builder);
    paths.sort_by_key(|path| path.id);
    paths
}

fn outcomes(paths: &[Path]) -> Vec<Outcome> {
    paths.iter().map(|path| path.outcome).collect()
}

#[test]
fn error_belongs_to_the_packet_that_it_quotes() {
    let large = packet("192.0.2.1");
    let paths = answered(
        &large,
        &TO_CNI0,
        error("10.244.1.1", TOO_BIG, &large),
        &TO_POD1,
    );
    assert_eq!(outcomes(&paths), [Outcome::Refused, Outcome::Delivered]);
    let refusal = Refusal {
        packet: 2,
        by: Ipv4Addr::new(10, 244, 1, 1).into(),
        at: Some((CNI0, Egress)),
        ts_ns: 2000,
        reason: Reason::Icmp(TOO_BIG),
        carried: None,
        hops: 3,
    };
    assert_eq!(paths[0].refusal.as_deref(), Some(&refusal));
    assert_eq!((paths[0].about, paths[1].about), (None, Some(1)));
}

/// A quote has to be of this packet, and to come from where it went.
#[test]
fn forged_error_refuses_nothing() {
    let large = packet("192.0.2.1");
    let true_error = error("10.244.1.1", TOO_BIG, &large);
    let other = |change: fn(&mut Packet)| {
        let mut forged = true_error.clone();
        change(&mut forged.quote.as_mut().unwrap().packet);
        forged
    };
    let other_port = other(|quoted| {
        if let Transport::Udp { source, .. } = &mut quoted.transport {
            *source += 1;
        }
    });
    let other_id = other(|quoted| {
        if let Network::Ip(ip) = &mut quoted.network {
            ip.id += 1;
        }
    });
    let other_length = other(|quoted| quoted.length += 1);
    let mut for_another = true_error.clone();
    if let Network::Ip(ip) = &mut for_another.packet.network {
        ip.destination = "10.244.1.3".parse().unwrap();
    }
    for (forged, from) in [
        (other_port, &TO_POD1[..]),
        (other_id, &TO_POD1),
        (other_length, &TO_POD1),
        (for_another, &TO_POD1),
        (true_error.clone(), &BACK),
        (true_error, &[(UPLINK, Ingress)]),
    ] {
        let paths = answered(&large, &TO_CNI0, forged, from);
        assert_eq!(paths[0].outcome, Outcome::NotSeenFurther);
        assert!(paths[0].refusal.is_none() && paths[1].about.is_none());
    }
}

#[test]
fn packet_that_goes_on_was_not_refused() {
    let (world, datagram) = (world(), packet("10.244.1.3"));
    let mut builder = Builder::new(TIMEOUT_NS);
    let forged = error("10.244.1.1", TOO_BIG, &datagram);
    push(&mut builder, &world, &datagram, 1000, &THROUGH[..2]);
    push(&mut builder, &world, forged, 2000, &TO_POD1);
    push(&mut builder, &world, &datagram, 3000, &THROUGH[2..]);
    push(&mut builder, &world, &datagram, 4000, &[(POD2, Socket)]);
    builder.expire(SECOND);
    let mut paths = finished(&mut builder);
    paths.sort_by_key(|path| path.id);
    assert_eq!(outcomes(&paths), [Outcome::Delivered; 2]);
    assert!(paths[0].refusal.is_none());
}

#[test]
fn error_corrects_what_was_said_before() {
    let (world, packet) = (world(), packet("10.244.1.9"));
    let mut builder = Builder::new(TIMEOUT_NS);
    push(&mut builder, &world, &packet, 1000, &TO_CNI0);
    builder.expire(SECOND);
    let unreachable = IcmpError { code: 1, ..NO_PORT };
    let answer = error("10.244.1.1", unreachable, &packet);
    push(&mut builder, &world, answer, 3 * SECOND, &TO_POD1);
    builder.expire(4 * SECOND);
    let paths = finished(&mut builder);
    assert_eq!(outcomes(&paths)[0], Outcome::NotSeenFurther);
    let again = paths.iter().find(|path| path.late_of.is_some()).unwrap();
    assert_eq!((again.outcome, again.hops.len()), (Outcome::Refused, 3));
    assert_eq!(again.late_of.map(|before| before.id), Some(1));
    let answer = paths.iter().find(|path| path.about.is_some()).unwrap();
    assert_eq!(answer.about, Some(again.id));
}

/// Whether it was shown yet or not: what left for a router may be refused by that.
#[test]
fn packet_that_has_left_may_be_refused() {
    let world = world();
    let far = packet("192.0.2.1");
    let expired = IcmpError {
        kind: 11,
        code: 0,
        ..NO_PORT
    };
    let answer = error("198.51.100.7", expired, &far);
    for is_shown in [false, true] {
        let mut builder = Builder::new(TIMEOUT_NS);
        push(
            &mut builder,
            &world,
            &far,
            1000,
            &[&TO_CNI0[..], &[(UPLINK, Egress)]].concat(),
        );
        let mut path = builder.take_only_finished().unwrap();
        assert_eq!(path.outcome, Outcome::LeftNode);
        if is_shown {
            builder.amend(&mut path, &world);
            builder.keep(path.clone());
        }
        push(
            &mut builder,
            &world,
            &answer,
            2000,
            &[&[(UPLINK, Ingress)][..], &TO_POD1].concat(),
        );
        builder.expire(SECOND);
        let paths = finished(&mut builder);
        assert!(paths.iter().any(|path| path.about == Some(1)));
        let refused = if is_shown {
            paths
                .into_iter()
                .find(|path| path.late_of.is_some())
                .unwrap()
        } else {
            builder.amend(&mut path, &world);
            *path
        };
        assert_eq!(refused.outcome, Outcome::Refused);
        assert_eq!(refused.hops.len(), 4);
        let before = refused.late_of.map(|before| (before.id, before.outcome));
        assert_eq!(before, is_shown.then_some((1, Outcome::LeftNode)));
        // Once is enough.
        push(&mut builder, &world, &answer, 3000, &[(UPLINK, Ingress)]);
        builder.expire(2 * SECOND);
        assert!(
            finished(&mut builder)
                .iter()
                .all(|path| path.late_of.is_none())
        );
    }
}

/// The quote shows the packet as who refuses it has seen it.
#[test]
fn error_belongs_to_a_packet_that_was_translated() {
    let mut datagram = packet("10.96.0.10");
    if let Network::Ip(ip) = &mut datagram.network {
        ip.id = 99;
    }
    let translated = with_ends(&datagram, ends("10.244.1.2", "10.244.1.3", (5000, 5353)));
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    push(&mut builder, &world, &datagram, 1000, &TO_CNI0);
    push(
        &mut builder,
        &world,
        &translated,
        2000,
        &[(CNI0, Egress), (VETH2, Egress), (POD2, Ingress)],
    );
    let inner = error("10.244.1.3", NO_PORT, &translated);
    push(
        &mut builder,
        &world,
        &inner,
        3000,
        &[(POD2, Egress), (VETH2, Ingress), (CNI0, Ingress)],
    );
    let outer = error("10.96.0.10", NO_PORT, &datagram);
    push(&mut builder, &world, outer, 4000, &TO_POD1);
    builder.expire(SECOND);
    let mut paths = finished(&mut builder);
    paths.sort_by_key(|path| path.id);
    assert_eq!(outcomes(&paths), [Outcome::Refused, Outcome::Delivered]);
    assert_eq!([paths[0].hops.len(), paths[1].hops.len()], [6, 6]);
    assert_eq!(paths[1].about, Some(1));
}

#[test]
fn redirect_does_not_refuse() {
    let redirect = IcmpError {
        kind: 5,
        code: 1,
        value: 0x0af4_0107,
        ..TOO_BIG
    };
    let datagram = packet("192.0.2.1");
    let taps = [&TO_CNI0[..], &[(CNI0, Egress)]].concat();
    let paths = answered(
        &datagram,
        &taps,
        error("10.244.1.1", redirect, &datagram),
        &TO_POD1[1..],
    );
    assert_eq!(paths[0].outcome, Outcome::NotSeenFurther);
    let refusal = paths[0].refusal.as_deref().unwrap();
    assert_eq!(refusal.reason, Reason::Icmp(redirect));
}
