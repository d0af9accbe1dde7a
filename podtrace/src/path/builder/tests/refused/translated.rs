//! Answers to packets whose ends were translated.
use super::{super::syn, *};
use crate::world::fixture::leave_sockets;

const NODE_ADDRESS: &str = "192.168.77.11";
const OUTSIDE: &str = "203.0.113.50";

/// How the path ends of a packet of the first pod that leaves the node with the node's address,
/// and that an outside host refuses.
fn refused_outside(packet: &Packet, answer: impl Fn(&Packet) -> Message) -> Path {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    let ports = packet.ends().and_then(|ends| ends.ports).unwrap();
    let masqueraded = with_ends(packet, ends(NODE_ADDRESS, OUTSIDE, ports));
    push(&mut builder, &world, packet, 1000, &TO_CNI0);
    push(
        &mut builder,
        &world,
        &masqueraded,
        2000,
        &[(UPLINK, Egress)],
    );
    let mut path = builder.take_only_finished().unwrap();
    assert_eq!(path.outcome, Outcome::LeftNode);
    let come_in = answer(&masqueraded);
    push(&mut builder, &world, come_in, 3000, &[(UPLINK, Ingress)]);
    push(&mut builder, &world, answer(packet), 4000, &TO_POD1);
    builder.amend(&mut path, &world);
    builder.expire(SECOND);
    let answers = finished(&mut builder);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].about, Some(path.id));
    *path
}

/// The node only translates the answer.
#[test]
fn outside_host_refuses_what_was_masqueraded() {
    let datagram = packet(OUTSIDE);
    let reset = |syn: &Packet| {
        let mut reset = to_pod1(with_ends(syn, syn.ends().unwrap().reversed()));
        reset.transport = match syn.transport {
            Transport::Tcp { source, .. } => tcp((80, source), 0, 78, 0x14),
            _ => Transport::Other,
        };
        Message::from(&reset)
    };
    let unreachable = |datagram: &Packet| error(OUTSIDE, NO_PORT, datagram);
    for refused in [
        refused_outside(&syn(OUTSIDE), reset),
        refused_outside(&datagram, unreachable),
    ] {
        assert_eq!(refused.outcome, Outcome::Refused);
        let refusal = refused.refusal.as_deref().unwrap();
        assert_eq!(refusal.at, Some((UPLINK, Ingress)));
        assert_eq!(refusal.by.to_string(), OUTSIDE);
    }
}

/// It came in before it got the Service's address.
#[test]
fn refuser_is_who_sent_the_answer_before_its_translation() {
    let (mut world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    apply_snapshot(&mut world, &["10.244.2.2".parse().unwrap()]);
    let datagram = packet("10.96.0.10");
    push(&mut builder, &world, &datagram, 1000, &TO_CNI0);
    let backend = ends("10.244.1.2", "10.244.2.2", (5000, 5353));
    let translated = with_ends(&datagram, backend);
    push(&mut builder, &world, &translated, 2000, &[(UPLINK, Egress)]);
    let inner = error("10.244.2.2", NO_PORT, &translated);
    push(&mut builder, &world, inner, 3000, &[(UPLINK, Ingress)]);
    let outer = error("10.96.0.10", NO_PORT, &datagram);
    push(&mut builder, &world, outer, 4000, &TO_POD1);
    builder.expire(SECOND);
    let mut paths = finished(&mut builder);
    paths.sort_by_key(|path| path.id);
    assert_eq!(outcomes(&paths), [Outcome::Refused, Outcome::Delivered]);
    let refusal = paths[0].refusal.as_deref().unwrap();
    assert_eq!(refusal.at, Some((UPLINK, Ingress)));
    assert_eq!(refusal.by.to_string(), "10.244.2.2");
}

/// Where no sockets are watched its path has ended when the receiver refuses it, and the quote
/// has other ends than it began with.
#[test]
fn translated_datagram_that_is_refused_after_it_has_arrived_says_so() {
    let mut world = world();
    leave_sockets(&mut world);
    let mut builder = Builder::new(TIMEOUT_NS);
    let datagram = packet("10.96.0.10");
    let backend = ends("10.244.1.2", "10.244.1.3", (5000, 5353));
    let translated = with_ends(&datagram, backend);
    push(&mut builder, &world, &datagram, 1000, &TO_CNI0);
    push(
        &mut builder,
        &world,
        &translated,
        2000,
        &[(CNI0, Egress), (VETH2, Egress), (POD2, Ingress)],
    );
    let mut path = builder.take_only_finished().unwrap();
    assert_eq!(path.outcome, Outcome::Delivered);
    let inner = error("10.244.1.3", NO_PORT, &translated);
    push(&mut builder, &world, inner, 3000, &BACK[..2]);
    let outer = error("10.96.0.10", NO_PORT, &datagram);
    push(&mut builder, &world, outer, 4000, &TO_POD1);
    builder.amend(&mut path, &world);
    assert_eq!(path.outcome, Outcome::Delivered);
    let refusal = path.refusal.as_deref().unwrap();
    assert_eq!(refusal.at, Some((POD2, Egress)));
    assert_eq!(refusal.by.to_string(), "10.244.1.3");
}
