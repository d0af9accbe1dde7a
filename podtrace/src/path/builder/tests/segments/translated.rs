//! Paths continue through segmentation and address translation together.
use super::*;

/// The pod's interface does not segment: its veth does, and the node translates each segment
/// before the next one comes.
#[test]
fn segments_that_are_translated_one_by_one_are_one_path() {
    let mut builder = Builder::new(TIMEOUT_NS);
    let first = SERVICE.send(&mut builder, 1, &syn());
    let id = SERVICE.push(&mut builder, 100, 0, &segment(0, 5000));
    assert_ne!(first, id);
    for (number, from) in (0..5000).step_by(1000).enumerate() {
        for tap in 1..7 {
            let ts_ns = 101 + 10 * number as u64 + tap as u64;
            let packet = segment(from, from + 1000);
            assert_eq!(SERVICE.push(&mut builder, ts_ns, tap, &packet), id);
        }
    }
    let path = finished(&mut builder).pop().unwrap();
    assert_eq!((path.id, path.outcome), (id, Outcome::Delivered));
    let packets: Vec<_> = path.segments.iter().map(|seen| seen.packets).collect();
    assert_eq!(packets, [1, 5, 5, 5, 5, 5, 5]);
    assert!(path.segments.iter().all(|seen| seen.bytes == 5000));
    let translation = Translation {
        hop: 3,
        before: to_service(),
        after: to_backend(),
    };
    assert_eq!(path.translations, [translation]);
}

/// The wire's segments are merged by the node, which translates the answer back.
#[test]
fn packets_that_are_merged_and_then_translated_are_their_paths() {
    let mut builder = Builder::new(TIMEOUT_NS);
    SERVICE.send(&mut builder, 1, &syn());
    let mut ids = Vec::new();
    for (number, from) in [0, 1000, 2000].into_iter().enumerate() {
        let at = |tap: u64| 100 + 10 * number as u64 + tap;
        let packet = segment(from, from + 1000);
        ids.push(SERVICE.push(&mut builder, at(0), 0, &packet));
        for tap in 1..3 {
            let id = SERVICE.push(&mut builder, at(tap as u64), tap, &packet);
            assert_eq!(Some(&id), ids.last());
        }
    }
    finished(&mut builder);
    for tap in 3..7 {
        let merged = segment(0, 3000);
        assert_eq!(SERVICE.push(&mut builder, 200, tap, &merged), ids[0]);
    }
    let paths = finished(&mut builder);
    assert_eq!(paths.iter().map(|path| path.id).collect::<Vec<_>>(), ids);
    for path in paths {
        assert_eq!((path.hops.len(), path.outcome), (7, Outcome::Delivered));
        assert_eq!(path.translations.len(), 1);
    }
}

/// A segment behind an unknown translation belongs to no packet before it.
#[test]
fn segments_do_not_join_through_a_translation_that_nobody_knows() {
    let mut builder = Builder::new(TIMEOUT_NS);
    let id = SERVICE.push(&mut builder, 100, 0, &segment(0, 5000));
    for tap in 1..4 {
        let piece = SERVICE.push(&mut builder, 101, tap, &segment(0, 1000));
        assert_eq!(piece == id, tap < 3);
    }
}

/// From the node, for the client.
fn masqueraded() -> Ends {
    ends("10.244.1.1", "10.244.1.3", (50_000, 80))
}

/// To a Service, where the node translates the source at another hop than the destination.
const IN_TWO_STEPS: Road = Road {
    taps: SERVICE.taps,
    ends: |tap| match tap {
        0..3 => to_service(),
        3 => to_backend(),
        _ => masqueraded(),
    },
};
/// The answers, which are translated back at one hop.
const BACK: Road = Road {
    taps: &[
        (POD2, Egress),
        (VETH2, Ingress),
        (CNI0, Ingress),
        (CNI0, Egress),
        (VETH1, Egress),
        (POD1, Ingress),
        (POD1, Socket),
    ],
    ends: |tap| {
        let there = if tap < 3 { masqueraded() } else { to_service() };
        there.reversed()
    },
};

/// A packet that is cut behind its first tap, each segment at all taps before the next comes.
fn in_segments(road: Road, builder: &mut Builder, from_ns: u64) -> Path {
    let id = road.push(builder, from_ns, 0, &segment(0, 5000));
    for (number, from) in (0..5000).step_by(1000).enumerate() {
        for tap in 1..road.taps.len() {
            let ts_ns = from_ns + 1 + 10 * number as u64 + tap as u64;
            let packet = segment(from, from + 1000);
            assert_eq!(road.push(builder, ts_ns, tap, &packet), id, "{tap}");
        }
    }
    builder.expire(from_ns + SETTLE_NS + 100);
    let mut paths = finished(builder).into_iter();
    paths.find(|path| path.id == id).unwrap()
}

/// Only single packets of the requests have shown the translation, step by step.
#[test]
fn segments_join_through_a_translation_in_two_steps_and_back() {
    let mut builder = Builder::new(TIMEOUT_NS);
    IN_TWO_STEPS.send(&mut builder, 1, &syn());
    let mut from_ns = 1_000;
    let mut firsts = Vec::new();
    for (road, translations) in [(BACK, 1), (IN_TWO_STEPS, 2), (BACK, 1), (IN_TWO_STEPS, 2)] {
        let path = in_segments(road, &mut builder, from_ns);
        // The second time, all is sent again.
        let first = firsts.len().checked_sub(2).map(|first| firsts[first]);
        assert_eq!(path.copy_of, first);
        firsts.push(path.id);
        assert_eq!(path.outcome, Outcome::Delivered);
        assert_eq!(
            (path.hops.len(), path.translations.len()),
            (7, translations)
        );
        assert!(path.segments.iter().all(|seen| seen.bytes == 5000));
        from_ns += 100_000_000;
        // What else the client sends.
        IN_TWO_STEPS.send(&mut builder, from_ns - 1_000, &segment(90_000, 90_010));
    }
}
