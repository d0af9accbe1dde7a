//! The conversion from one clock to another: a line in time.
use super::hull::{Point, Slope};

/// Binary digits of a fraction. An `i128` holds 2^63 ns beside them; the rounding of a rate
/// adds 0.0001 ns in a day.
const BITS: u32 = 60;

/// Upper bound of a stated rate: a hundredth.
const MAX_RATE: i128 = (1 << BITS) / 100;

/// The correction of a clock's time, `correction + rate * (time - origin)`; both factors are
/// fractions of [`BITS`] binary digits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Affine {
    origin: i128,
    correction: i128,
    rate: i128,
}

impl Affine {
    pub(super) fn constant(correction_ns: i64) -> Self {
        Self {
            correction: i128::from(correction_ns) << BITS,
            ..Self::default()
        }
    }

    /// The line through two points, each a time of this clock and its correction; a constant if
    /// no clock runs like this.
    pub(super) fn through([first, last]: [(u64, i64); 2]) -> Self {
        let run = i128::from(last.0) - i128::from(first.0);
        let rise = (i128::from(last.1) - i128::from(first.1)) << BITS;
        let rate = rise.checked_div(run).unwrap_or_default();
        Self {
            origin: first.0.into(),
            correction: i128::from(first.1) << BITS,
            rate: if rate.abs() < MAX_RATE { rate } else { 0 },
        }
    }

    /// Returns the mean of lines, each given by its slope and a point.
    pub(super) fn mean(lines: &[(Slope, Point)]) -> Self {
        let origin = lines.first().map_or(0, |(_, point)| i128::from(point.x));
        let count = (lines.len() as i128).max(1);
        let (mut correction, mut rate) = (0, 0);
        for (slope, point) in lines {
            let slope = slope.fixed(BITS);
            let here = (i128::from(point.y) << BITS) + slope * (origin - i128::from(point.x));
            // Adds shares, as a sum could overflow.
            rate += slope.div_euclid(count);
            correction += here.div_euclid(count);
        }
        Self {
            origin,
            correction,
            rate,
        }
    }

    /// Rounds to the nearest nanosecond, so that a line within bounds in whole nanoseconds
    /// stays within them when it is evaluated.
    pub(super) fn to_reference(self, ns: i128) -> i128 {
        let fraction = self.correction + self.rate * (ns - self.origin);
        ns + ((fraction + (1 << (BITS - 1))) >> BITS)
    }

    pub(super) fn to_reference_ns(self, ts_ns: u64) -> u64 {
        saturate(self.to_reference(ts_ns.into()))
    }

    pub(super) fn to_own(self, ns: i128) -> i128 {
        let fraction = ((ns - self.origin) << BITS) - self.correction;
        self.origin + fraction.div_euclid((1 << BITS) + self.rate)
    }

    /// The ratio of this clock's rate to the reference's, minus one.
    pub(super) fn drift(self) -> f64 {
        drift(self.rate as f64 / (1_u64 << BITS) as f64)
    }
}

/// Converts the slope of a correction to a fraction.
pub(super) fn drift(slope: f64) -> f64 {
    -slope / (1.0 + slope)
}

pub(super) fn saturate(ns: i128) -> u64 {
    u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
}
