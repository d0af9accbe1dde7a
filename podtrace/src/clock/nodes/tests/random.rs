//! Properties of all clocks and packets.
use proptest::prelude::*;

use super::*;

fn any_clock() -> impl Strategy<Value = True> {
    let half_day = 12 * 3600 * SECOND as i64;
    (-half_day..=half_day, -100_000..=100_000_i64).prop_map(|(offset_ns, drift_ppb)| True {
        offset_ns,
        drift_ppb,
    })
}

prop_compose! {
    /// From 1 to 2^`bits` packets; few are as likely as many.
    fn any_count(bits: u32)(bits in 0..bits, seed in any::<u32>()) -> usize {
        ((1 << bits) + seed % (1 << bits)) as usize
    }
}

prop_compose! {
    fn any_length()(bits in 0..17_u32, share in 0..SECOND) -> u64 {
        ((1 << bits) * SECOND + share).min(86_400 * SECOND)
    }
}

fn any_least_delay() -> impl Strategy<Value = u64> {
    prop_oneof![1..10_u64, 1000..10_000_u64, 100_000..5_000_000_u64]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_truth_is_as_near_as_stated_and_no_order_is_impossible(
        own in any_clock(),
        length in any_length(),
        [there, back] in [any_count(11), any_count(11)],
        [least_there, least_back] in [any_least_delay(), any_least_delay()],
        seed in any::<u64>(),
    ) {
        let truth = [True::default(), own];
        let mut random = Random(seed);
        let mut trips_all = trips(&mut random, (0, 1), there, length, least_there + 2);
        trips_all.extend(trips(&mut random, (1, 0), back, length, least_back + 2));
        let clocks = solve(2, &journeys(&truth, &trips_all), &[]);
        let expected = Basis::Measured { via: 0, there, back, outliers: 0 };
        prop_assert_eq!(clocks[1].basis, expected);
        check_order(&clocks, &truth, &trips_all)?;
        for trip in &trips_all {
            check_truth(&clocks[1], own, trip.left)?;
            check_truth(&clocks[1], own, trip.entered)?;
        }
        for outside in [START - length, START + 3 * length] {
            check_truth(&clocks[1], own, outside)?;
        }
        let drift = (clocks[1].line.drift_ppm() - own.drift_ppb as f64 / 1e3).abs();
        prop_assert!(clocks[1].line.drift_uncertainty_ppm().is_some_and(|most| drift <= most + 1e-6));
    }
}

fn via(clock: &Clock) -> Option<usize> {
    match clock.basis {
        Basis::Measured { via, .. } => Some(via),
        _ => None,
    }
}

