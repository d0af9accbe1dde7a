use super::*;
use crate::packet::Packet;

fn keeping() -> Undecided {
    Undecided {
        keeps_events: true,
        ..Undecided::default()
    }
}

fn event(ts_ns: u64) -> Event {
    Event {
        ts_ns,
        interface: 0,
        direction: Direction::Ingress,
        wire_len: 0,
        gso_segments: 0,
        cgroup: 0,
        packet: Packet::unread(),
        payload: None,
        vlan_tci: None,
        matches: true,
        captured: Bytes::from(vec![0; 100]),
        link: 1,
        number: 0,
    }
}

fn next(undecided: &mut Undecided, now_ns: u64) -> Vec<(u64, u64, bool)> {
    std::iter::from_fn(|| undecided.next(now_ns))
        .map(|next| (next.counted.ts_ns, next.packet, next.is_shown))
        .collect()
}

#[test]
fn events_wait_in_order_until_their_packets_are_known() {
    let mut undecided = keeping();
    undecided.push(&event(1), 7, &[], false);
    undecided.push(&event(2), 8, &[], true);
    assert!(next(&mut undecided, 3).is_empty());
    // The later hop of the first packet matches, and so do its events before and after.
    undecided.push(&event(4), 7, &[], true);
    undecided.push(&event(5), 7, &[], false);
    let all = [(1, 7, true), (2, 8, true), (4, 7, true), (5, 7, true)];
    assert_eq!(next(&mut undecided, 5), all);
    undecided.push(&event(6), 7, &[], false);
    undecided.push(&event(7), 9, &[], false);
    undecided.decide(9, false);
    assert!(next(&mut undecided, 8).is_empty());
    undecided.decide(7, true);
    assert_eq!(next(&mut undecided, 8), [(6, 7, true), (7, 9, false)]);
    assert!(undecided.packets.is_empty() && undecided.bytes == 0);
    undecided.push(&event(9), 10, &[], false);
    assert!(next(&mut undecided, 9 + WAIT_NS - 1).is_empty());
    assert_eq!(next(&mut undecided, 9 + WAIT_NS), [(9, 10, true)]);
}

/// One that belongs to several packets is shown as the first of them that is, and refused if
/// all are.
#[test]
fn event_of_several_packets_is_shown_if_one_of_them_is() {
    for (verdicts, expected) in [
        ([false, true, false], (1, 8, true)),
        ([true, true, false], (1, 7, true)),
        ([false, false, false], (1, 7, false)),
    ] {
        let mut undecided = keeping();
        undecided.push(&event(1), 7, &[8, 9], false);
        for (packet, is_shown) in [9, 8, 7].into_iter().zip(verdicts.into_iter().rev()) {
            assert!(next(&mut undecided, 2).is_empty());
            undecided.decide(packet, is_shown);
        }
        assert_eq!(next(&mut undecided, 2), [expected]);
        assert!(undecided.packets.is_empty());
        assert_eq!((undecided.bytes, undecided.free_bytes), (0, 0));
    }
    let mut undecided = keeping();
    undecided.push(&event(1), 7, &[8], true);
    undecided.push(&event(2), 8, &[], false);
    assert_eq!(next(&mut undecided, 2), [(1, 7, true), (2, 8, true)]);
}

#[test]
fn refused_events_make_room_for_those_that_wait() {
    let mut undecided = keeping();
    undecided.push(&event(1), 7, &[], false);
    let (mut shown, mut refused) = (0, 0);
    for packet in 8..100_000 {
        undecided.push(&event(2), packet, &[], false);
        undecided.decide(packet, packet % 100 == 0);
        for (.., is_shown) in next(&mut undecided, 3) {
            shown += u64::from(is_shown);
            refused += u64::from(!is_shown);
        }
        assert!(undecided.bytes <= CHOSEN_BYTES);
    }
    // The first packet is still not known, and holds up what is shown.
    assert!(shown == 0 && refused > 80_000, "{shown} {refused}");
    undecided.decide(7, true);
    let rest = next(&mut undecided, 3);
    assert_eq!(rest[0], (1, 7, true));
    assert_eq!(rest.iter().filter(|(.., is_shown)| *is_shown).count(), 1000);
    assert!(undecided.packets.is_empty());
    assert_eq!((undecided.bytes, undecided.free_bytes), (0, 0));
}

/// One packet that is still not known does not hold up those that are only counted.
#[test]
fn counted_events_make_room_for_those_that_wait() {
    let mut undecided = Undecided::default();
    undecided.push(&event(1), 7, &[], false);
    for packet in 8..100_000 {
        undecided.push(&event(2), packet, &[], false);
        undecided.decide(packet, packet % 2 == 0);
        let all = next(&mut undecided, 3);
        assert!(all.iter().all(|(ts_ns, ..)| *ts_ns == 2));
        assert!(undecided.bytes <= CHOSEN_BYTES);
    }
    undecided.decide(7, false);
    assert!(next(&mut undecided, 3).contains(&(1, 7, false)));
    assert_eq!((undecided.bytes, undecided.free_bytes), (0, 0));
}

#[test]
fn waiting_events_are_bounded_in_bytes() {
    let mut undecided = keeping();
    let mut shown = 0;
    for packet in 0..100_000 {
        undecided.push(&event(0), packet, &[], false);
        shown += next(&mut undecided, 0).len();
        assert!(undecided.bytes <= CHOSEN_BYTES);
    }
    assert!(shown > 0);
}

/// Events of a packet that may be corrected are refused if it is not, and go first if there is no
/// room.
#[test]
fn events_wait_for_a_correction() {
    let mut undecided = keeping();
    undecided.push(&event(1), 7, &[], false);
    undecided.push(&event(2), 8, &[], false);
    undecided.await_correction(7);
    undecided.await_correction(8);
    assert!(next(&mut undecided, 3).is_empty());
    undecided.push(&event(4), 9, &[], false);
    for corrected in [7, 9] {
        undecided.decide(corrected, true);
    }
    assert_eq!(next(&mut undecided, 5), [(1, 7, true)]);
    let later = next(&mut undecided, 2 + WAIT_NS);
    assert_eq!(later, [(2, 8, false), (4, 9, true)]);
    assert!(undecided.packets.is_empty() && undecided.bytes == 0);
}
