//! Equal packets: they bound no clock for certain, but they show which of the possible clocks
//! is likely.
use std::collections::BTreeMap;

/// Upper bound of the times of equal packets on one side; later ones are not kept.
const TIMES_MAX: usize = 64;

/// How a packet crossed the uplink of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It left the node (egress).
    Left,
    /// It entered the node (ingress).
    Entered,
}

/// A session, and a time by its clock in nanoseconds.
pub(super) type Sighting = (u16, u64);

/// The sightings of equal packets, by [`Side`].
#[derive(Debug, Default)]
pub(super) struct Equals {
    sightings: [Vec<Sighting>; 2],
    /// Whether a side had more than [`TIMES_MAX`].
    is_cut: bool,
}

/// The session left and the session entered.
type Ends = (usize, usize);

/// The times of packets as they left and as they entered, in order.
type Paired = Vec<[u64; 2]>;

/// Pairs of equal packets; those of one key are right or wrong together.
pub(super) type Pairs = BTreeMap<Ends, Vec<Paired>>;

impl Equals {
    /// What seemed to be one packet, as it was seen on each [`Side`].
    pub(super) fn of(sightings: [Option<Sighting>; 2]) -> Self {
        Self {
            sightings: sightings.map(|sighting| sighting.into_iter().collect()),
            is_cut: false,
        }
    }

    /// The sightings on a side.
    pub(super) fn on(&self, side: Side) -> &[Sighting] {
        &self.sightings[side as usize]
    }

    /// Adds a sighting; returns whether there was room for it.
    pub(super) fn add(&mut self, session: u16, side: Side, ts_ns: u64) -> bool {
        let sightings = &mut self.sightings[side as usize];
        let has_room = sightings.len() < TIMES_MAX;
        if has_room {
            sightings.push((session, ts_ns));
        }
        self.is_cut |= !has_room;
        has_room
    }

    /// Number of sightings.
    pub(super) fn len(&self) -> usize {
        self.sightings.iter().map(Vec::len).sum()
    }

    /// Pairs the first that left with the first that entered, and so on, if all left one
    /// session and as many entered one other session.
    pub(super) fn pairs(&self) -> Option<(Ends, Paired)> {
        let [left, entered] = &self.sightings;
        let ends = (only_session(left)?, only_session(entered)?);
        if self.is_cut || left.len() != entered.len() || ends.0 == ends.1 {
            return None;
        }
        let times = |sightings: &[Sighting]| {
            let mut times: Vec<_> = sightings.iter().map(|(_, ts_ns)| *ts_ns).collect();
            times.sort_unstable();
            times
        };
        let pairs = times(left).into_iter().zip(times(entered));
        Some((ends, pairs.map(|(left, entered)| [left, entered]).collect()))
    }
}

fn only_session(sightings: &[Sighting]) -> Option<usize> {
    let (first, _) = sightings.first()?;
    let is_only = sightings.iter().all(|(session, _)| session == first);
    is_only.then_some((*first).into())
}
