//! Combines measurements of pairs of clocks: a tree of the best ones.
use std::sync::Arc;

use super::crossings::{Crossings, Journeys};
use super::edge::{Agreement, Edge, Packets};
use super::equal::Pairs;
use super::hull::{Hulls, Slope};
use super::reconcile::{Movable, reconcile};
use super::{Basis, Clock};
use super::{
    affine::Affine,
    line::{Bounds, Line},
};
use crate::order::Order as _;

/// Two clocks, each slewed by at most 500 ppm (the kernel's limit for NTP), and the product
/// of the two.
const RATE_LIMIT_PPM: i128 = 1001;

impl Crossings {
    /// Computes each session's clock in terms of the first one's. `given` holds the offsets
    /// that the user knows: by how many nanoseconds a session's clock is ahead of the first.
    ///
    /// After the correction a packet enters a session later than it left the other.
    /// There are three exceptions: outliers, packets of [`Basis::Inconsistent`] clocks, and
    /// packets between sessions that were not measured against each other where no solution
    /// satisfies all; the last are wrong by less than the stated uncertainty.
    #[must_use]
    pub fn solve(&self, given: &[Option<i64>]) -> Vec<Clock> {
        let mut clocks = solve(self.sessions(), &self.journeys(), &self.pairs(), given);
        for (session, clock) in clocks.iter_mut().enumerate() {
            if clock.basis == Basis::Unmeasured && self.shares(session) {
                clock.basis = Basis::WithoutDirections;
            }
        }
        clocks
    }
}

pub(super) fn solve(
    sessions: usize,
    journeys: &Journeys,
    pairs: &Pairs,
    given: &[Option<i64>],
) -> Vec<Clock> {
    let mut tree = Tree {
        journeys,
        pairs,
        placed: Vec::new(),
        waiting: (0..sessions).map(Waiting::new).collect(),
        edges: Vec::new(),
    };
    for session in 0..sessions {
        let clock = match given.get(session).copied().flatten() {
            _ if session == 0 => Clock::exact(0, Basis::Reference),
            Some(offset_ns) => Clock::exact(offset_ns, Basis::Given),
            None => continue,
        };
        tree.point(session, clock, Cost::default());
    }
    while let Some((session, clock, cost)) = tree.best() {
        tree.point(session, clock, cost);
    }
    tree.placed.order_by_key(|placed| placed.session);
    tree.reconcile();
    tree.placed.into_iter().map(|placed| placed.clock).collect()
}

/// Each step to the reference adds an error. The cap keeps rates well above zero.
fn rate_limit(steps: u16) -> Slope {
    Slope::ppm(RATE_LIMIT_PPM * i128::from(steps.min(100)))
}

/// The quality of a clock, best first: by kind, then by width, then by steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    kind: Kind,
    half_width_ns: u64,
    steps: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    #[default]
    Known,
    Contradicted,
    OneWay,
    Likely,
    Unmeasured,
}

struct Tree<'a> {
    journeys: &'a Journeys,
    pairs: &'a Pairs,
    placed: Vec<Placed>,
    waiting: Vec<Waiting<'a>>,
    /// The edges of the placed sessions, each with its session.
    edges: Vec<(usize, Edge<'a>)>,
}

struct Placed {
    session: usize,
    clock: Clock,
    limit: Slope,
}

/// A session whose clock is not chosen yet.
struct Waiting<'a> {
    session: usize,
    edges: Vec<(Cost, Edge<'a>)>,
}

impl<'a> Waiting<'a> {
    fn new(session: usize) -> Self {
        Self {
            session,
            edges: Vec::new(),
        }
    }

    fn best(&self) -> Option<&(Cost, Edge<'a>)> {
        self.edges.iter().min_by_key(|(cost, _)| *cost)
    }

    fn cost(&self) -> Cost {
        let unmeasured = Cost {
            kind: Kind::Unmeasured,
            ..Cost::default()
        };
        self.best().map_or(unmeasured, |(cost, _)| *cost)
    }
}

