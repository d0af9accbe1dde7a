//! Packets that were too big, and are sent again in smaller segments.
use super::*;
use crate::model::{drop::KernelDrop, origin::Origin};

const LENGTH: u32 = 7240;
/// The segments of the first packet, and of the one that is sent again.
const SEGMENTS: [u16; 2] = [5, 6];
const SIZE: u32 = 1398;

/// What differs between a packet and the one that is sent again.
struct Resent {
    /// Identifications of both.
    ids: [u32; 2],
    /// Whether the number of their segments is known.
    is_counted: bool,
    is_dropped: bool,
    /// A tap that the second alone has passed.
    further: Option<(u32, Direction)>,
}

fn at(
    builder: &mut Builder,
    ts_ns: u64,
    tap: (u32, Direction),
    packet: (Packet, u32),
    segments: u16,
) -> u64 {
    let (mut packet, id) = packet;
    if let Network::Ip(ip) = &mut packet.network {
        ip.id = id;
    }
    let event = Event {
        gso_segments: segments,
        ..event(ts_ns, tap.0, tap.1, &packet)
    };
    builder.push(&event, &world())
}

/// How many bytes of each are seen behind the first taps.
fn seen_behind(resent: &Resent) -> [u32; 2] {
    let mut builder = Builder::new(TIMEOUT_NS);
    let whole = segment(0, LENGTH);
    for (number, (id, segments)) in (0..).zip(resent.ids.into_iter().zip(SEGMENTS)) {
        let segments = if resent.is_counted { segments } else { 0 };
        let further = resent.further.filter(|_| number == 1);
        for (tap, ts_ns) in DIRECT.taps[..2].iter().chain(&further).zip(1..) {
            let packet = (whole.clone(), id);
            at(&mut builder, 100 * number + ts_ns, *tap, packet, segments);
        }
        if number == 0 && resent.is_dropped {
            let drop = KernelDrop {
                ts_ns: 10,
                reason: Some("PKT_TOO_BIG".into()),
                ..KernelDrop::default()
            };
            builder.drop_packet(&Origin::default(), &drop, &whole);
            builder.join_drops(50, &world());
        }
    }
    let starts = (0..LENGTH).step_by(SIZE as usize);
    for (number, from) in (0..).zip(starts) {
        let packet = segment(from, LENGTH.min(from + SIZE));
        let id = resent.ids[1] + if resent.is_counted { number } else { 0 };
        for (tap, ts_ns) in DIRECT.taps[2..].iter().zip(1..) {
            let ts_ns = 200 + 10 * u64::from(number) + ts_ns;
            at(&mut builder, ts_ns, *tap, (packet.clone(), id), 0);
        }
    }
    builder.expire(1_000_000_000);
    let mut paths = finished(&mut builder);
    paths.retain(|path| path.part_of.is_none());
    paths.sort_by_key(|path| path.id);
    let [first, second] = &paths[..] else {
        panic!("{paths:?}");
    };
    [first, second].map(|path| bytes_at(path, 2))
}

#[test]
fn segments_are_of_the_packet_that_was_sent_again() {
    let nothing = Resent {
        ids: [0, 0],
        is_counted: false,
        is_dropped: false,
        further: None,
    };
    for resent in [
        // The identifications tell, also that of the last segment, which is short.
        Resent {
            ids: [1, 11],
            is_counted: true,
            ..nothing
        },
        // The first came no further.
        Resent {
            ids: [1, 2],
            further: Some((CNI0, Ingress)),
            ..nothing
        },
        Resent {
            is_dropped: true,
            ..nothing
        },
    ] {
        assert_eq!(seen_behind(&resent), [0, LENGTH]);
    }
    // Nothing tells them apart.
    assert_eq!(seen_behind(&nothing), [LENGTH, 0]);
}
