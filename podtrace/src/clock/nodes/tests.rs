mod equal;
mod random;
mod truth;

use self::truth::*;
use super::crossings::Journeys;
use super::equal::Pairs;
use super::*;

fn solve(sessions: usize, journeys: &Journeys, given: &[Option<i64>]) -> Vec<Clock> {
    solve::solve(sessions, journeys, &Pairs::new(), given)
}

#[test]
fn clocks_without_crossings_are_unmeasured() {
    assert!(Crossings::new(0).solve(&[]).is_empty());
    let clocks = Crossings::new(2).solve(&[]);
    assert_eq!(clocks[0].basis, Basis::Reference);
    assert_eq!(clocks[1].basis, Basis::Unmeasured);
    assert_eq!(clocks[1].line.to_reference(START), START);
    assert!(!clocks[1].is_known());
}

#[test]
fn a_given_offset_is_taken_and_measured_against() {
    let truth = [
        True::default(),
        True {
            offset_ns: 1_500_000,
            drift_ppb: 0,
        },
        True::default(),
    ];
    let trips = exchanges(&mut Random(1), &[(1, 2)], 50, SECOND);
    let clocks = solve(3, &journeys(&truth, &trips), &[None, Some(1_500_000)]);
    assert_eq!(clocks[1].basis, Basis::Given);
    assert_eq!(clocks[1].line.to_reference(START + 1_500_000), START);
    assert_eq!(clocks[1].line.uncertainty_ns(START), Some(0));
    assert!(matches!(clocks[2].basis, Basis::Measured { via: 1, .. }));
    assert!(clocks[2].is_known());
}

/// Two groups without common packets: the second has no tie to the reference.
#[test]
fn clock_measured_against_an_unknown_one_is_unknown() {
    let truth = [True::default(); 3];
    let trips = exchanges(&mut Random(1), &[(1, 2)], 50, SECOND);
    let clocks = solve(3, &journeys(&truth, &trips), &[]);
    assert_eq!(clocks[1].basis, Basis::Unmeasured);
    assert!(matches!(clocks[2].basis, Basis::Measured { via: 1, .. }));
    assert!(!clocks[2].is_known());
    check_order(&clocks, &truth, &trips).unwrap();
}

#[test]
fn chain_with_less_uncertainty_is_chosen() {
    let truth = [True::default(); 3];
    let mut random = Random(1);
    let mut all = exchanges(&mut random, &[(0, 1), (1, 2)], 200, 10 * SECOND);
    for ends in [(0, 2), (2, 0)] {
        all.extend(trips(&mut random, ends, 200, 10 * SECOND, 50_000_000));
    }
    let clocks = solve(3, &journeys(&truth, &all), &[]);
    assert!(matches!(clocks[2].basis, Basis::Measured { via: 1, .. }));
    assert!(clocks[2].line.uncertainty_ns(START + 5 * SECOND).unwrap() < 1_000_000);
    check_order(&clocks, &truth, &all).unwrap();
}

/// A packet each way bounds the drift by nothing but its limit: the line must not run along it.
#[test]
fn two_packets_do_not_make_a_drift() {
    let truth = [True::default(); 2];
    let times = [[START, START + 70_000], [START + 90_000, START + 160_000]];
    for first in [(0, 1), (1, 0)] {
        let ends = [first, (first.1, first.0)];
        let trips = [0, 1].map(|at| Trip {
            from: ends[at].0,
            to: ends[at].1,
            left: times[at][0],
            entered: times[at][1],
        });
        let clocks = solve(2, &journeys(&truth, &trips), &[]);
        let drift = clocks[1].line.drift_ppm();
        assert!(drift.abs() < 10.0, "{drift}");
        let after = START + SECOND;
        assert!(clocks[1].line.to_reference(after).abs_diff(after) < 10_000);
    }
}

