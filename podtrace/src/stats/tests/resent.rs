//! Segments that are sent again.
use super::*;
use crate::path::PartOf;

fn tcp(sequence: u32, payload: u32, flags: u8) -> Path {
    let mut path = path(1);
    path.transport(Transport::Tcp {
        source: 40_000,
        destination: 80,
        sequence,
        acknowledgment: 7,
        flags,
        payload,
    });
    path
}

#[test]
fn segments_sent_again_are_counted() {
    use crate::packet::{TCP_FIN as FIN, TCP_SYN as SYN};

    const PSH: u8 = 0x08;
    const ACK: u8 = 0x10;
    let start = u32::MAX - 150;
    for (segments, expected) in [
        (&[(start, 100, 0), (start + 100, 100, 0)][..], 0),
        (
            &[(start, 100, 0), (start + 100, 100, 0), (start, 100, 0)],
            1,
        ),
        // A segment without payload, and one whose payload is partly new.
        (
            &[(start, 100, 0), (start + 100, 0, 0), (start + 50, 100, 0)],
            0,
        ),
        // Another connection with the same ports.
        (&[(start, 100, 0), (5, 0, SYN), (6, 10, 0), (6, 10, 0)], 1),
        // SYN and FIN count as a byte each.
        (&[(5, 0, SYN), (5, 0, SYN), (5, 0, SYN), (6, 10, ACK)], 2),
        (&[(5, 0, SYN | ACK), (5, 0, SYN | ACK), (900, 0, SYN)], 1),
        (&[(5, 9, ACK), (14, 0, FIN | ACK), (14, 0, FIN | ACK)], 1),
        (&[(5, 9, FIN | ACK), (5, 9, FIN | ACK), (14, 0, FIN)], 2),
        (&[(5, 9, ACK), (5, 9, FIN | ACK)], 0),
        // Keep-alives, with the last byte and without, and a last byte sent again.
        (
            &[(5, 5, PSH | ACK), (9, 1, ACK), (9, 1, ACK), (9, 0, ACK)],
            0,
        ),
        (&[(9, 1, PSH | ACK), (9, 1, PSH | ACK)], 1),
        (&[(5, 5, ACK), (6, 1, ACK)], 1),
    ] {
        let paths: Vec<_> = segments
            .iter()
            .map(|(sequence, payload, flags)| tcp(*sequence, *payload, *flags))
            .collect();
        assert_eq!(of(&paths, 1).total.retransmitted, expected, "{segments:?}");
    }
}

/// Neither the remaining segments of a packet nor a slow packet are retransmissions.
#[test]
fn segment_that_is_shown_again_was_not_sent_again() {
    let sent = || tcp(5, 100, 0);
    let mut rest = tcp(55, 50, 0);
    rest.part_of = Some(PartOf {
        packet: 1,
        segments: None,
    });
    let mut late = sent();
    late.late_of = Some(LateOf::of(&sent()));
    for (again, expected) in [(rest, 0), (late, 0), (sent(), 1)] {
        let total = of(&[sent(), again], 1).total;
        assert_eq!(total.retransmitted, expected);
    }
}
