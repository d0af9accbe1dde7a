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

/// Sends the segments, which are lost before these taps; the paths, and how many taps each has passed.
fn lost_before(length: u32, taps: &[usize]) -> Vec<Path> {
    let mut builder = Builder::new(TIMEOUT_NS);
    let count = taps.len() as u32;
    for tap in 0..2 {
        push(&mut builder, 1, tap, [0, length], count);
    }
    for tap in 2..5 {
        for (number, lost) in (0..).zip(taps) {
            let bytes = [number * SIZE, length.min((number + 1) * SIZE)];
            if *lost > tap {
                push(
                    &mut builder,
                    100 * tap as u64 + u64::from(number),
                    tap,
                    bytes,
                    1,
                );
            }
        }
    }
    builder.expire(1_000_000_000);
    finished(&mut builder)
}

#[test]
fn segments_lost_at_several_places_are_told_of_at_each() {
    let mut paths = lost_before(500, &[4, 3, 4, 2, 2]);
    paths.sort_by_key(|path| path.id);
    let told = paths.iter().map(|path| {
        let segments = path.part_of.map(|of| of.segments);
        (
            path.outcome,
            path.hops.len(),
            path.packet.payload(),
            segments,
        )
    });
    let lost = Outcome::NotSeenFurther;
    let part = |count| Some(Some((count, 5)));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (Outcome::NoSocket, 4, 500, None),
            (lost, 3, 100, part(1)),
            (lost, 2, 200, part(2)),
        ]
    );
    let seen = paths[0].segments.iter().map(|seen| seen.bytes);
    assert_eq!(seen.collect::<Vec<_>>(), [500, 500, 300, 200]);
}

proptest! {
    /// Whatever is lost where, each byte is told of at the last tap that has seen it, once.
    #[test]
    fn each_byte_is_lost_where_it_was_seen_last(
        last in 1..=SIZE,
        taps in prop::collection::vec(2usize..=5, 2..12),
    ) {
        let length = (taps.len() as u32 - 1) * SIZE + last;
        let paths = lost_before(length, &taps);
        let furthest = taps.iter().max().copied();
        let mut rests = 0;
        for (number, passed) in (0..).zip(taps) {
            let byte = BASE.wrapping_add(number * SIZE);
            let has_it = |path: &&Path| match path.packet.transport {
                Transport::Tcp { sequence, payload, .. } => byte.wrapping_sub(sequence) < payload,
                _ => false,
            };
            let (parts, whole): (Vec<_>, Vec<_>) =
                paths.iter().filter(has_it).partition(|path| path.part_of.is_some());
            prop_assert_eq!((parts.len(), whole.len()), (usize::from(Some(passed) != furthest), 1));
            let path = parts.first().unwrap_or(&whole[0]);
            prop_assert_eq!(path.hops.len(), passed);
            let outcome = match passed {
                5 => Outcome::Delivered,
                4 => Outcome::NoSocket,
                _ => Outcome::NotSeenFurther,
            };
            prop_assert_eq!(path.outcome, outcome);
            rests += parts.len();
        }
        let lost: u32 = paths.iter().filter(|path| path.part_of.is_some())
            .map(|path| path.packet.payload()).sum();
        let whole = paths.iter().find(|path| path.part_of.is_none()).unwrap();
        let came = whole.segments.last().map_or(length, |seen| seen.bytes);
        prop_assert_eq!(came + lost, length);
        prop_assert!(rests <= 11);
    }
}