/// The only packet back came between those there, so that all extreme lines touch its bound.
#[test]
fn lonely_packet_between_others_is_on_its_way_for_a_while() {
    let truth = [True::default(); 2];
    let way = |from, left, entered| Trip {
        from,
        to: 1 - from,
        left: START + left,
        entered: START + entered,
    };
    let trips = [
        way(0, 0, 12_000),
        way(0, 4_000_000, 4_007_000),
        way(1, 4_010_000, 4_011_000),
        way(0, 5_000_000, 5_010_000),
        way(0, 50_000_000, 50_011_000),
    ];
    let clocks = solve(2, &journeys(&truth, &trips), &[]);
    let [left, entered] = corrected(&clocks, &truth, &trips[2]);
    assert!(left + 500 < entered, "{left} {entered}");
}

/// The uncertainty is half the sum of the two least delays.
#[test]
fn many_packets_make_it_as_sure_as_the_least_delays() {
    let own = True {
        offset_ns: -184_200,
        drift_ppb: 3_100,
    };
    let truth = [True::default(), own];
    let mut random = Random(1);
    let mut all = trips(&mut random, (0, 1), 2000, 60 * SECOND, 10_000);
    all.extend(trips(&mut random, (1, 0), 2000, 60 * SECOND, 14_000));
    let clocks = solve(2, &journeys(&truth, &all), &[]);
    for at in [START, START + 30 * SECOND, START + 60 * SECOND] {
        let uncertainty = clocks[1].line.uncertainty_ns(at).unwrap();
        assert!((12_000..14_000).contains(&uncertainty), "{uncertainty}");
    }
    assert!(clocks[1].line.drift_uncertainty_ppm().unwrap() < 0.5);
}

/// A bound that is far off is removed with those that it contradicts.
#[test]
fn outliers_are_counted() {
    let truth = [True::default(); 2];
    let trips = exchanges(&mut Random(1), &[(0, 1)], 100, SECOND);
    let mut journeys = journeys(&truth, &trips);
    let false_packet = [START + SECOND / 2, START];
    journeys.entry((0, 1)).or_default().push(false_packet);
    let clocks = solve(2, &journeys, &[]);
    let Basis::Measured {
        there: 101,
        back: 100,
        outliers: 2..=4,
        ..
    } = clocks[1].basis
    else {
        panic!("{:?}", clocks[1].basis);
    };
}

#[test]
fn few_packets_are_not_called_outliers_to_make_a_clock() {
    let truth = [True::default(); 2];
    let mut all = journeys(&truth, &exchanges(&mut Random(1), &[(0, 1)], 8, SECOND));
    let set = [
        True::default(),
        True {
            offset_ns: 10_000_000,
            drift_ppb: 0,
        },
    ];
    for (ends, times) in journeys(&set, &exchanges(&mut Random(2), &[(0, 1)], 8, SECOND)) {
        all.entry(ends).or_default().extend(times);
    }
    let basis = solve(2, &all, &[])[1].basis;
    assert!(matches!(basis, Basis::Inconsistent { .. }), "{basis:?}");
}

/// Sets the clock back by 10 ms in the middle, as NTP does.
#[test]
fn a_clock_that_was_set_is_called_inconsistent() {
    let before = True {
        offset_ns: 5_000_000,
        drift_ppb: 0,
    };
    let after = True {
        offset_ns: -5_000_000,
        drift_ppb: 0,
    };
    let mut all = journeys(
        &[True::default(), before],
        &exchanges(&mut Random(1), &[(0, 1)], 500, SECOND),
    );
    let mut later = exchanges(&mut Random(2), &[(0, 1)], 500, SECOND);
    later.iter_mut().for_each(|trip| {
        trip.left += SECOND;
        trip.entered += SECOND;
    });
    for (ends, times) in journeys(&[True::default(), after], &later) {
        all.entry(ends).or_default().extend(times);
    }
    let clocks = solve(2, &all, &[]);
    let Basis::Inconsistent {
        via: 0,
        there: 1000,
        back: 1000,
        worst_ns,
    } = clocks[1].basis
    else {
        panic!("{:?}", clocks[1].basis);
    };
    assert!((1_000_000..5_000_000).contains(&worst_ns), "{worst_ns}");
    for (&(from, to), times) in &all {
        for times in times {
            let left = clocks[from].line.to_reference(times[0]);
            assert!(clocks[to].line.to_reference(times[1]) + worst_ns + 1 >= left);
        }
    }
}

