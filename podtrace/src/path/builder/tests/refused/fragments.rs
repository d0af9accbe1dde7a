//! Answers to packets that were sent in fragments.
use super::*;
use crate::{packet::Fragment, world::fixture::leave_sockets};

/// A datagram, whole.
fn whole() -> Packet {
    let mut packet = packet("10.244.1.3");
    packet.length = 3020;
    if let Network::Ip(ip) = &mut packet.network {
        ip.id = 9;
    }
    packet
}

fn fragment(offset: u16) -> Packet {
    let mut packet = whole();
    if offset > 0 {
        packet.transport = Transport::Fragment;
        packet.payload_hash = 0;
    }
    packet.length = 1020;
    if let Network::Ip(ip) = &mut packet.network {
        ip.fragment = Some(Fragment {
            id: 9,
            offset,
            more: offset < 2000,
        });
    }
    packet
}

/// Sends fragments in this order, one in a microsecond.
fn send(builder: &mut Builder, world: &World, offsets: &[u16], taps: &[(u32, Direction)]) {
    for (number, offset) in (1..).zip(offsets) {
        push(builder, world, &fragment(*offset), 1000 * number, taps);
    }
}

/// The fragments in this order, and the answer that quotes the datagram as it was put together.
fn refused(offsets: [u16; 3], taps: &[(u32, Direction)], back: &[(u32, Direction)]) -> Vec<Path> {
    let (mut world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    leave_sockets(&mut world);
    send(&mut builder, &world, &offsets, taps);
    let mut ended = finished(&mut builder);
    let answer = error("10.244.1.3", NO_PORT, &whole());
    push(&mut builder, &world, &answer, 5000, back);
    ended
        .iter_mut()
        .for_each(|path| builder.amend(path, &world));
    builder.expire(SECOND);
    ended.extend(finished(&mut builder));
    ended
}

#[test]
fn answer_to_the_whole_refuses_all_fragments() {
    for offsets in [[0, 1000, 2000], [1000, 0, 2000], [2000, 1000, 0]] {
        for (taps, back, outcome) in [
            (&THROUGH[..], &BACK[..], Outcome::Delivered),
            (&TO_CNI0[..], &TO_POD1[..], Outcome::Refused),
        ] {
            let paths = refused(offsets, taps, back);
            let (fragments, answers): (Vec<_>, Vec<_>) =
                paths.iter().partition(|path| path.packet.is_fragment());
            assert_eq!(fragments.len(), 3);
            for path in fragments {
                let reason = path.refusal.as_deref().map(|refusal| refusal.reason);
                assert_eq!(reason, Some(Reason::Icmp(NO_PORT)), "{offsets:?}");
                assert_eq!(path.outcome, outcome);
            }
            assert!(answers.iter().all(|path| path.about.is_some()));
        }
    }
}

#[test]
fn answer_to_another_datagram_refuses_none() {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    send(&mut builder, &world, &[0, 1000], &TO_CNI0);
    let mut other = whole();
    if let Network::Ip(ip) = &mut other.network {
        ip.id = 10;
    }
    push(
        &mut builder,
        &world,
        error("10.244.1.3", NO_PORT, &other),
        5000,
        &TO_POD1,
    );
    builder.expire(SECOND);
    assert!(
        finished(&mut builder)
            .iter()
            .all(|path| path.refusal.is_none())
    );
}

/// Nobody answers an address, and the node says so once its question is over: of the first
/// fragment alone, which has a new number since, for one reason or another.
#[test]
fn answer_to_a_late_first_fragment_refuses_the_others() {
    for goes_on in [
        [false; 3],
        [true, false, false],
        [false, true, true],
        [true; 3],
    ] {
        let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
        let offsets = [0, 1000, 2000];
        send(&mut builder, &world, &offsets, &TO_CNI0);
        builder.expire(SECOND);
        let lost = finished(&mut builder);
        assert_eq!(outcomes(&lost), [Outcome::NotSeenFurther; 3]);
        for (offset, _) in offsets
            .into_iter()
            .zip(goes_on)
            .filter(|(_, goes_on)| *goes_on)
        {
            let from_ns = 2 * SECOND + u64::from(offset);
            push(
                &mut builder,
                &world,
                &fragment(offset),
                from_ns,
                &[(CNI0, Egress)],
            );
        }
        let unreachable = IcmpError { code: 1, ..NO_PORT };
        let answer = error("10.244.1.1", unreachable, &fragment(0));
        push(&mut builder, &world, answer, 2 * SECOND + 5000, &TO_POD1);
        builder.expire(4 * SECOND);
        let again: Vec<_> = finished(&mut builder)
            .into_iter()
            .filter(|path| path.packet.is_fragment())
            .collect();
        assert_eq!(outcomes(&again), [Outcome::Refused; 3], "{goes_on:?}");
        let mut before: Vec<_> = again
            .iter()
            .filter_map(|path| Some(path.late_of?.id))
            .collect();
        before.sort_unstable();
        assert_eq!(before, [1, 2, 3]);
    }
}

/// A pod that the datagram did not go to refuses nothing, though its answer is translated to one
/// about it.
#[test]
fn translated_answer_of_another_pod_refuses_none() {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    push(&mut builder, &world, &fragment(0), 1000, &TO_CNI0);
    push(&mut builder, &world, &fragment(1000), 2000, &TO_CNI0);
    let other = with_ends(&whole(), ends("10.244.1.2", "10.244.1.9", (5000, 5353)));
    let inner = error("10.244.1.9", NO_PORT, &other);
    push(&mut builder, &world, inner, 3000, &BACK[..2]);
    let outer = error("10.244.1.3", NO_PORT, &whole());
    push(&mut builder, &world, outer, 4000, &TO_POD1);
    builder.expire(SECOND);
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 3);
    for path in paths {
        assert!(path.refusal.is_none() && path.about.is_none());
    }
}
