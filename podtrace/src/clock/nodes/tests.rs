use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::sightings::Journeys;
use super::solve::solve;
use super::*;
use crate::packet::{Ip, Network, Packet, PacketKey, Transport};

mod random;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_764_000_000 * SECOND;

/// A clock whose truth is known: `offset_ns` ahead at [`START`], `drift_ppb` fast.
#[derive(Clone, Copy, Debug, Default)]
struct True {
    offset_ns: i64,
    drift_ppb: i64,
}

impl True {
    /// What it reads at a time of the reference clock.
    fn reads(self, reference_ns: u64) -> u64 {
        let since = i128::from(reference_ns) - i128::from(START);
        let drift = (since * i128::from(self.drift_ppb)).div_euclid(1_000_000_000);
        (i128::from(reference_ns) + i128::from(self.offset_ns) + drift) as u64
    }
}

/// Numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// At least `least_ns`; half of them are above twice that, a tenth above
    /// ten times.
    fn delay(&mut self, least_ns: u64) -> u64 {
        let share = self.below(1_000_000) + 1;
        least_ns + (least_ns * 1_000_000 / share - least_ns).min(SECOND)
    }
}

/// A packet, in the reference clock's time.
#[derive(Clone, Copy, Debug)]
struct Trip {
    from: usize,
    to: usize,
    left: u64,
    entered: u64,
}

fn trips(
    random: &mut Random,
    ends: (usize, usize),
    count: usize,
    length: u64,
    least: u64,
) -> Vec<Trip> {
    let trip = |_| {
        let left = START + random.below(length);
        let entered = left + random.delay(least);
        let (from, to) = ends;
        Trip {
            from,
            to,
            left,
            entered,
        }
    };
    (0..count).map(trip).collect()
}

fn journeys(clocks: &[True], trips: &[Trip]) -> Journeys {
    let mut journeys = Journeys::new();
    for trip in trips {
        let times = [
            clocks[trip.from].reads(trip.left),
            clocks[trip.to].reads(trip.entered),
        ];
        journeys
            .entry((trip.from, trip.to))
            .or_default()
            .push(times);
    }
    journeys
}

fn key(number: u32) -> PacketKey {
    let address = IpAddr::V4(Ipv4Addr::from(number));
    let packet = Packet {
        tunnel: None,
        vlan: None,
        shim: None,
        link: None,
        network: Network::Ip(Ip {
            source: address,
            destination: address,
            ttl: 64,
            protocol: 1,
            id: 0,
            fragment: None,
        }),
        transport: Transport::None,
        payload_hash: 0,
        length: 84,
    };
    packet.key()
}

/// The truth is as near as stated.
fn check_truth(clock: &Clock, own: True, reference_ns: u64) -> Result<(), TestCaseError> {
    let ts_ns = own.reads(reference_ns);
    let uncertainty = clock.line.uncertainty_ns(ts_ns);
    let wrong = clock.line.to_reference(ts_ns).abs_diff(reference_ns);
    prop_assert!(
        uncertainty.is_some_and(|uncertainty| wrong <= uncertainty),
        "{wrong} ns wrong, stated: {uncertainty:?}, {clock:?}"
    );
    Ok(())
}

fn check_order(clocks: &[Clock], truth: &[True], trips: &[Trip]) -> Result<(), TestCaseError> {
    for trip in trips {
        let [left, entered] = corrected(clocks, truth, trip);
        prop_assert!(left <= entered, "{trip:?} left {left} entered {entered}");
    }
    Ok(())
}

fn check_order_within_uncertainty(
    clocks: &[Clock],
    truth: &[True],
    trips: &[Trip],
) -> Result<(), TestCaseError> {
    for trip in trips {
        let [left, entered] = corrected(clocks, truth, trip);
        let uncertainty = |node: usize, at| clocks[node].line.uncertainty_ns(truth[node].reads(at));
        let ends = [
            uncertainty(trip.from, trip.left),
            uncertainty(trip.to, trip.entered),
        ];
        let slack: u64 = ends.into_iter().flatten().sum();
        prop_assert!(
            left <= entered + slack,
            "{trip:?} left {left} entered {entered} ± {slack}"
        );
    }
    Ok(())
}

