//! Slow is not lost.
use super::*;
use crate::path::LateOf;

const SECOND: u64 = 1_000_000_000;

/// As when the answer to an ARP request takes 2 s.
fn slow(wait_ns: u64) -> Vec<Path> {
    let mut builder = stitch("10.244.1.3", &TO_POD2[..2]);
    builder.expire(wait_ns);
    let (world, packet) = (world(), packet("10.244.1.3"));
    for (ts_ns, interface, direction) in &TO_POD2[2..] {
        let event = event(wait_ns + ts_ns, *interface, *direction, &packet);
        builder.push(&event, &world);
    }
    builder.expire(wait_ns + 20 * SECOND);
    assert!(!builder.is_waiting());
    finished(&mut builder)
}

#[test]
fn packet_that_is_seen_again_is_one_path_that_corrects_the_first() {
    let paths = slow(2 * SECOND);
    let [lost, again] = &paths[..] else {
        panic!("{} paths", paths.len());
    };
    assert_eq!(
        (lost.outcome, lost.hops.len()),
        (Outcome::NotSeenFurther, 2)
    );
    assert_eq!((again.outcome, again.hops.len()), (Outcome::Delivered, 5));
    let before = LateOf {
        id: lost.id,
        hops: 2,
    };
    assert_eq!(again.late_of, Some(before));
    assert!(again.id > lost.id && !again.ambiguous);
    assert_eq!(again.lateness_ns(), Some(2 * SECOND + 1000));
}

#[test]
fn packet_that_is_seen_long_after_is_another() {
    let paths = slow(11 * SECOND);
    assert!(paths.iter().all(|path| path.late_of.is_none()));
    assert_eq!(paths[1].hops.len(), 3);
}

/// Sent again after a loss, the same bytes are a packet of their own.
#[test]
fn equal_packet_is_not_taken_for_a_late_one() {
    let mut builder = stitch("10.244.1.3", &TO_POD2[..2]);
    builder.expire(SECOND);
    let (world, packet) = (world(), packet("10.244.1.3"));
    for (ts_ns, interface, direction) in TO_POD2 {
        let event = event(SECOND + ts_ns, interface, direction, &packet);
        builder.push(&event, &world);
    }
    let paths = finished(&mut builder);
    assert_eq!(paths[1].hops.len(), 5);
    assert_eq!((paths[1].late_of, paths[1].ambiguous), (None, false));
}
