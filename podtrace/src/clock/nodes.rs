//! Synchronises the clocks of several nodes by the packets that two of them saw.
//!
//! A packet leaves one node before it enters the other, so each packet bounds the offset
//! between the two clocks: packets in one direction from above, packets in the other from
//! below. CLOCK_MONOTONIC runs evenly, so the offset is a straight line in time that lies
//! between all these bounds. [`Crossings::solve`] chooses one in the middle; its distance to
//! the outermost lines is its uncertainty, which is a guarantee and not an estimate. The
//! guarantee assumes that a packet travels for at least 3 ns, that nobody set a clock during
//! the recording, and that no clock is slewed by more than 500 ppm.
//!
//! Equal packets guarantee nothing: they may be paired wrongly, as some were not recorded.
//! Among the possible lines, those that keep equal packets in order are preferred.
//! [`Crossings::doubts`] lists the packets that the line may confuse.
mod affine;
mod corrected;
mod crossings;
mod doubt;
mod edge;
mod equal;
mod hull;
mod line;
mod reconcile;
mod region;
mod solve;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

pub use corrected::CorrectedClock;
pub use crossings::{Crossings, Journey};
pub use doubt::Doubts;
pub use equal::Side;
pub use line::Line;
pub use words::{duration, signed_duration};

/// A session's clock, and the basis of that knowledge.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The conversion from its time to that of the reference clock.
    pub line: Arc<Line>,
    /// The basis of the line.
    pub basis: Basis,
}

/// The basis on which a clock is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// All other clocks are relative to this one.
    Reference,
    /// The user gave the offset.
    Given,
    /// Packets went both ways.
    Measured {
        /// Session it was measured against; if that one's clock is not known,
        /// nor is this one.
        via: usize,
        /// Number of packets from `via` to this session.
        there: usize,
        /// Number of packets from this session to `via`.
        back: usize,
        /// How many of these packets were ignored because they contradict the others.
        outliers: usize,
    },
    /// Packets went both ways but contradict each other: a clock was set, or
    /// different packets were taken for one. The line is the one that violates
    /// the bounds least.
    Inconsistent {
        /// Session it was measured against.
        via: usize,
        /// Number of packets from `via` to this session.
        there: usize,
        /// Number of packets from this session to `via`.
        back: usize,
        /// By how many nanoseconds the worst packet still arrives too early.
        worst_ns: u64,
    },
    /// Packets went one way only. The line gives the fastest packet 1 ns: the clock is not
    /// beyond this line.
    OneWay {
        /// Session it was measured against.
        via: usize,
        /// Number of packets from `via` to this session; 0 if they went the other way.
        there: usize,
        /// Number of packets from this session to `via`; 0 if they went the other way.
        back: usize,
        /// How many nanoseconds the clock is ahead of the reference: at most with packets from
        /// `via`, at least with packets to it. None if the clock of `via` is not known.
        bound_ns: Option<i64>,
    },
    /// Only packets that equal others were seen both in this session and in another. The line
    /// is right if they kept their order.
    Likely,
    /// No packet was seen both in this session and in another; the offset is assumed to be 0.
    Unmeasured,
    /// Packets were seen both in this session and in another, but nothing shows which way they
    /// went; the offset is assumed to be 0.
    WithoutDirections,
}

impl Clock {
    /// Whether the offset is known, within [`Line::uncertainty_ns`].
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.line.is_known()
    }
}
