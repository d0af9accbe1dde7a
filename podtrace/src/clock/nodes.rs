//! Synchronises the clocks of several nodes by the packets that two of them saw.
//!
//! A packet leaves one node before it enters the other, so each packet bounds the offset
//! between the two clocks: packets in one direction from above, packets in the other from
//! below. CLOCK_MONOTONIC runs evenly, so the offset is a straight line in time that lies
//! between all these bounds. [`Sightings::solve`] chooses one in the middle; its distance to
//! the outermost lines is its uncertainty, which is a guarantee and not an estimate. The
//! guarantee assumes that a packet travels for at least 2 ns, that nobody set a clock during
//! the recording, and that no clock is slewed by more than 500 ppm.
mod affine;
mod edge;
mod hull;
mod line;
mod reconcile;
mod region;
mod sightings;
mod solve;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

pub use line::Line;
pub use sightings::{Side, Sightings};
pub use words::{duration, signed_duration};

/// A session's clock, and how it is known.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The way from its time to the reference clock's.
    pub line: Arc<Line>,
    /// How it is known.
    pub basis: Basis,
}

/// How a clock is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// All others are in terms of this one.
    Reference,
    /// The user gave the offset.
    Given,
    /// Packets went both ways.
    Measured {
        /// Session it was measured against; if that one's clock is not known,
        /// nor is this one.
        via: usize,
        /// Packets from there.
        there: usize,
        /// Packets back.
        back: usize,
        /// How many of them were set aside since they contradict the others.
        outliers: usize,
    },
    /// Packets went both ways but contradict each other: a clock was set, or
    /// different packets were taken for one. The line is the one that violates
    /// the bounds least.
    Inconsistent {
        /// Session it was measured against.
        via: usize,
        /// Packets from there.
        there: usize,
        /// Packets back.
        back: usize,
        /// How much earlier than possible some packet comes nevertheless, in ns.
        worst_ns: u64,
    },
    /// Packets went one way only. The line is the one that makes the shortest
    /// way 0 ns: what can be said is that the clock is not beyond it.
    OneWay {
        /// Session it was measured against.
        via: usize,
        /// Packets from there; 0 if they went the other way.
        there: usize,
        /// Packets back; 0 if they went the other way.
        back: usize,
        /// With packets from there the clock is ahead of the reference by so
        /// many ns at most, with packets back at least. None if the clock of
        /// `via` is not known.
        bound_ns: Option<i64>,
    },
    /// No packet was seen here and elsewhere; the offset is taken to be 0.
    Unmeasured,
    /// Packets were seen here and elsewhere, but nothing shows which way they went; the
    /// offset is taken to be 0.
    WithoutDirections,
}

impl Clock {
    /// Whether the offset is known, within [`Line::uncertainty_ns`].
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.line.is_known()
    }
}
