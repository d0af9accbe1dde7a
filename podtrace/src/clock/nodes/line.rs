//! A clock in terms of the reference clock.
use std::sync::Arc;

use super::affine::{Affine, drift, saturate};
use super::region::Region;

/// How far the truth may be away.
#[derive(Clone, Debug)]
pub(super) enum Bounds {
    /// It is the reference, or the user said so.
    Exact,
    /// Nobody knows.
    Unknown,
    /// The correction is one of `region`, if `parent` (the clock it was
    /// measured against) is right.
    Within { region: Region, parent: Arc<Line> },
}

/// A clock in terms of the reference clock: times of one become times of the
/// other. All times are UTC nanoseconds by the clock in question.
#[derive(Clone, Debug)]
pub struct Line {
    affine: Affine,
    bounds: Bounds,
}

impl Line {
    pub(super) fn new(affine: Affine, bounds: Bounds) -> Self {
        Self { affine, bounds }
    }

    /// A time of this clock as the reference clock would have said it. Order
    /// is kept: a later time never becomes an earlier one.
    #[must_use]
    pub fn to_reference(&self, ts_ns: u64) -> u64 {
        self.affine.to_reference_ns(ts_ns)
    }

    /// A time of the reference clock as this clock would have said it.
    #[must_use]
    pub fn to_own(&self, ts_ns: u64) -> u64 {
        saturate(self.affine.to_own(ts_ns.into()))
    }

    /// How far this clock is ahead of the reference when it says `ts_ns`.
    #[must_use]
    pub fn offset_ns(&self, ts_ns: u64) -> i128 {
        i128::from(ts_ns) - self.affine.to_reference(ts_ns.into())
    }

    /// How much faster than the reference this clock runs, in parts per million.
    #[must_use]
    pub fn drift_ppm(&self) -> f64 {
        self.affine.drift() * 1e6
    }

    /// How wrong [`Line::offset_ns`] can be, as long as both clocks ran evenly:
    /// a guarantee. None if the clock is not known.
    #[must_use]
    pub fn uncertainty_ns(&self, ts_ns: u64) -> Option<u64> {
        let (region, parent) = match &self.bounds {
            Bounds::Exact => return Some(0),
            Bounds::Unknown => return None,
            Bounds::Within { region, parent } => (region, parent),
        };
        let time = i128::from(ts_ns);
        let (least, greatest) = region.at(time);
        let inherited = |ns| parent.uncertainty_ns(parent.to_own(saturate(ns)));
        // The parent's uncertainty is convex in time, so largest at an end.
        let inherited = inherited(time + least)?.max(inherited(time + greatest)?);
        let correction = self.affine.to_reference(time) - time;
        let own = (greatest - correction).max(correction - least);
        let rounding = 1;
        Some(saturate(own + rounding).saturating_add(inherited))
    }

    /// How wrong [`Line::drift_ppm`] can be; none if the clock is not known.
    #[must_use]
    pub fn drift_uncertainty_ppm(&self) -> Option<f64> {
        let (region, parent) = match &self.bounds {
            Bounds::Exact => return Some(0.0),
            Bounds::Unknown => return None,
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

    /// The same but for the way to the reference clock.
    pub(super) fn with(&self, affine: Affine) -> Self {
        Self::new(affine, self.bounds.clone())
    }

    pub(super) fn is_known(&self) -> bool {
        !matches!(self.bounds, Bounds::Unknown)
    }
}
