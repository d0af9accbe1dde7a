//! A clock in terms of the reference clock.
use std::sync::Arc;

use super::affine::{Affine, drift, saturate};
use super::region::Region;

/// How far a line may be from the truth.
#[derive(Clone, Debug)]
pub(super) enum Bounds {
    /// The clock is the reference, or the user gave its offset.
    Exact,
    /// The offset was not measured.
    Unknown,
    /// A file states them for some times of this clock; between two of them they are not greater
    /// than on a straight line, as they are convex in time.
    Stated(Vec<(u64, u64)>),
    /// The correction is a line of `region` if `parent`, the clock it was measured against,
    /// is right.
    Within { region: Region, parent: Arc<Line> },
}

/// A clock in terms of the reference clock: converts the times of one to times of the other.
/// All times are UTC nanoseconds by the clock in question.
#[derive(Clone, Debug)]
pub struct Line {
    affine: Affine,
    bounds: Bounds,
}

impl Line {
    pub(super) fn new(affine: Affine, bounds: Bounds) -> Self {
        Self { affine, bounds }
    }

    /// Converts a time of this clock to a time of the reference clock. The order of times is
    /// preserved.
    #[must_use]
    pub fn to_reference(&self, ts_ns: u64) -> u64 {
        self.affine.to_reference_ns(ts_ns)
    }

    /// Converts a time of the reference clock to a time of this clock.
    #[must_use]
    pub fn to_own(&self, ts_ns: u64) -> u64 {
        saturate(self.affine.to_own(ts_ns.into()))
    }

    /// How far this clock is ahead of the reference at its time `ts_ns`, in nanoseconds.
    #[must_use]
    pub fn offset_ns(&self, ts_ns: u64) -> i128 {
        i128::from(ts_ns) - self.affine.to_reference(ts_ns.into())
    }

    /// How much faster than the reference this clock runs, in parts per million.
    #[must_use]
    pub fn drift_ppm(&self) -> f64 {
        self.affine.drift() * 1e6
    }

    /// The greatest possible error of [`Line::offset_ns`], guaranteed if both clocks ran
    /// evenly. None if the clock is not known.
    #[must_use]
    pub fn uncertainty_ns(&self, ts_ns: u64) -> Option<u64> {
        let (region, parent) = match &self.bounds {
            Bounds::Exact => return Some(0),
            Bounds::Unknown => return None,
            Bounds::Stated(points) => return Some(between(points, ts_ns)),
            Bounds::Within { region, parent } => (region, parent),
        };
        let time = i128::from(ts_ns);
        let (least, greatest) = region.at(time);
        let inherited = |ns| parent.uncertainty_ns(parent.to_own(saturate(ns)));
        // The uncertainty of the parent is convex in time, so it is largest at an end.
        let inherited = inherited(time + least)?.max(inherited(time + greatest)?);
        let correction = self.affine.to_reference(time) - time;
        let own = (greatest - correction).max(correction - least);
        let rounding = 1;
        Some(saturate(own + rounding).saturating_add(inherited))
    }

    /// The greatest possible error of [`Line::drift_ppm`]; None if the clock is not known.
    #[must_use]
    pub fn drift_uncertainty_ppm(&self) -> Option<f64> {
        let (region, parent) = match &self.bounds {
            Bounds::Exact => return Some(0.0),
            Bounds::Unknown => return None,
            Bounds::Stated(points) => {
                let (first, last) = points.first().zip(points.last())?;
                let wrong = first.1 as f64 + last.1 as f64;
                return Some(wrong * 1e6 / (last.0.abs_diff(first.0).max(1)) as f64);
            }
            Bounds::Within { region, parent } => (region, parent),
        };
        let (least, greatest) = region.slopes();
        let wrong = [least, greatest].map(|slope| {
            let slope = slope.rise as f64 / slope.run as f64;
            (drift(slope) - self.affine.drift()).abs()
        });
        // Rates multiply; both are within a few thousandths of 1.
        Some(wrong[0].max(wrong[1]) * 1e6 + parent.drift_uncertainty_ppm()? * 1.01)
    }

    pub(super) fn affine(&self) -> Affine {
        self.affine
    }

    /// The same line with another conversion to the reference clock.
    pub(super) fn with(&self, affine: Affine) -> Self {
        Self::new(affine, self.bounds.clone())
    }

    pub(super) fn is_known(&self) -> bool {
        !matches!(self.bounds, Bounds::Unknown)
    }
}

/// The value at a time on the lines between points in order of time; beyond them the greatest of
/// theirs.
fn between(points: &[(u64, u64)], ts_ns: u64) -> u64 {
    let next = points.partition_point(|(at_ns, _)| *at_ns <= ts_ns);
    let before = next.checked_sub(1).and_then(|number| points.get(number));
    let greatest = || points.iter().map(|(_, value)| *value).max();
    let value = match (before, points.get(next)) {
        (Some((at_ns, value)), _) if *at_ns == ts_ns => Some(*value),
        (Some((from_ns, from)), Some((to_ns, to))) if (*from_ns..*to_ns).contains(&ts_ns) => {
            let (run, at) = (u128::from(to_ns - from_ns), u128::from(ts_ns - from_ns));
            let share = |value: u64, at: u128| u128::from(value) * at;
            let sum = share(*to, at).saturating_add(share(*from, run - at));
            u64::try_from(sum.div_ceil(run)).ok()
        }
        _ => greatest(),
    };
    value.unwrap_or(u64::MAX)
}