proptest! {
    #[test]
    fn clocks_in_a_chain_add_their_uncertainties(
        others in [any_clock(), any_clock()],
        count in any_count(10),
        length in any_length(),
        seed in any::<u64>(),
    ) {
        let truth = [True::default(), others[0], others[1]];
        let trips = exchanges(&mut Random(seed), &[(0, 1), (1, 2)], count, length);
        let clocks = solve(3, &journeys(&truth, &trips), &[]);
        let via_1 = Basis::Measured { via: 1, there: count, back: count, outliers: 0 };
        prop_assert_eq!(clocks[2].basis, via_1);
        check_order(&clocks, &truth, &trips)?;
        for trip in trips {
            check_truth(&clocks[1], truth[1], trip.left)?;
            check_truth(&clocks[2], truth[2], trip.left)?;
        }
    }

    #[test]
    fn nodes_that_all_talk_have_no_impossible_order(
        others in prop::collection::vec(any_clock(), 2..6),
        count in any_count(8),
        length in any_length(),
        seed in any::<u64>(),
    ) {
        let truth: Vec<True> = [True::default()].into_iter().chain(others).collect();
        let pairs: Vec<(usize, usize)> =
            (1..truth.len()).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
        let trips = exchanges(&mut Random(seed), &pairs, count, length);
        let clocks = solve(truth.len(), &journeys(&truth, &trips), &[]);
        let is_measured = |trip: &Trip| {
            via(&clocks[trip.from]) == Some(trip.to) || via(&clocks[trip.to]) == Some(trip.from)
        };
        let (measured, others): (Vec<Trip>, Vec<Trip>) = trips.iter().partition(|trip| is_measured(trip));
        check_order(&clocks, &truth, &measured)?;
        // Where no lines satisfy all bounds, these are off by less than the stated uncertainty.
        check_order_within_uncertainty(&clocks, &truth, &others)?;
        for (clock, own) in clocks.iter().zip(truth).skip(1) {
            let sound = matches!(clock.basis, Basis::Measured { outliers: 0, .. });
            prop_assert!(sound, "{clock:?}");
            for trip in &trips {
                check_truth(clock, own, trip.left)?;
            }
        }
    }

    #[test]
    fn packets_one_way_keep_their_order(
        own in any_clock(),
        count in any_count(10),
        length in any_length(),
        back in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let truth = [True::default(), own];
        let ends = if back { (1, 0) } else { (0, 1) };
        let trips = trips(&mut Random(seed), ends, count, length, 10_000);
        let clocks = solve(2, &journeys(&truth, &trips), &[]);
        let Basis::OneWay { via: 0, there, back: packets_back, bound_ns: Some(bound) } = clocks[1].basis else {
            return Err(TestCaseError::fail(format!("{:?}", clocks[1])));
        };
        prop_assert_eq!([there, packets_back], if back { [0, count] } else { [count, 0] });
        prop_assert!(!clocks[1].is_known());
        prop_assert_eq!(clocks[1].line.uncertainty_ns(START), None);
        check_order(&clocks, &truth, &trips)?;
        // True when the decisive packet was seen, so at one end at least.
        let offsets = [START, START + length + 2 * SECOND]
            .map(|at| truth[1].reads(at) as i64 - at as i64);
        let holds = |offset| if back { bound <= offset } else { offset <= bound };
        prop_assert!(offsets.into_iter().any(holds), "{bound} {offsets:?}");
    }

    #[test]
    fn a_few_false_packets_among_many_are_found(
        own in any_clock(),
        count in 200..1000_usize,
        length in any_length(),
        wrong in prop::collection::vec((any::<bool>(), 0..1000_u64, -3600 * SECOND as i64..=3600 * SECOND as i64), 1..6),
        seed in any::<u64>(),
    ) {
        let truth = [True::default(), own];
        let mut random = Random(seed);
        let mut good = trips(&mut random, (0, 1), count, length, 20_000);
        good.extend(trips(&mut random, (1, 0), count, length, 20_000));
        let mut journeys = journeys(&truth, &good);
        for (back, at, off) in wrong {
            // Further off than any delay, so that it cannot be mistaken for one.
            let off = off + off.signum() * 10 * SECOND as i64;
            let at = START + at * (length / 1000);
            let (reference, other) = (at, own.reads(at).saturating_add_signed(off));
            let times = if back { ((1, 0), [other, reference]) } else { ((0, 1), [reference, other]) };
            journeys.entry(times.0).or_default().push(times.1);
        }
        let clocks = solve(2, &journeys, &[]);
        prop_assert!(matches!(clocks[1].basis, Basis::Measured { .. }), "{:?}", clocks[1].basis);
        for trip in good {
            check_truth(&clocks[1], own, trip.left)?;
        }
    }

    #[test]
    fn any_times_at_all_are_survived(
        times in prop::collection::vec((0..3_usize, 0..3_usize, prop_oneof![
            [0..20_u64, 0..20_u64],
            [any::<u64>(), any::<u64>()],
            [u64::MAX - 5..=u64::MAX, 0..=5_u64],
        ]), 0..40),
        given in prop::option::of(any::<i64>()),
        at in any::<u64>(),
        later in any::<u64>(),
    ) {
        let mut journeys = Journeys::new();
        for (from, to, times) in times {
            if from != to {
                journeys.entry((from, to)).or_default().push(times);
            }
        }
        let clocks = solve(3, &journeys, &[None, given]);
        prop_assert_eq!(clocks.len(), 3);
        for (session, clock) in clocks.iter().enumerate() {
            let line = &clock.line;
            prop_assert!(line.to_reference(at) <= line.to_reference(at.saturating_add(later % 5000)));
            prop_assert!(line.to_reference(at) <= line.to_reference(at.saturating_add(later)));
            let _ = (line.to_own(at), line.uncertainty_ns(at), line.drift_uncertainty_ppm());
            prop_assert!(!clock.describe(session, &["a", "b", "c"], at).is_empty());
        }
    }
}