fn see(crossings: &mut Crossings, number: u32, ends: (usize, usize), times: (u64, u64)) {
    crossings.record(ends.0, &key(number), Side::Left, times.0);
    crossings.record(ends.1, &key(number), Side::Entered, times.1);
}

#[test]
fn a_key_seen_twice_on_a_side_bounds_nothing_ever_again() {
    let mut crossings = Crossings::new(2);
    see(&mut crossings, 1, (0, 1), (100, 200));
    see(&mut crossings, 2, (0, 1), (100, 200));
    crossings.record(0, &key(2), Side::Left, 300);
    crossings.record(1, &key(2), Side::Entered, 400);
    crossings.record(0, &key(2), Side::Left, 500);
    see(&mut crossings, 3, (0, 0), (100, 200));
    crossings.record(0, &key(5), Side::Left, 50);
    see(&mut crossings, 5, (0, 1), (100, 200));
    crossings.record(7, &key(4), Side::Left, 100);
    crossings.record(70_000, &key(4), Side::Entered, 100);
    assert_eq!(
        crossings.journeys(),
        Journeys::from([((0, 1), vec![[100, 200]])])
    );
}

#[test]
fn too_many_keys_are_thinned_out_alike_for_all_sessions() {
    let mut crossings = Crossings::with_capacity(2, 100);
    // One session after the other, as files are read.
    for number in 0..5000 {
        crossings.record(0, &key(number), Side::Left, number.into());
        assert!(crossings.packets.len() <= 100);
    }
    for number in (0..5000).rev() {
        crossings.record(1, &key(number), Side::Entered, u64::from(number) + 7);
    }
    let journeys = crossings.journeys();
    let times = &journeys[&(0, 1)];
    assert!((25..=100).contains(&times.len()), "{}", times.len());
    assert!(times.iter().all(|[left, entered]| left + 7 == *entered));
}

#[test]
fn each_basis_is_said_in_words() {
    let own = True {
        offset_ns: 184_200,
        drift_ppb: 0,
    };
    let truth = [
        True::default(),
        own,
        True::default(),
        True::default(),
        True::default(),
    ];
    let at = |from, to, left, entered| Trip {
        from,
        to,
        left: START + left,
        entered: START + entered,
    };
    let trips = [
        at(0, 1, 0, 10_000),
        at(1, 0, 10_000, 20_000),
        at(1, 0, SECOND, SECOND + 10_000),
        at(0, 1, SECOND, SECOND + 10_000),
        at(1, 2, SECOND / 2, SECOND / 2 + 50_000),
    ];
    let clocks = solve(
        5,
        &journeys(&truth, &trips),
        &[None, None, None, Some(-1_500_000)],
    );
    let names = ["a", "b", "c", "d", "e"];
    let lines: Vec<String> = (0..5)
        .map(|i| clocks[i].describe(i, &names, START + SECOND / 2))
        .collect();
    assert_eq!(
        lines,
        [
            "clock of a: the reference",
            "clock of b: 184.2 µs ahead of a's, ± 10.0 µs, drift +0.0 ± 20.0 ppm, from 2 packets there and 2 back",
            "clock of c: unknown: packets went only from b to c; at most 59.9 µs ahead of a's",
            "clock of d: 1.500 ms behind a's, as given",
            "clock of e: unknown: no packet was seen both there and at another node",
        ]
    );
}
