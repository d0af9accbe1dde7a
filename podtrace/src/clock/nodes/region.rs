//! The set of all lines between the bounds.
//!
//! A line is a point (slope, height). The lines between the bounds form a convex polygon;
//! its corners, ordered by slope, are lines that touch the hulls.
use super::affine::Affine;
use super::hull::{Hulls, Point, Slope};

/// Two parallel lines that touch the hulls: the highest and the lowest line of a slope. In a
/// list, each line also goes through the point of the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Corner {
    pub(super) slope: Slope,
    pub(super) above: Point,
    pub(super) below: Point,
}

impl Corner {
    /// Whether a line of this slope fits between the hulls.
    fn fits(&self) -> bool {
        let room = (i128::from(self.above.y) - i128::from(self.below.y)) * self.slope.run;
        let needed = (i128::from(self.above.x) - i128::from(self.below.x)) * self.slope.rise;
        room >= needed
    }

    /// The corner where the two lines coincide.
    fn closed(&self) -> Self {
        Self {
            slope: Slope::between(self.above, self.below),
            ..*self
        }
    }
}

/// The polygon of the lines that satisfy all bounds; never empty.
#[derive(Clone, Debug)]
pub(super) struct Region {
    flattest: Corner,
    /// The other corners by increasing slope: `above.x` never decreases, `below.x` never
    /// increases.
    steeper: Vec<Corner>,
}

/// Bounds that no line satisfies.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    /// The corner with the smallest overlap.
    corner: Corner,
    /// Two to four bounds that contradict each other: the upper ones …
    pub(super) above: [Point; 2],
    /// … and the lower ones.
    pub(super) below: [Point; 2],
}

impl Conflict {
    /// The line that violates the bounds least.
    pub(super) fn middle(&self) -> Affine {
        let Corner {
            slope,
            above,
            below,
        } = self.corner;
        Affine::mean(&[(slope, above), (slope, below)])
    }

    /// By how much the best line violates a bound, in nanoseconds.
    pub(super) fn worst_ns(&self) -> u64 {
        let Corner {
            slope,
            above,
            below,
        } = self.corner;
        let overlap = slope.ceil_at(below, above.x.into()) - i128::from(above.y);
        u64::try_from((overlap + 1) / 2).unwrap_or(u64::MAX)
    }
}

impl Region {
    /// Finds the lines no steeper than `limit` that satisfy the bounds. None if one side has
    /// no bounds.
    pub(super) fn new(hulls: &Hulls, limit: Slope) -> Option<Result<Self, Conflict>> {
        let corners = corners(hulls, limit)?;
        // The room between the lines grows with the slope while the upper point lies left
        // of the lower one.
        let peak = corners
            .get(1..)?
            .partition_point(|next| next.above.x < next.below.x);
        let corner = *corners.get(peak)?;
        let next = *corners.get(peak + 1).unwrap_or(&corner);
        if !corner.fits() {
            return Some(Err(Conflict {
                corner,
                above: [corner.above, next.above],
                below: [corner.below, next.below],
            }));
        }
        let (rising, falling) = corners.split_at(peak);
        let first = rising.partition_point(|corner| !corner.fits());
        let end = peak + falling.partition_point(Corner::fits);
        let fitting = corners.get(first..end)?;
        let mut kept = Vec::with_capacity(fitting.len() + 1);
        if first > 0 {
            kept.push(fitting.first()?.closed());
        }
        kept.extend_from_slice(fitting);
        kept.extend(corners.get(end).map(Corner::closed));
        Some(Ok(Self {
            flattest: kept.remove(0),
            steeper: kept,
        }))
    }

    /// The corner whose upper line is highest at `x`.
    fn highest(&self, x: i128) -> &Corner {
        let steeper = self
            .steeper
            .partition_point(|corner| i128::from(corner.above.x) < x);
        self.corner(steeper)
    }

    /// The corner whose lower line is lowest at `x`.
    fn lowest(&self, x: i128) -> &Corner {
        let steeper = self
            .steeper
            .partition_point(|corner| i128::from(corner.below.x) > x);
        self.corner(steeper)
    }

    fn corner(&self, index: usize) -> &Corner {
        let steeper = index
            .checked_sub(1)
            .and_then(|index| self.steeper.get(index));
        steeper.unwrap_or(&self.flattest)
    }

    /// The least and the greatest possible correction at `x`, rounded outward.
    pub(super) fn at(&self, x: i128) -> (i128, i128) {
        let (lowest, highest) = (self.lowest(x), self.highest(x));
        (
            lowest.slope.floor_at(lowest.below, x),
            highest.slope.ceil_at(highest.above, x),
        )
    }

    /// The least and the greatest possible slope.
    pub(super) fn slopes(&self) -> (Slope, Slope) {
        let steepest = self.steeper.last().unwrap_or(&self.flattest);
        (self.flattest.slope, steepest.slope)
    }

    /// The mean of the lines at all corners. It is in the region, since the region is convex,
    /// and touches no bound unless all lines do.
    pub(super) fn middle(&self) -> Affine {
        let corners = [&self.flattest].into_iter().chain(&self.steeper);
        let lines =
            corners.flat_map(|corner| [(corner.slope, corner.above), (corner.slope, corner.below)]);
        Affine::mean(&lines.collect::<Vec<_>>())
    }
}

/// The lines that touch the hulls, at each slope where the touched point changes and at both
/// limits. Each corner names the points that slopes just below its own touch.
fn corners(hulls: &Hulls, limit: Slope) -> Option<Vec<Corner>> {
    let (mut above, mut below) = (&hulls.above[..], &hulls.below[..]);
    let mut slope = limit.negated();
    let mut corners = Vec::new();
    advance(&mut above, &mut below, slope);
    loop {
        corners.push(Corner {
            slope,
            above: *above.first()?,
            below: *below.last()?,
        });
        if slope >= limit {
            return Some(corners);
        }
        advance(&mut above, &mut below, slope);
        let edges = [upper_edge(above), lower_edge(below)];
        slope = edges.into_iter().flatten().fold(limit, Slope::min);
    }
}

/// Drops the points that lines steeper than `slope` do not touch.
fn advance(above: &mut &[Point], below: &mut &[Point], slope: Slope) {
    while let [_, rest @ ..] = above
        && upper_edge(above).is_some_and(|edge| edge <= slope)
    {
        *above = rest;
    }
    while let [rest @ .., _] = below
        && lower_edge(below).is_some_and(|edge| edge <= slope)
    {
        *below = rest;
    }
}

fn upper_edge(above: &[Point]) -> Option<Slope> {
    match above {
        [a, b, ..] => Some(Slope::between(*a, *b)),
        _ => None,
    }
}

fn lower_edge(below: &[Point]) -> Option<Slope> {
    match below {
        [.., a, b] => Some(Slope::between(*a, *b)),
        _ => None,
    }
}