impl Tree<'_> {
    /// Fixes the clock of a session, and measures the waiting ones against it.
    fn point(&mut self, session: usize, clock: Clock, cost: Cost) {
        if let Some(index) = self.waiting.iter().position(|it| it.session == session) {
            let edges = self.waiting.remove(index).edges;
            self.edges
                .extend(edges.into_iter().map(|(_, edge)| (session, edge)));
        }
        let journeys = |ends| self.journeys.get(&ends).map_or(&[][..], Vec::as_slice);
        let pairs = |ends| self.pairs.get(&ends).into_iter().flatten();
        for waiting in &mut self.waiting {
            let (there, back) = ((session, waiting.session), (waiting.session, session));
            let packets = Packets::new(journeys(there), journeys(back));
            let likely = pairs(there).map(|there| Packets::new(there, &[]));
            let likely = likely.chain(pairs(back).map(|back| Packets::new(&[], back)));
            let limit = rate_limit(cost.steps.saturating_add(1));
            if let Some(edge) = Edge::new(session, clock.line.affine(), limit, packets, likely) {
                waiting.edges.push((cost.and(&edge), edge));
            }
        }
        self.placed.push(Placed {
            session,
            clock,
            limit: rate_limit(cost.steps),
        });
    }

    /// Makes each clock fit also those it was not measured against, if possible. `placed` is
    /// in the order of sessions.
    fn reconcile(&mut self) {
        self.edges.retain(|(_, edge)| !edge.contradicted());
        // A clock measured against a single other one fits it already.
        if self.edges.windows(2).all(|pair| pair[0].0 != pair[1].0) {
            return;
        }
        let movable = |placed: &Placed| match placed.clock.basis {
            Basis::Measured { .. } | Basis::OneWay { .. } => Some(Movable {
                session: placed.session,
                limit: placed.limit,
            }),
            _ => None,
        };
        let movable: Vec<Movable> = self.placed.iter().filter_map(movable).collect();
        let lines = self.placed.iter().map(|placed| placed.clock.line.affine());
        let Some(lines) = reconcile(lines.collect(), &movable, &self.edges) else {
            return;
        };
        for (Placed { clock, .. }, line) in self.placed.iter_mut().zip(lines) {
            clock.line = Arc::new(clock.line.with(line));
        }
    }

    /// The waiting session with the best measurement, and its clock.
    fn best(&self) -> Option<(usize, Clock, Cost)> {
        let waiting = self.waiting.iter().min_by_key(|waiting| waiting.cost())?;
        let clock = waiting.best().and_then(|(_, edge)| {
            let affine = edge.line(waiting.edges.iter().map(|(_, edge)| edge))?;
            let parent = self
                .placed
                .iter()
                .find(|placed| placed.session == edge.via)?;
            Some(Clock::measured(affine, edge, &parent.clock.line))
        });
        let clock = clock.unwrap_or_else(Clock::unmeasured);
        Some((waiting.session, clock, waiting.cost()))
    }
}

impl Cost {
    /// The cost of a clock measured by `edge` against a clock of this cost.
    fn and(self, edge: &Edge) -> Self {
        let (kind, half_width_ns) = match edge.agreement {
            Agreement::Agreed { half_width_ns, .. } => (Kind::Known, half_width_ns),
            Agreement::Contradicted(_) => (Kind::Contradicted, 0),
            Agreement::OneWay => (Kind::OneWay, 0),
            Agreement::Likely => (Kind::Likely, 0),
        };
        Self {
            kind: self.kind.max(kind),
            half_width_ns: self.half_width_ns.saturating_add(half_width_ns),
            steps: self.steps.saturating_add(1),
        }
    }
}

impl Clock {
    fn exact(offset_ns: i64, basis: Basis) -> Self {
        let affine = Affine::constant(offset_ns.saturating_neg());
        Self {
            line: Arc::new(Line::new(affine, Bounds::Exact)),
            basis,
        }
    }

    fn unmeasured() -> Self {
        Self {
            line: Arc::new(Line::new(Affine::default(), Bounds::Unknown)),
            basis: Basis::Unmeasured,
        }
    }

    fn measured(affine: Affine, edge: &Edge, parent: &Arc<Line>) -> Self {
        let Edge {
            via,
            counts: [there, back],
            ..
        } = *edge;
        let mut bounds = Bounds::Unknown;
        let basis = match &edge.agreement {
            Agreement::Agreed { region, .. } => {
                if parent.is_known() {
                    bounds = Bounds::Within {
                        region: region.clone(),
                        parent: Arc::clone(parent),
                    };
                }
                Basis::Measured {
                    via,
                    there,
                    back,
                    outliers: edge.outliers(),
                }
            }
            Agreement::Contradicted(conflict) => Basis::Inconsistent {
                via,
                there,
                back,
                worst_ns: conflict.worst_ns(),
            },
            Agreement::OneWay => Basis::OneWay {
                via,
                there,
                back,
                bound_ns: one_way_bound(&edge.hulls, parent),
            },
            Agreement::Likely => Basis::Likely,
        };
        Self {
            line: Arc::new(Line::new(affine, bounds)),
            basis,
        }
    }
}

/// How far the clock is ahead at most (packets there) or at least (packets back), at the time
/// of the packet with the tightest bound.
fn one_way_bound(hulls: &Hulls, parent: &Line) -> Option<i64> {
    let most = hulls.below.iter().map(|point| (point.y, point.x)).max();
    let least = hulls.above.iter().map(|point| (point.y, point.x)).min();
    let ((y, x), outward) = most
        .map(|most| (most, 1))
        .or(least.map(|least| (least, -1)))?;
    let seen = parent.to_own(u64::try_from(x.saturating_add(y)).ok()?);
    let wrong = i64::try_from(parent.uncertainty_ns(seen)?).ok()?;
    y.checked_neg()?.checked_add(wrong.checked_mul(outward)?)
}
