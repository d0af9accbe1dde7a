//! How many segments each tap has seen, in however many packets they came.
use super::*;

/// Bytes of each segment of the model but the last.
const SIZE: u32 = 100;

fn push(builder: &mut Builder, ts_ns: u64, tap: usize, bytes: [u32; 2], segments: u32) {
    let (interface, direction) = DIRECT.taps[tap];
    let packet = segment(bytes[0], bytes[1]);
    let mut event = event(ts_ns, interface, direction, &packet);
    // The kernel tells it of packets with several segments alone.
    event.gso_segments = if segments > 1 { segments as u16 } else { 0 };
    builder.push(&event, &world());
}

/// A packet of which one segment is lost; two of the others are merged.
#[test]
fn merged_segments_are_counted_and_not_their_packets() {
    let mut builder = Builder::new(TIMEOUT_NS);
    for tap in 0..2 {
        push(&mut builder, 1, tap, [0, 450], 5);
    }
    for tap in 2..5 {
        push(&mut builder, 2, tap, [0, 200], 2);
        push(&mut builder, 3, tap, [300, 400], 1);
        push(&mut builder, 4, tap, [400, 450], 1);
    }
    builder.expire(1_000_000_000);
    let paths = finished(&mut builder);
    let whole = paths.iter().find(|path| path.id == 1).unwrap();
    let at_tap = Segments {
        packets: 3,
        segments: Some(4),
        bytes: 350,
    };
    assert_eq!(whole.segments[2..], [at_tap; 3]);
    let lost = paths.iter().find(|path| path.part_of.is_some()).unwrap();
    assert_eq!(lost.part_of.unwrap().segments, Some((1, 5)));
}

proptest! {
    /// Segments are lost and merged at any taps: what a tap says of its segments is true, and it
    /// says it once a packet has shown how large they are.
    #[test]
    fn told_segments_are_those_that_came(
        last in 1..=SIZE,
        merged in prop::collection::vec(prop::collection::vec(1usize..6, 12), 3),
        lost in prop::collection::vec((2usize..5, 0u32..12), 0..6),
        count in 2u32..12,
    ) {
        let length = (count - 1) * SIZE + last;
        let mut builder = Builder::new(TIMEOUT_NS);
        for tap in 0..2 {
            push(&mut builder, 1, tap, [0, length], count);
        }
        let mut kept: Vec<_> = (0..count).collect();
        let mut came = vec![count, count];
        for (tap, merged) in (2..5).zip(merged) {
            kept.retain(|number| !lost.contains(&(tap, *number)));
            came.push(kept.len() as u32);
            // Those that follow each other come in packets of so many.
            let mut rest = &kept[..];
            for (ts_ns, most) in (100 * tap as u64..).zip(merged.into_iter().cycle()) {
                let Some(first) = rest.first() else {
                    break;
                };
                let in_order = rest.iter().zip(*first..).take_while(|(one, next)| *one == next);
                let together = in_order.count().min(most);
                let end = first + together as u32;
                let bytes = [first * SIZE, length.min(end * SIZE)];
                push(&mut builder, ts_ns, tap, bytes, together as u32);
                rest = &rest[together..];
            }
        }
        builder.expire(1_000_000_000);
        let paths = finished(&mut builder);
        for path in paths.iter().filter(|path| path.part_of.is_none()) {
            for (tap, came) in came.iter().enumerate() {
                let seen = path.segments.get(tap);
                let told = seen.and_then(|seen| seen.segments);
                prop_assert!(told.is_none_or(|told| told == *came), "{tap} {told:?} {came}");
            }
            // The first packet is of whole segments if it is not the last.
            if !lost.contains(&(2, 0)) && path.segments.len() > 2 && path.segments[2].packets > 1 {
                prop_assert_eq!(path.segments[2].segments, Some(came[2]));
            }
        }
    }
}
