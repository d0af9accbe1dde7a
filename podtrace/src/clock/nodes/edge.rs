//! The measurement of one clock against another: the bounds that their packets set.
use std::borrow::Cow;

use super::affine::Affine;
use super::hull::{Hulls, Point, Slope};
use super::region::{Conflict, Region};

/// How many times contradictory bounds are removed at most.
const ROUNDS: usize = 32;

/// The bounds that the packets between two clocks prove.
#[derive(Debug)]
pub(super) struct Edge<'a> {
    /// The session whose clock is known already.
    pub(super) via: usize,
    /// The packets without outliers.
    pub(super) kept: Packets<'a>,
    /// Number of packets from `via` and to it, outliers included.
    pub(super) counts: [usize; 2],
    /// The steepest slope that a clock can have.
    pub(super) limit: Slope,
    pub(super) agreement: Agreement,
    /// The bounds on the correction to the reference clock, if `via` is right.
    pub(super) hulls: Hulls,
    /// The bounds that the equal packets of each key set, if they are paired rightly.
    likely: Vec<Hulls>,
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
    /// Only packets that equal others went.
    Likely,
}

/// The least time that a packet is under way by the corrected clocks, in nanoseconds: an
/// arrival is later than its departure. A packet that takes 3 ns satisfies this: rounding two
/// readings to whole nanoseconds costs 1 ns and the drift meanwhile.
const LEAST_NS: u64 = 1;

/// The packet entered after it left: the least possible correction.
fn lower([left, entered]: [u64; 2], line: Affine) -> Point {
    Point::new(entered, line.to_reference_ns(left).saturating_add(LEAST_NS))
}

/// The packet left before it entered: the greatest possible correction.
fn upper([left, entered]: [u64; 2], line: Affine) -> Point {
    Point::new(left, line.to_reference_ns(entered).saturating_sub(LEAST_NS))
}

impl<'a> Packets<'a> {
    pub(super) fn new(there: &'a [[u64; 2]], back: &'a [[u64; 2]]) -> Self {
        Self {
            there: Cow::Borrowed(there),
            back: Cow::Borrowed(back),
        }
    }

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
    /// packets. `likely`: the packets that are paired rightly only if those of their key are.
    pub(super) fn new(
        via: usize,
        line: Affine,
        limit: Slope,
        mut packets: Packets<'a>,
        likely: impl Iterator<Item = Packets<'a>>,
    ) -> Option<Self> {
        let counts = [packets.there.len(), packets.back.len()];
        let likely: Vec<Hulls> = likely.map(|packets| packets.hulls(line)).collect();
        let mut bounds = packets.bounds(line);
        let all = bounds.len();
        let agreement = match (all, likely.is_empty()) {
            (0, true) => return None,
            (0, false) => Agreement::Likely,
            _ => bounds.settle(limit),
        };
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
            likely,
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
    /// other than `via`, and then the likely ones, if a line can.
    pub(super) fn line<'b>(
        &'b self,
        all: impl Iterator<Item = &'b Self> + Clone,
    ) -> Option<Affine> {
        if let Agreement::Contradicted(conflict) = &self.agreement {
            return Some(conflict.middle());
        }
        let sound = all.filter(|edge| !edge.contradicted());
        let joint = Hulls::union(sound.clone().map(|edge| &edge.hulls));
        let mut hulls = if contradict(&joint, self.limit) {
            self.hulls.clone()
        } else {
            joint
        };
        for likely in sound.flat_map(|edge| &edge.likely) {
            let more = Hulls::union([&hulls, likely].into_iter());
            if !contradict(&more, self.limit) {
                hulls = more;
            }
        }
        between(&hulls, self.limit)
    }
}

fn contradict(hulls: &Hulls, limit: Slope) -> bool {
    matches!(Region::new(hulls, limit), Some(Err(_)))
}

pub(super) fn between(hulls: &Hulls, limit: Slope) -> Option<Affine> {
    match Region::new(hulls, limit) {
        Some(Ok(region)) => Some(region.middle()),
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

    /// Finds the lines that satisfy the bounds. Of two to four bounds that contradict each
    /// other at least one is wrong: all of them are removed, until the rest agree or too many
    /// were removed.
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
