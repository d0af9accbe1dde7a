//! Bytes that are sent again once the path of the first has ended.
use super::*;
use crate::path::builder::join::ENDED_MAX;

const SECOND: u64 = 1_000_000_000;

/// The paths that have ended by number, each with the one that it is a copy of.
fn links(builder: &mut Builder) -> Vec<(u64, Option<u64>)> {
    let mut links: Vec<_> = finished(builder)
        .iter()
        .map(|path| (path.id, path.copy_of))
        .collect();
    links.sort_unstable();
    links
}

/// The answer to it was lost, or late.
#[test]
fn copy_of_what_has_arrived_is_linked() {
    for road in [DIRECT, SERVICE] {
        let mut builder = Builder::new(TIMEOUT_NS);
        let first = road.send(&mut builder, 1, &syn());
        road.send(&mut builder, 100, &segment(0, 5000));
        road.send(&mut builder, 200, &segment(5000, 6000));
        // A part of the first, one with bytes of both, a copy of the copy, and new bytes.
        for (from, to) in [(1000, 2000), (4000, 6000), (1000, 2000), (6000, 7000)] {
            road.send(&mut builder, SECOND + u64::from(to), &segment(from, to));
        }
        builder.expire(2 * SECOND);
        let [whole, next] = [first + 1, first + 2];
        let links = links(&mut builder);
        let copies: Vec<_> = links.iter().skip(3).map(|(_, of)| *of).collect();
        assert_eq!(copies, [Some(whole), Some(whole), Some(whole), None]);
        assert_eq!(links[1..3], [(whole, None), (next, None)]);
    }
}

/// Nor is one that comes so late that its number may be another's, or that begins elsewhere.
#[test]
fn other_bytes_are_no_copy() {
    for (after_ns, taps, is_linked) in [
        (100 * SECOND, 0..5, true),
        (121 * SECOND, 0..5, false),
        (SECOND, 1..5, false),
    ] {
        let mut builder = Builder::new(TIMEOUT_NS);
        DIRECT.send(&mut builder, 1, &segment(0, 1000));
        for tap in taps {
            push(&mut builder, after_ns, tap, 0, 1000);
        }
        let links = links(&mut builder);
        assert_eq!(links[1].1, is_linked.then_some(1));
    }
    // Of another connection.
    let mut builder = Builder::new(TIMEOUT_NS);
    DIRECT.send(&mut builder, 1, &segment(0, 1000));
    let other = |_| ends("10.244.1.2", "10.244.1.3", (40_001, 80));
    let road = Road {
        ends: other,
        ..DIRECT
    };
    road.send(&mut builder, 100, &segment(0, 1000));
    assert_eq!(links(&mut builder)[1], (2, None));
}

/// The sequence numbers end and begin again.
#[test]
fn newest_segments_are_remembered() {
    let mut builder = Builder::new(TIMEOUT_NS);
    let count = ENDED_MAX as u32 + 10;
    for number in 0..count {
        DIRECT.send(
            &mut builder,
            10 * u64::from(number),
            &segment(10 * number, 10 * number + 10),
        );
    }
    finished(&mut builder);
    for number in [9, 10, count - 1] {
        DIRECT.send(
            &mut builder,
            SECOND,
            &segment(10 * number, 10 * number + 10),
        );
    }
    let copies = links(&mut builder).into_iter().map(|(_, of)| of);
    // Each copy takes the place of the oldest.
    assert_eq!(copies.collect::<Vec<_>>(), [None, None, Some(count.into())]);
}

proptest! {
    /// A copy is linked to the first segment with one of its bytes, whatever ended meanwhile.
    #[test]
    fn copies_are_linked_to_the_first_with_their_bytes(
        sent in prop::collection::vec((0u32..40, 1u32..6), 1..40),
        is_service: bool,
        open in prop::collection::vec(any::<bool>(), 40),
    ) {
        let road = if is_service { SERVICE } else { DIRECT };
        let mut builder = Builder::new(TIMEOUT_NS);
        road.send(&mut builder, 1, &syn());
        let mut firsts = [None; 50];
        let mut expected = Vec::new();
        for (number, ((start, length), open)) in (0u64..).zip(sent.iter().zip(open)) {
            let ts_ns = 1000 + number * 100;
            let packet = segment(10 * start, 10 * (start + length));
            // Some are lost on the way.
            let id = road.push(&mut builder, ts_ns, 0, &packet);
            let taps = if open { 1 } else { road.taps.len() };
            for tap in 1..taps {
                road.push(&mut builder, ts_ns + tap as u64, tap, &packet);
            }
            let bytes = &mut firsts[*start as usize..(start + length) as usize];
            expected.push((id, bytes.iter().flatten().copied().min()));
            for first in bytes {
                *first = first.or(Some(id));
            }
        }
        builder.expire(20 * SECOND);
        builder.finish();
        let paths = finished(&mut builder);
        for (id, first) in expected {
            let path = paths.iter().find(|path| path.id == id).unwrap();
            prop_assert_eq!(path.copy_of, first, "{}", id);
        }
    }
}
