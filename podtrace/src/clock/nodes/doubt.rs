//! Packets that the clocks leave in doubt.
use std::collections::HashSet;

use super::Clock;
use super::crossings::{Crossings, hash_of};
use super::equal::{Side, Sighting};
use crate::packet::PacketKey;

/// The packets of which a clock does not tell whether they left before they entered.
#[derive(Debug, Default)]
pub struct Doubts(HashSet<u64>);

impl Doubts {
    /// Whether such a packet has this key, which is made only if there are any.
    pub fn contains(&self, key: impl FnOnce() -> PacketKey) -> bool {
        !self.0.is_empty() && self.0.contains(&hash_of(&key()))
    }
}

impl Crossings {
    /// The packets that one session saw enter, and another one saw an equal one leave, not
    /// within `timeout_ns` before by these clocks, but maybe in truth: they may be the same
    /// packet.
    ///
    /// Packets beyond the capacity are not among them.
    #[must_use]
    pub fn doubts(&self, clocks: &[Clock], timeout_ns: u64) -> Doubts {
        let are_doubtful =
            |sightings: [&[Sighting]; 2]| are_in_doubt(sightings, clocks, timeout_ns);
        let unique = self.packets.iter().filter(|(_, crossing)| {
            let sightings = crossing.sightings();
            are_doubtful(sightings.each_ref().map(Option::as_slice))
        });
        let equal = self.equals().filter(|(_, equals)| {
            are_doubtful([Side::Left, Side::Entered].map(|side| equals.on(side)))
        });
        Doubts(
            unique
                .map(|(hash, _)| *hash)
                .chain(equal.map(|(hash, _)| hash))
                .collect(),
        )
    }
}

/// A time by the reference clock, and its possible error; none if that is not known.
struct Corrected {
    session: u16,
    ts_ns: u64,
    uncertainty_ns: Option<u64>,
}

impl Corrected {
    fn new((session, ts_ns): Sighting, clocks: &[Clock]) -> Option<Self> {
        let line = &clocks.get(usize::from(session))?.line;
        Some(Self {
            session,
            ts_ns: line.to_reference(ts_ns),
            uncertainty_ns: line.uncertainty_ns(ts_ns),
        })
    }

    /// Whether this departure seems not to belong to the arrival at another session, but may.
    fn may_be_missed_at(&self, arrival: &Self, timeout_ns: u64) -> bool {
        // The error of the clocks if it does.
        let wrong_ns = if self.ts_ns >= arrival.ts_ns {
            self.ts_ns - arrival.ts_ns
        } else {
            (arrival.ts_ns - self.ts_ns).saturating_sub(timeout_ns)
        };
        let looks_so = self.ts_ns < arrival.ts_ns && wrong_ns == 0;
        let uncertainty = self.uncertainty_ns.zip(arrival.uncertainty_ns);
        let most_ns = uncertainty.map_or(u64::MAX, |(one, other)| one.saturating_add(other));
        self.session != arrival.session && !looks_so && wrong_ns <= most_ns
    }
}

/// Whether the clocks leave open whether one of the departures went on to one of the arrivals.
fn are_in_doubt(sightings: [&[Sighting]; 2], clocks: &[Clock], timeout_ns: u64) -> bool {
    if sightings.iter().any(|side| side.is_empty()) {
        return false;
    }
    let corrected = |side: &[Sighting]| -> Vec<Corrected> {
        let corrected = side.iter();
        let corrected = corrected.filter_map(|sighting| Corrected::new(*sighting, clocks));
        corrected.collect()
    };
    let [left, entered] = sightings.map(corrected);
    let is_missed = |left: &Corrected| {
        let mut entered = entered.iter();
        entered.any(|entered| left.may_be_missed_at(entered, timeout_ns))
    };
    left.iter().any(is_missed)
}
