//! Parts of a packet that leave their node while the first of them are at another one: a shaper
//! sends them one after the other.
use super::{
    fragments::{cut, large},
    merged::{THERE, two_nodes},
    segments::segment,
    *,
};

/// The taps that see the packet whole.
const WHOLE: usize = 3;

fn to_the_other_node(mut packet: Packet) -> Packet {
    if let Network::Ip(ip) = &mut packet.network {
        ip.destination = "10.244.2.2".parse().unwrap();
    }
    packet
}

/// Sends a packet whose parts leave one after the other, each when the last has arrived.
#[track_caller]
fn check(whole: &Packet, parts: &[Packet]) {
    let world = two_nodes();
    let mut builder = Builder::new(TIMEOUT_NS);
    let mut push = |ts_ns: u64, tap: usize, packet: &Packet| {
        let (interface, direction) = THERE[tap];
        let event = event(ts_ns, interface, direction, packet);
        builder.push(&event, &world)
    };
    let id = push(1, 0, whole);
    for tap in 1..WHOLE {
        assert_eq!(push(tap as u64 + 1, tap, whole), id);
    }
    for (number, part) in (1..).zip(parts) {
        for tap in WHOLE..THERE.len() {
            let ts_ns = number * 1000 + tap as u64;
            assert_eq!(push(ts_ns, tap, part), id, "part {number} at tap {tap}");
        }
    }
    builder.finish();
    let paths = finished(&mut builder);
    let [path] = &paths[..] else {
        panic!("{paths:?}");
    };
    assert_eq!((path.hops.len(), path.copy_of), (THERE.len(), None));
}

#[test]
fn segments_that_leave_while_the_first_have_arrived_are_of_their_packet() {
    let parts = [0, 1000, 2000, 3000].map(|from| to_the_other_node(segment(from, from + 1000)));
    check(&to_the_other_node(segment(0, 4000)), &parts);
}

#[test]
fn fragments_that_leave_while_the_first_have_arrived_are_of_their_packet() {
    let whole = to_the_other_node(large(3000));
    let ranges = [(0, 1448), (1448, 2896), (2896, 3000)];
    let parts = ranges.map(|(from, to)| cut(&whole, from, to));
    check(&whole, &parts);
}
