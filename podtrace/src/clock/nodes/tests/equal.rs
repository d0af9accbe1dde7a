//! Equal packets.
use super::*;

const MS: u64 = 1_000_000;

/// Sees packets of key `number` leave session 0 and enter session 1.
fn see_all(crossings: &mut Crossings, number: u32, left: &[u64], entered: &[u64]) {
    for ts_ns in left {
        crossings.record(0, &key(number), Side::Left, START + ts_ns);
    }
    for ts_ns in entered {
        crossings.record(1, &key(number), Side::Entered, START + ts_ns);
    }
}

fn is_in_doubt(crossings: &Crossings, clocks: &[Clock], number: u32) -> bool {
    let doubts = crossings.doubts(clocks, 500 * MS);
    doubts.contains(|| key(number))
}

#[test]
fn as_many_equal_packets_on_both_sides_are_paired_in_order() {
    let mut crossings = Crossings::new(3);
    see_all(&mut crossings, 1, &[30, 10], &[45, 25]);
    see_all(&mut crossings, 2, &[10, 30], &[45]);
    see_all(&mut crossings, 3, &[10, 30], &[25, 45]);
    crossings.record(2, &key(3), Side::Left, START);
    let pairs = crossings.pairs();
    let times = [[10, 25], [30, 45]].map(|pair| pair.map(|ts_ns| START + ts_ns));
    assert_eq!(pairs, Pairs::from([((0, 1), vec![times.to_vec()])]));
}

/// Only one packet shows the clock, and none shows that it is not behind by more. The equal
/// ones do.
#[test]
fn equal_packets_choose_among_the_possible_clocks() {
    let mut crossings = Crossings::new(2);
    crossings.record(1, &key(9), Side::Left, START);
    crossings.record(0, &key(9), Side::Entered, START + 6_000);
    let alone = &crossings.solve(&[])[1];
    assert_eq!(alone.line.offset_ns(START), -5_999);
    see_all(
        &mut crossings,
        1,
        &[MS, 9 * MS],
        &[MS + 4_000, 9 * MS + 5_000],
    );
    let clocks = crossings.solve(&[]);
    assert!(matches!(clocks[1].basis, Basis::OneWay { .. }));
    assert!(!clocks[1].is_known());
    assert!(clocks[1].line.offset_ns(START).abs() < 3_000);
    // Times far from each other, and an unknown clock.
    assert!(is_in_doubt(&crossings, &clocks, 1));
    assert!(!is_in_doubt(&crossings, &clocks, 9));
}

#[test]
fn equal_packets_alone_make_a_likely_clock() {
    let mut crossings = Crossings::new(2);
    see_all(&mut crossings, 1, &[0, MS], &[50_000, MS + 50_000]);
    let clock = &crossings.solve(&[])[1];
    assert_eq!(clock.basis, Basis::Likely);
    assert!(!clock.is_known());
    assert_eq!(
        clock.describe(1, &["a", "b"], START),
        "clock of b: unknown: only packets that have equals were seen both there and at another \
         node; taken as 49.9 µs ahead of a's, as if they had kept their order"
    );
}

/// Equal packets whose order contradicts the others are not paired rightly.
#[test]
fn equal_packets_move_no_clock_beyond_what_is_possible() {
    let mut crossings = Crossings::new(2);
    for (number, at) in [(8, 0), (9, SECOND)] {
        crossings.record(0, &key(number), Side::Left, START + at);
        crossings.record(1, &key(number), Side::Entered, START + at + 10_000);
        crossings.record(1, &key(number + 10), Side::Left, START + at);
        crossings.record(0, &key(number + 10), Side::Entered, START + at + 10_000);
    }
    let before = crossings.solve(&[]);
    // The first of one side and the last of the other were not recorded.
    see_all(
        &mut crossings,
        1,
        &[100 * MS, 200 * MS],
        &[5_000, 100 * MS + 5_000],
    );
    let after = crossings.solve(&[]);
    let at = [START, START + SECOND];
    let offsets = |clocks: &[Clock]| at.map(|ts_ns| clocks[1].line.offset_ns(ts_ns));
    assert_eq!(offsets(&after), offsets(&before));
    assert_eq!(
        after[1].line.uncertainty_ns(START),
        before[1].line.uncertainty_ns(START)
    );
    assert!(!is_in_doubt(&crossings, &after, 1));
    // As far apart as the clocks are uncertain.
    see_all(&mut crossings, 2, &[0, 12_000], &[9_000, 21_000]);
    assert!(is_in_doubt(&crossings, &after, 2));
}

#[test]
fn many_equal_packets_take_no_more_room() {
    let mut crossings = Crossings::with_capacity(2, 100);
    for at in 0..1000 {
        see_all(&mut crossings, 1, &[at * MS], &[at * MS + 1000]);
        see_all(&mut crossings, 1000 + at as u32, &[at, at + 1], &[]);
        let times: usize = crossings.equals().map(|(_, equals)| equals.len()).sum();
        assert!(2 * times <= 100, "{times}");
    }
}
