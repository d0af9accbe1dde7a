//! Statistics of many paths: who talks with whom, how much, how fast, and with which
//! outcome.
//!
//! - **Pairs**: sender and receiver, in this direction, and the protocol.
//! - **Segments**: from one hop to the next on the same path, as seen: a tap point
//!   without a tap is passed over. Only of paths whose hops are certain: no
//!   path that is incomplete, ambiguous, or whose packet was copied on its way
//!   (a bridge floods) is measured; those are counted as `unmeasured`.
//! - **Places**: interface and direction.
//!
//! Latencies (way and round trip too) are left out of incomplete and ambiguous
//! paths. Between two nodes (`between_nodes`) they are as uncertain as the
//! nodes' clocks are against each other.
//!
//! Memory is bounded: 2048 pairs, 2048 segments, 4096 places, 16 384 TCP flows; one more
//! row sums up all others. A latency takes 8 B a value up to 64 values, then up to 16 KiB:
//! at most 96 MiB in all when every pair has way and round trip, every table is full, and
//! the values reach from nanoseconds to a minute; a few MiB where latencies stay below a
//! millisecond and pairs are some hundreds.
mod ends;
mod latency;
mod report;
mod retransmission;
mod table;
#[cfg(test)]
pub(crate) mod tests;

use podtrace_ebpf::record::Direction;

use crate::{
    model::tap_point::Role,
    path::{Outcome, Path, ends::ends, summary::Summary},
    world::World,
};
use ends::PairKey;
pub use ends::{EndKind, EndName, EndObject, PlaceName};
use latency::Latencies;
pub use report::{Count, Latency, Pair, PlaceCount, Report, Segment, Talker, Top, Volume};
use retransmission::Retransmitted;
use table::Table;

/// Upper bound of the pairs of ends with a row of their own.
const PAIRS_MAX: usize = 2048;
/// Upper bound of the segments with a row of their own.
const SEGMENTS_MAX: usize = 2048;
/// Upper bound of the places with a row of their own.
const PLACES_MAX: usize = 4096;

/// Options of the statistics.
#[derive(Clone, Copy, Debug)]
pub struct StatsOptions {
    /// UTC nanoseconds at CLOCK_MONOTONIC zero.
    pub epoch_ns: i128,
    /// How many top talkers.
    pub top: usize,
}

/// Statistics of the paths so far.
pub struct Stats {
    options: StatsOptions,
    all: PairCount,
    pairs: Table<PairKey, PairCount>,
    segments: Table<SegmentKey, SegmentCount>,
    places: Table<PlaceName, Volume>,
    retransmitted: Retransmitted,
    unmeasured: u64,
}

/// The counts of a pair.
#[derive(Default)]
struct PairCount {
    volume: Volume,
    first_ns: Option<u64>,
    last_ns: u64,
    outcomes: [u64; Outcome::NAMES.len()],
    ambiguous: u64,
    incomplete: u64,
    retransmitted: u64,
    between_nodes: bool,
    way: Latencies,
    round_trip: Latencies,
}

/// A hop and the next one on the same path.
type SegmentKey = (PlaceName, PlaceName);

#[derive(Default)]
struct SegmentCount {
    between_nodes: bool,
    latencies: Latencies,
}

/// What one path adds to its pair and to the sum of all.
struct Addition {
    bytes: u32,
    first_ns: u64,
    outcome: Outcome,
    ambiguous: bool,
    incomplete: bool,
    retransmitted: bool,
    between_nodes: bool,
    /// Whether its path corrects one before.
    late: bool,
    way_ns: Option<u64>,
}

impl PairCount {
    fn add(&mut self, path: &Addition) {
        self.volume.add(path.bytes);
        let first_ns = self.first_ns.get_or_insert(path.first_ns);
        *first_ns = path.first_ns.min(*first_ns);
        self.last_ns = self.last_ns.max(path.first_ns);
        self.outcomes[path.outcome.index()] += 1;
        if path.late {
            // It was counted when it was not seen further.
            let not_seen = &mut self.outcomes[Outcome::NotSeenFurther.index()];
            *not_seen = not_seen.saturating_sub(1);
            self.volume.take_back(path.bytes);
        }
        self.ambiguous += u64::from(path.ambiguous);
        self.incomplete += u64::from(path.incomplete);
        self.retransmitted += u64::from(path.retransmitted);
        self.between_nodes |= path.between_nodes;
        self.way.extend(path.way_ns);
    }
}

