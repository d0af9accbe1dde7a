//! Clocks and packets whose truth is known, and checks against it.
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::super::{Clock, crossings::Journeys};
use crate::packet::{Ip, Network, Packet, PacketKey, Transport};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const START: u64 = 1_764_000_000 * SECOND;

/// A clock whose truth is known: `offset_ns` ahead at [`START`], `drift_ppb` fast.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct True {
    pub(super) offset_ns: i64,
    pub(super) drift_ppb: i64,
}

impl True {
    /// Its reading at a time of the reference clock.
    pub(super) fn reads(self, reference_ns: u64) -> u64 {
        let since = i128::from(reference_ns) - i128::from(START);
        let drift = (since * i128::from(self.drift_ppb)).div_euclid(1_000_000_000);
        (i128::from(reference_ns) + i128::from(self.offset_ns) + drift) as u64
    }
}

/// Pseudo-random numbers (SplitMix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A delay of at least `least_ns`; half of them exceed twice that, a tenth ten times.
    pub(super) fn delay(&mut self, least_ns: u64) -> u64 {
        let share = self.below(1_000_000) + 1;
        least_ns + (least_ns * 1_000_000 / share - least_ns).min(SECOND)
    }
}

/// A packet, in the reference clock's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trip {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) left: u64,
    pub(super) entered: u64,
}

pub(super) fn trips(
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

pub(super) fn journeys(clocks: &[True], trips: &[Trip]) -> Journeys {
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

pub(super) fn key(number: u32) -> PacketKey {
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
            may_fragment: true,
            fragment: None,
        }),
        transport: Transport::None,
        payload_hash: 0,
        length: 84,
    };
    packet.key()
}

/// The true clock is within the stated uncertainty.
pub(super) fn check_truth(
    clock: &Clock,
    own: True,
    reference_ns: u64,
) -> Result<(), TestCaseError> {
    let ts_ns = own.reads(reference_ns);
    let uncertainty = clock.line.uncertainty_ns(ts_ns);
    let wrong = clock.line.to_reference(ts_ns).abs_diff(reference_ns);
    prop_assert!(
        uncertainty.is_some_and(|uncertainty| wrong <= uncertainty),
        "{wrong} ns wrong, stated: {uncertainty:?}, {clock:?}"
    );
    Ok(())
}

pub(super) fn check_order(
    clocks: &[Clock],
    truth: &[True],
    trips: &[Trip],
) -> Result<(), TestCaseError> {
    for trip in trips {
        let [left, entered] = corrected(clocks, truth, trip);
        prop_assert!(left < entered, "{trip:?} left {left} entered {entered}");
    }
    Ok(())
}

pub(super) fn check_order_within_uncertainty(
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
pub(super) fn corrected(clocks: &[Clock], truth: &[True], trip: &Trip) -> [u64; 2] {
    [(trip.from, trip.left), (trip.to, trip.entered)]
        .map(|(node, at)| clocks[node].line.to_reference(truth[node].reads(at)))
}

/// Packets both ways between nodes that see each other.
pub(super) fn exchanges(
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