/// When the packet left and entered by the reference clock, as the corrected clocks say.
fn corrected(clocks: &[Clock], truth: &[True], trip: &Trip) -> [u64; 2] {
    [(trip.from, trip.left), (trip.to, trip.entered)]
        .map(|(node, at)| clocks[node].line.to_reference(truth[node].reads(at)))
}

/// Packets both ways between nodes that see each other.
fn exchanges(
    random: &mut Random,
    pairs: &[(usize, usize)],
    count: usize,
    length: u64,
) -> Vec<Trip> {
    let mut all = Vec::new();
    for &(a, b) in pairs {
        for ends in [(a, b), (b, a)] {
            let least = 10_000 + random.below(100_000);
            all.extend(trips(random, ends, count, length, least));
        }
    }
    all
}

#[test]
fn nothing_gives_nothing() {
    assert!(Sightings::new(0).solve(&[]).is_empty());
    let clocks = Sightings::new(2).solve(&[]);
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

/// Two groups that do not see each other: the second hangs together, but loose.
#[test]
fn what_is_measured_against_an_unknown_clock_is_unknown() {
    let truth = [True::default(); 3];
    let trips = exchanges(&mut Random(1), &[(1, 2)], 50, SECOND);
    let clocks = solve(3, &journeys(&truth, &trips), &[]);
    assert_eq!(clocks[1].basis, Basis::Unmeasured);
    assert!(matches!(clocks[2].basis, Basis::Measured { via: 1, .. }));
    assert!(!clocks[2].is_known());
    check_order(&clocks, &truth, &trips).unwrap();
}

#[test]
fn the_tighter_way_is_taken() {
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

/// A guarantee is worth little if it is wide: it is half the two least delays.
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

/// A bound that is wrong by far goes with those that it contradicts.
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

/// As NTP does: 10 ms back in the middle.
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

fn see(sightings: &mut Sightings, number: u32, ends: (usize, usize), times: (u64, u64)) {
    sightings.note(ends.0, &key(number), Side::Left, times.0);
    sightings.note(ends.1, &key(number), Side::Entered, times.1);
}

#[test]
fn a_key_seen_twice_on_a_side_is_of_no_use_ever_again() {
    let mut sightings = Sightings::new(2);
    see(&mut sightings, 1, (0, 1), (100, 200));
    see(&mut sightings, 2, (0, 1), (100, 200));
    sightings.note(0, &key(2), Side::Left, 300);
    sightings.note(1, &key(2), Side::Entered, 400);
    sightings.note(0, &key(2), Side::Left, 500);
    see(&mut sightings, 3, (0, 0), (100, 200));
    sightings.note(0, &key(5), Side::Left, 50);
    see(&mut sightings, 5, (0, 1), (100, 200));
    sightings.note(7, &key(4), Side::Left, 100);
    sightings.note(70_000, &key(4), Side::Entered, 100);
    assert_eq!(
        sightings.journeys(),
        Journeys::from([((0, 1), vec![[100, 200]])])
    );
}

#[test]
fn too_many_keys_are_thinned_out_alike_for_all_sessions() {
    let mut sightings = Sightings::with_capacity(2, 100);
    // One session after the other, as files are read.
    for number in 0..5000 {
        sightings.note(0, &key(number), Side::Left, number.into());
        assert!(sightings.packets.len() <= 100);
    }
    for number in (0..5000).rev() {
        sightings.note(1, &key(number), Side::Entered, u64::from(number) + 7);
    }
    let journeys = sightings.journeys();
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
            "clock of b: 186.6 µs ahead of a's, ± 12.5 µs, drift +5.0 ± 25.0 ppm, from 2 packets there and 2 back",
            "clock of c: unknown: packets went only from b to c; at most 65.0 µs ahead of a's",
            "clock of d: 1.500 ms behind a's, as given",
            "clock of e: unknown: no packet was seen both there and at another node",
        ]
    );
}
