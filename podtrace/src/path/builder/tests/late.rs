//! A slow packet is not lost.
use proptest::prelude::*;

use super::*;
use crate::path::{LateOf, builder::join::EQUAL_MAX, summary::Summary};

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// A packet that waits, as for an ARP reply that takes 2 s.
fn slow(wait_ns: u64) -> Vec<Path> {
    let mut builder = join_hops("10.244.1.3", &TO_POD2[..2]);
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
    assert_eq!(again.late_of, Some(LateOf::of(lost)));
    assert!(again.id > lost.id && !again.ambiguous);
    assert_eq!(again.lateness_ns(), Some(2 * SECOND + 1000));
}

#[test]
fn packet_that_is_seen_long_after_is_another() {
    let paths = slow(11 * SECOND);
    assert!(paths.iter().all(|path| path.late_of.is_none()));
    assert_eq!(paths[1].hops.len(), 3);
}

/// After a loss, a retransmission of the same bytes is a packet of its own.
#[test]
fn equal_packet_is_not_taken_for_a_late_one() {
    let mut builder = join_hops("10.244.1.3", &TO_POD2[..2]);
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

/// The sweep that ends paths comes only now and then.
#[test]
fn packet_that_goes_on_before_the_sweep_is_slow_too() {
    for (wait_ns, is_slow) in [(499 * MS, false), (501 * MS, true), (9 * SECOND, true)] {
        let mut builder = join_hops("10.244.1.3", &TO_POD2[..2]);
        add(&mut builder, wait_ns, &TO_POD2[2..]);
        builder.expire(wait_ns + 20 * SECOND);
        let paths = finished(&mut builder);
        let outcomes: Vec<_> = paths.iter().map(|path| path.outcome).collect();
        let expected = [Outcome::NotSeenFurther, Outcome::Delivered];
        assert_eq!(outcomes, expected[usize::from(!is_slow)..], "{wait_ns}");
        let last = paths.last().unwrap();
        assert_eq!(last.hops.len(), 5);
        assert_eq!(last.late_of.map(|before| before.id), is_slow.then_some(1));
    }
}

#[test]
fn packet_that_goes_on_before_the_sweep_may_have_been_missed_meanwhile() {
    let mut builder = join_hops("10.244.1.3", &TO_POD2[..2]);
    builder.record_loss(100 * MS, 200 * MS);
    add(&mut builder, 501 * MS, &TO_POD2[2..]);
    let paths = finished(&mut builder);
    assert_eq!(paths[0].outcome, Outcome::EventsLost);
    assert_eq!(paths[1].late_of, None);
}

/// Adds hops of an equal packet, shifted by `after_ns`.
fn add(builder: &mut Builder, after_ns: u64, hops: &[(u64, u32, Direction)]) {
    let (world, packet) = (world(), packet("10.244.1.3"));
    for (ts_ns, interface, direction) in hops {
        let event = event(after_ns + ts_ns, *interface, *direction, &packet);
        builder.push(&event, &world);
    }
}

fn summary(paths: &[Path]) -> Summary {
    let mut summary = Summary::default();
    for path in paths {
        summary.count(path, path.late_of);
    }
    summary
}

/// Datagrams with the same content and no identification.
#[test]
fn equal_packets_that_are_slow_correct_a_report_each() {
    let mut builder = Builder::new(500 * MS);
    for number in 0..6 {
        add(&mut builder, number * 10_000, &TO_POD2[..2]);
    }
    builder.expire(SECOND);
    let lost = finished(&mut builder);
    assert_eq!(lost.len(), 6);
    assert!(lost.iter().all(|path| path.ambiguous));
    for number in 0..6 {
        add(&mut builder, SECOND + number * 10_000, &TO_POD2[2..]);
    }
    let again = finished(&mut builder);
    let corrected: Vec<_> = again.iter().map(|path| path.late_of.unwrap().id).collect();
    assert_eq!(corrected, [1, 2, 3, 4, 5, 6]);
    assert!(
        again
            .iter()
            .all(|path| path.ambiguous && path.hops.len() == 5)
    );
    let summary = summary(&[lost, again].concat());
    assert_eq!(summary.packets, 6);
    assert_eq!(summary.outcomes[Outcome::Delivered.index()], 6);
    assert_eq!(summary.outcomes[Outcome::NotSeenFurther.index()], 0);
}

/// They are translated only when they go on.
#[test]
fn equal_packets_that_are_slow_before_a_translation_correct_a_report_each() {
    let taps = [(POD1, Egress), (VETH1, Ingress), (CNI0, Ingress)];
    let behind = [
        (CNI0, Egress),
        (VETH2, Egress),
        (POD2, Ingress),
        (POD2, Socket),
    ];
    let world = world();
    let mut builder = Builder::new(500 * MS);
    let push = |builder: &mut Builder, at_ns, to, taps: &[(u32, Direction)]| {
        for (ts_ns, (interface, direction)) in (at_ns..).zip(taps) {
            builder.push(&event(ts_ns, *interface, *direction, &packet(to)), &world);
        }
        finished(builder)
    };
    // The first is lost before the others are sent.
    push(&mut builder, 1, "10.96.0.10", &taps[..2]);
    for number in 1..6 {
        push(
            &mut builder,
            100 * MS + number * 10_000,
            "10.96.0.10",
            &taps,
        );
    }
    builder.expire(SECOND);
    let mut paths = finished(&mut builder);
    for number in 1..6 {
        paths.extend(push(
            &mut builder,
            SECOND + number * 10_000,
            "10.244.1.3",
            &behind,
        ));
    }
    let again = paths.iter().filter_map(|path| path.late_of);
    assert_eq!(
        again.map(|before| before.id).collect::<Vec<_>>(),
        [2, 3, 4, 5, 6]
    );
    assert!(
        paths[6..]
            .iter()
            .all(|path| path.ambiguous && path.hops.len() == 7)
    );
    let summary = summary(&paths);
    assert_eq!(summary.packets, 6);
    assert_eq!(summary.outcomes[Outcome::Delivered.index()], 5);
    assert_eq!(summary.outcomes[Outcome::NotSeenFurther.index()], 1);
}

/// A packet that was lost earlier on the way would have to be seen where the others wait.
#[test]
fn slow_packet_corrects_the_report_whose_last_hop_leads_there() {
    let mut builder = Builder::new(500 * MS);
    add(&mut builder, 0, &TO_POD2[..1]);
    add(&mut builder, 600 * MS, &TO_POD2[..2]);
    builder.expire(2 * SECOND);
    let lost = finished(&mut builder);
    add(&mut builder, 3 * SECOND, &TO_POD2[2..]);
    let again = finished(&mut builder).remove(0);
    assert_eq!(again.late_of.unwrap().id, 2);
    assert!(!again.ambiguous && lost.iter().all(|path| !path.ambiguous));
}

/// Whether the first packet was lost or waits with the second: nothing tells.
#[test]
fn equal_packet_that_waits_where_a_reported_one_does_may_be_either() {
    let mut builder = Builder::new(500 * MS);
    add(&mut builder, 0, &TO_POD2[..2]);
    builder.expire(SECOND);
    add(&mut builder, SECOND, &TO_POD2[..2]);
    add(&mut builder, SECOND + 100 * MS, &TO_POD2[2..]);
    add(&mut builder, SECOND + 110 * MS, &TO_POD2[2..]);
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 3);
    assert!(paths[1].ambiguous && paths[2].ambiguous);
    assert_eq!(paths[1].late_of, None);
    assert_eq!(paths[2].late_of.unwrap().id, paths[0].id);
}

