//! Round trips of echo requests.
use super::*;

/// An echo request of the first pod to the second, or its reply.
fn echo(reply: bool) -> Packet {
    let mut packet = packet("10.244.1.3");
    packet.transport = Transport::Echo {
        reply,
        id: 1,
        sequence: 1,
    };
    if let (true, Network::Ip(ip)) = (reply, &mut packet.network) {
        std::mem::swap(&mut ip.source, &mut ip.destination);
    }
    if let (true, Some(link)) = (reply, &mut packet.link) {
        link.destination = mac_of(NETNS1);
    }
    packet
}

/// The path of the reply that was seen at so many of its taps.
fn reply_seen_at(taps: usize) -> Path {
    let world = world();
    let mut builder = Builder::new(TIMEOUT_NS);
    for (ts_ns, interface, direction) in &TO_POD2[..4] {
        builder.push(&event(*ts_ns, *interface, *direction, &echo(false)), &world);
    }
    let back = [
        (11_000, POD2, Egress),
        (12_000, VETH2, Ingress),
        (13_000, VETH1, Egress),
        (14_000, POD1, Ingress),
    ];
    for (ts_ns, interface, direction) in &back[..taps] {
        builder.push(&event(*ts_ns, *interface, *direction, &echo(true)), &world);
    }
    builder.expire(TIMEOUT_NS + 20_000);
    let paths = finished(&mut builder);
    let mut paths = paths.into_iter();
    paths.find(|path| path.packet == echo(true)).unwrap()
}

#[test]
fn reply_that_does_not_get_back_has_no_round_trip() {
    for taps in 1..=3 {
        let reply = reply_seen_at(taps);
        assert_eq!(reply.outcome, Outcome::NotSeenFurther);
        let trip = reply.round_trip.as_ref().unwrap();
        assert_eq!((trip.at.len(), trip.is_whole), (taps, false));
        assert_eq!(reply.measured_trip(), None, "seen at {taps}");
    }
    let trip = reply_seen_at(4).measured_trip().map(RoundTrip::total_ns);
    assert_eq!(trip, Some(13_000));
}

/// A bridge sends the frame to all its ports, also to the one behind which the asker is.
#[test]
fn copy_for_somebody_else_is_no_reply() {
    let mut requests = Requests::default();
    requests.record(&event(1000, POD1, Egress, &echo(false)));
    let (flow, _) = echo(true).echo_pair().unwrap();
    let mut back = Hop::of(&event(9000, POD1, Ingress, &echo(true)));
    let trip = |hop: &Hop| requests.round_trip(&flow, std::slice::from_ref(hop));
    assert_eq!(trip(&back).map(|trip| trip.total_ns()), Some(8000));
    back.aside = true;
    assert_eq!(trip(&back), None);
}