impl Stats {
    /// Empty statistics.
    #[must_use]
    pub fn new(options: StatsOptions) -> Self {
        Self {
            options,
            all: PairCount::default(),
            pairs: Table::new(PAIRS_MAX),
            segments: Table::new(SEGMENTS_MAX),
            places: Table::new(PLACES_MAX),
            retransmitted: Retransmitted::default(),
            unmeasured: 0,
        }
    }

    /// Counts a path that has ended.
    pub fn add(&mut self, path: &Path, world: &World) {
        let Some(first) = path.hops.first() else {
            return;
        };
        let is_certain = !path.incomplete && !path.ambiguous;
        let is_delivered = path.outcome == Outcome::Delivered && path.hops.len() > 1;
        let addition = Addition {
            bytes: path.packet.length,
            first_ns: first.ts_ns,
            outcome: path.outcome,
            ambiguous: path.ambiguous,
            incomplete: path.incomplete,
            retransmitted: is_first(path) && self.retransmitted.is_repeated(&path.packet),
            between_nodes: crosses_nodes(path, world),
            late: path.late_of.is_some(),
            way_ns: (is_certain && is_delivered).then(|| path.duration_ns()),
        };
        let (from, to) = ends(path, world);
        let key = PairKey {
            from: EndName::of(&from, path.packet.link.map(|link| link.source)),
            to: EndName::of(&to, path.packet.link.map(|link| link.destination)),
            protocol: path.packet.protocol(),
        };
        self.all.add(&addition);
        if let Some(trip) = path.round_trip.as_ref().filter(|_| is_certain) {
            let ns = Some(trip.total_ns());
            self.all.round_trip.extend(ns);
            // The path is the reply's.
            self.pairs.row(key.reversed()).round_trip.extend(ns);
        }
        self.pairs.row(key).add(&addition);
        self.add_hops(path, is_certain, world);
    }

    fn add_hops(&mut self, path: &Path, is_certain: bool, world: &World) {
        let places: Vec<_> = path
            .hops
            .iter()
            .map(|hop| PlaceName::of(hop, world))
            .collect();
        let is_measured = is_certain && !is_copied(path, world);
        self.unmeasured += u64::from(!is_measured);
        if is_measured {
            for (hops, names) in path.hops.windows(2).zip(places.windows(2)) {
                let ([here, next], [from, to]) = (hops, names) else {
                    continue;
                };
                // Copies for several sockets do not follow each other.
                if here.direction == Direction::Socket {
                    continue;
                }
                let segment = self.segments.row((from.clone(), to.clone()));
                segment.between_nodes |= from.node != to.node;
                let ns = next.ts_ns.saturating_sub(here.ts_ns);
                segment.latencies.extend(Some(ns));
            }
        }
        // The first hops of a late path were counted before.
        let counted = path.late_of.map_or(0, |before| before.hops);
        for name in places.into_iter().skip(counted) {
            self.places.row(name).add(path.packet.length);
        }
    }

    /// The report, at the end of the session.
    #[must_use]
    pub fn finish(self, summary: &Summary) -> Report {
        report::report(self, summary)
    }
}

/// Whether no path before has shown the same bytes as sent at the same time.
fn is_first(path: &Path) -> bool {
    path.late_of.is_none() && path.part_of.is_none()
}

fn crosses_nodes(path: &Path, world: &World) -> bool {
    let node = |hop: &crate::path::Hop| world.tap_points.get(hop.interface).map(|place| place.node);
    path.hops
        .windows(2)
        .any(|hops| matches!(hops, [here, next] if node(here) != node(next)))
}

/// Whether the packet was copied: then the next hop in time need not be the next on its
/// way.
fn is_copied(path: &Path, world: &World) -> bool {
    let ways = |role: Role, direction: Direction| {
        path.hops
            .iter()
            .filter(|hop| hop.direction == direction)
            .filter_map(|hop| world.tap_points.get(hop.interface))
            .filter(|place| place.role == role)
            .count()
    };
    ways(Role::Veth, Direction::Egress) > 1 || ways(Role::Pod, Direction::Ingress) > 1
}