/// The equal packets that were lost are remembered, but those under way come first.
#[test]
fn lost_equal_packets_do_not_keep_others_from_their_paths() {
    let mut builder = Builder::new(500 * MS);
    let hash = builder.hasher.hash_one(packet("10.244.1.3").key());
    let mut paths = Vec::new();
    for number in 0..400 {
        let begin_ns = number * 20 * MS;
        add(&mut builder, begin_ns, &TO_POD2[..2]);
        add(&mut builder, begin_ns + MS, &TO_POD2);
        builder.expire(begin_ns + 2 * MS);
        assert!(builder.joins.equal(hash) <= EQUAL_MAX);
        paths.extend(finished(&mut builder));
    }
    builder.expire(60 * SECOND);
    paths.extend(finished(&mut builder));
    let (delivered, lost): (Vec<_>, Vec<_>) = paths
        .iter()
        .partition(|path| path.outcome == Outcome::Delivered);
    assert_eq!((delivered.len(), lost.len()), (400, 400));
    let is_lost = |path: &&Path| path.outcome == Outcome::NotSeenFurther;
    assert!(lost.iter().all(is_lost));
    assert!(delivered.iter().all(|path| path.late_of.is_none()));
}

proptest! {
    /// Equal packets wait at one place until all of them go on, or a first few of them, in
    /// order. Each is counted once, whenever the sweeps come, and only those that did not go
    /// on are lost in the end.
    #[test]
    fn each_equal_packet_is_counted_once(
        mut sent in prop::collection::vec(0u64..1500, 1..12),
        released in 0usize..12,
        wait in 0u64..4000,
        sweep in prop::option::of(1u64..700),
    ) {
        sent.sort_unstable();
        let released = released.min(sent.len());
        let release = sent[sent.len() - 1] + wait;
        let mut events = Vec::new();
        for (number, at) in (0u64..).zip(&sent) {
            events.extend(TO_POD2[..2].iter().map(|hop| (at * MS + number * 10_000, *hop)));
        }
        for number in 0..released as u64 {
            let at = (release + 1) * MS + number * 10_000;
            events.extend(TO_POD2[2..].iter().map(|hop| (at, *hop)));
        }
        let mut builder = Builder::new(500 * MS);
        let mut swept = 0;
        for (at, hop) in events {
            if let Some(sweep) = sweep.filter(|sweep| at >= swept + sweep * MS) {
                swept = at - at % (sweep * MS);
                builder.expire(swept);
            }
            add(&mut builder, at, &[hop]);
        }
        builder.expire(60 * SECOND);
        let paths = finished(&mut builder);
        prop_assert!(!builder.is_waiting());
        let summary = summary(&paths);
        prop_assert_eq!(summary.packets as usize, sent.len());
        prop_assert_eq!(summary.outcomes[Outcome::Delivered.index()] as usize, released);
        let lost = summary.outcomes[Outcome::NotSeenFurther.index()] as usize;
        prop_assert_eq!(lost, sent.len() - released);
        let mut corrected: Vec<_> = paths.iter().filter_map(|path| path.late_of).map(|before| before.id).collect();
        corrected.sort_unstable();
        corrected.dedup();
        prop_assert_eq!(corrected.len(), paths.iter().filter(|path| path.late_of.is_some()).count());
        prop_assert!(paths.iter().filter(|path| path.outcome == Outcome::Delivered).all(|path| path.hops.len() == 5));
    }
}
