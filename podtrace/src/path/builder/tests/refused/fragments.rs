//! Answers to packets that were sent in fragments.
use super::*;
use crate::{packet::Fragment, world::fixture::leave_sockets};

/// A datagram, whole.
fn whole() -> Packet {
    let mut packet = packet("10.244.1.3");
    packet.length = 3000;
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
    packet.length = 1000 + u32::from(offset);
    if let Network::Ip(ip) = &mut packet.network {
        ip.fragment = Some(Fragment {
            id: 9,
            offset,
            more: offset < 2000,
        });
    }
    packet
}

/// The fragments in this order, and the answer that quotes the datagram as it was put together.
fn refused(offsets: [u16; 3], taps: &[(u32, Direction)], back: &[(u32, Direction)]) -> Vec<Path> {
    let (mut world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    leave_sockets(&mut world);
    for (number, offset) in (1..).zip(offsets) {
        push(&mut builder, &world, &fragment(offset), 1000 * number, taps);
    }
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
    for (number, offset) in [(1, 0), (2, 1000)] {
        push(
            &mut builder,
            &world,
            &fragment(offset),
            1000 * number,
            &TO_CNI0,
        );
    }
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
