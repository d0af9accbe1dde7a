//! The measurement of one clock against another: the bounds that their packets set.
use std::borrow::Cow;

use super::affine::Affine;
use super::hull::{Hulls, Point, Slope};
use super::region::{Conflict, Region};

/// How many times contradictory bounds are removed at most.
const ROUNDS: usize = 32;

/// What the packets between two clocks prove.
#[derive(Debug)]
pub(super) struct Edge<'a> {
    /// The session whose clock is known already.
    pub(super) via: usize,
    /// The packets without outliers.
    pub(super) kept: Packets<'a>,
    /// Number of packets there and back, outliers included.
    pub(super) counts: [usize; 2],
    /// The steepest slope that a clock can have.
    pub(super) limit: Slope,
    pub(super) agreement: Agreement,
    /// The bounds on the correction to the reference clock, if `via` is right.
    pub(super) hulls: Hulls,
}

/// The packets between two clocks, as `[left, entered]`, each by the clock of its node.
#[derive(Clone, Debug)]
pub(super) struct Packets<'a> {
    pub(super) there: Cow<'a, [[u64; 2]]>,
    pub(super) back: Cow<'a, [[u64; 2]]>,
}

#[derive(Debug)]
pub(super) enum Agreement {
    /// Packets went both ways.
    Agreed {
        region: Region,
        /// Half the range of possible corrections in the middle of the recording.
        half_width_ns: u64,
    },
    /// Packets went both ways, but no clock that runs evenly fits them.
    Contradicted(Conflict),
    /// Packets went one way only.
    OneWay,
}

/// The packet entered after it left: the least possible correction.
fn lower([left, entered]: [u64; 2], line: Affine) -> Point {
    Point::new(entered, line.to_reference_ns(left))
}

/// The packet left before it entered: the greatest possible correction.
fn upper([left, entered]: [u64; 2], line: Affine) -> Point {
    Point::new(left, line.to_reference_ns(entered))
}

impl<'a> Packets<'a> {
    /// The same packets from the point of view of the other clock.
    pub(super) fn reversed(&'a self) -> Self {
        Self {
            there: Cow::Borrowed(&self.back),
            back: Cow::Borrowed(&self.there),
        }
    }

    /// The bounds that the packets set if `line` is the line of the other clock.
    fn bounds(&self, line: Affine) -> Bounds {
        let above = self.back.iter().map(|&times| upper(times, line));
        let below = self
            .there
            .iter()
            .map(|&times| lower(times, line).mirrored());
        let mut bounds = Bounds {
            above: above.collect(),
            below: below.collect(),
        };
        bounds.above.sort_unstable();
        bounds.below.sort_unstable();
        bounds
    }

    pub(super) fn hulls(&self, line: Affine) -> Hulls {
        self.bounds(line).hulls()
    }

    /// Keeps only the packets whose bounds are in `bounds`.
    fn keep(&mut self, bounds: &Bounds, line: Affine) {
        let Self { there, back } = self;
        there.to_mut().retain(|&times| {
            let point = lower(times, line).mirrored();
            bounds.below.binary_search(&point).is_ok()
        });
        back.to_mut().retain(|&times| {
            let point = upper(times, line);
            bounds.above.binary_search(&point).is_ok()
        });
    }
}

impl<'a> Edge<'a> {
    /// Measures a clock against the clock of `via`, whose line is known. None if there are no
    /// packets.
    pub(super) fn new(
        via: usize,
        line: Affine,
        limit: Slope,
        mut packets: Packets<'a>,
    ) -> Option<Self> {
        let counts = [packets.there.len(), packets.back.len()];
        let mut bounds = packets.bounds(line);
        let all = bounds.len();
        if all == 0 {
            return None;
        }
        let agreement = bounds.settle(limit);
        if bounds.len() < all {
            packets.keep(&bounds, line);
        }
        Some(Self {
            via,
            kept: packets,
            counts,
            limit,
            agreement,
            hulls: bounds.hulls(),
        })
    }

    /// Number of packets that were removed because they contradict the others.
    pub(super) fn outliers(&self) -> usize {
        let kept = self.kept.there.len() + self.kept.back.len();
        self.counts[0] + self.counts[1] - kept
    }

    pub(super) fn contradicted(&self) -> bool {
        matches!(self.agreement, Agreement::Contradicted(_))
    }

    /// The line in the middle of all possible lines. It also satisfies the bounds from clocks
    /// other than `via` if a line can.
    pub(super) fn line<'b>(&'b self, all: impl Iterator<Item = &'b Self>) -> Option<Affine> {
        if let Agreement::Contradicted(conflict) = &self.agreement {
            return Some(conflict.middle());
        }
        let sound = all.filter(|edge| !edge.contradicted());
        let joint = Hulls::union(sound.map(|edge| &edge.hulls));
        between(&joint, self.limit).or_else(|| between(&self.hulls, self.limit))
    }
}

pub(super) fn between(hulls: &Hulls, limit: Slope) -> Option<Affine> {
    match Region::new(hulls, limit) {
        Some(Ok(region)) => Some(region.middle(hulls.range()?)),
        Some(Err(_)) => None,
        None => Some(Affine::mean(&[hulls.resting_line(limit)?])),
    }
}

/// All bounds, sorted; lower bounds are mirrored.
struct Bounds {
    above: Vec<Point>,
    below: Vec<Point>,
}

impl Bounds {
    fn hulls(&self) -> Hulls {
        Hulls::of_sorted(&self.above, &self.below)
    }

    fn len(&self) -> usize {
        self.above.len() + self.below.len()
    }

    /// Finds the lines that satisfy the bounds. Among two to four bounds that contradict each
    /// other at least one is wrong: all of them are removed, so that only right ones stay,
    /// until too many are gone.
    fn settle(&mut self, limit: Slope) -> Agreement {
        let all = self.len();
        let few = (all / 32).max(4);
        let mut first = None;
        for _ in 0..ROUNDS {
            let hulls = self.hulls();
            let conflict = match Region::new(&hulls, limit) {
                Some(Ok(region)) => return agreed(region, &hulls),
                Some(Err(conflict)) => conflict,
                None => break,
            };
            self.set_aside(&conflict);
            first.get_or_insert(conflict);
            if all - self.len() > few {
                break;
            }
        }
        first.map_or(Agreement::OneWay, Agreement::Contradicted)
    }

    fn set_aside(&mut self, conflict: &Conflict) {
        let below = conflict.below.map(Point::mirrored);
        self.above.retain(|point| !conflict.above.contains(point));
        self.below.retain(|point| !below.contains(point));
    }
}

fn agreed(region: Region, hulls: &Hulls) -> Agreement {
    let (first, last) = hulls.range().unwrap_or_default();
    let (least, greatest) = region.at((first + (last - first) / 2).into());
    Agreement::Agreed {
        region,
        half_width_ns: u64::try_from((greatest - least) / 2).unwrap_or(0),
    }
}
