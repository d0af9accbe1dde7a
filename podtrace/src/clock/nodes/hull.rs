//! The bounds on one clock as points, and the convex hulls of them.
use std::cmp::Ordering;

/// A bound on a clock's correction: at time `x` of that clock the correction to the reference
/// is at most, or at least, `y`. Both are in nanoseconds.
///
/// Both fit in 63 bits, so that a product of two differences fits in an `i128`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) x: i64,
    pub(super) y: i64,
}

impl Point {
    /// The correction that makes the two times equal.
    pub(super) fn new(own_ns: u64, reference_ns: u64) -> Self {
        let [x, reference] = [own_ns, reference_ns].map(|ns| i64::try_from(ns).unwrap_or(i64::MAX));
        Self {
            x,
            y: reference - x,
        }
    }

    /// Mirrors the point at the x-axis: an upper bound becomes a lower one.
    pub(super) fn mirrored(self) -> Self {
        Self {
            x: self.x,
            y: -self.y,
        }
    }
}

/// A rate as an exact fraction; `run` is positive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slope {
    pub(super) rise: i128,
    pub(super) run: i128,
}

impl Slope {
    /// The slope of the line through two points of different `x`.
    pub(super) fn between(a: Point, b: Point) -> Self {
        let (a, b) = if a.x < b.x { (a, b) } else { (b, a) };
        Self {
            rise: i128::from(b.y) - i128::from(a.y),
            run: i128::from(b.x) - i128::from(a.x),
        }
    }

    pub(super) fn ppm(ppm: i128) -> Self {
        Self {
            rise: ppm,
            run: 1_000_000,
        }
    }

    pub(super) fn negated(self) -> Self {
        Self {
            rise: -self.rise,
            run: self.run,
        }
    }

    /// `floor(rise * 2^bits / run)`.
    pub(super) fn fixed(self, bits: u32) -> i128 {
        (self.rise << bits).div_euclid(self.run)
    }

    /// `y` at `x` on the line through `point`, rounded down.
    pub(super) fn floor_at(self, point: Point, x: i128) -> i128 {
        let along = self.rise * (x - i128::from(point.x));
        i128::from(point.y) + along.div_euclid(self.run)
    }

    /// Like [`Slope::floor_at`], but rounded up.
    pub(super) fn ceil_at(self, point: Point, x: i128) -> i128 {
        -self.negated().floor_at(point.mirrored(), x)
    }
}

impl PartialEq for Slope {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Slope {}

impl PartialOrd for Slope {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Slope {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.rise * other.run).cmp(&(other.rise * self.run))
    }
}

/// The lower convex hull of sorted points, from left to right: a line that lies below these
/// lies below all points. The slopes between them increase.
pub(super) fn lower_hull(sorted: &[Point]) -> Vec<Point> {
    let mut hull: Vec<Point> = Vec::new();
    for &point in sorted {
        // Of equal times the first is the lowest.
        if hull.last().is_some_and(|last| last.x == point.x) {
            continue;
        }
        while let [.., a, b] = hull[..]
            && Slope::between(a, b) >= Slope::between(b, point)
        {
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

/// The hulls of a clock's bounds: the line of its correction lies between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Hulls {
    /// Lower hull of the upper bounds, from packets that left this clock.
    pub(super) above: Vec<Point>,
    /// Upper hull of the lower bounds, from packets that entered at this clock.
    pub(super) below: Vec<Point>,
}

impl Hulls {
    /// The hulls of the bounds of all `hulls`.
    pub(super) fn union<'a>(hulls: impl Iterator<Item = &'a Self>) -> Self {
        let (mut above, mut below) = (Vec::new(), Vec::new());
        for hull in hulls {
            above.extend_from_slice(&hull.above);
            below.extend(hull.below.iter().map(|point| point.mirrored()));
        }
        above.sort_unstable();
        below.sort_unstable();
        Self::of_sorted(&above, &below)
    }

    /// Builds hulls from sorted points; those of `below` are mirrored.
    pub(super) fn of_sorted(above: &[Point], below: &[Point]) -> Self {
        let mut below = lower_hull(below);
        below.iter_mut().for_each(|point| *point = point.mirrored());
        Self {
            above: lower_hull(above),
            below,
        }
    }

    /// The times of the first and the last bound.
    pub(super) fn range(&self) -> Option<(i64, i64)> {
        let first = [self.above.first(), self.below.first()];
        let last = [self.above.last(), self.below.last()];
        let first = first.into_iter().flatten().map(|point| point.x).min()?;
        let last = last.into_iter().flatten().map(|point| point.x).max()?;
        Some((first, last))
    }

    /// For bounds on one side only: the line no steeper than `limit` that touches them in the
    /// middle of the recording and crosses none.
    pub(super) fn resting_line(&self, limit: Slope) -> Option<(Slope, Point)> {
        if self.below.is_empty() {
            return resting(&self.above, limit);
        }
        let mirrored: Vec<Point> = self.below.iter().map(|point| point.mirrored()).collect();
        let (slope, point) = resting(&mirrored, limit)?;
        Some((slope.negated(), point.mirrored()))
    }
}

fn resting(hull: &[Point], limit: Slope) -> Option<(Slope, Point)> {
    let [first, .., last] = hull else {
        return hull.first().map(|&point| (Slope::ppm(0), point));
    };
    let middle = first.x + (last.x - first.x) / 2;
    let edge = hull.windows(2).find(|edge| edge[1].x >= middle)?;
    let slope = Slope::between(edge[0], edge[1]).clamp(limit.negated(), limit);
    let touched = hull
        .windows(2)
        .find(|edge| Slope::between(edge[0], edge[1]) >= slope);
    Some((slope, touched.map_or(*last, |edge| edge[0])))
}
