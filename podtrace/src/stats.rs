//! Statistics of many paths: who sends to whom, how much, how fast, and with which outcome.
//!
//! - **Pairs**: sender and receiver, in this direction, and the protocol.
//! - **Segments**: from one hop to the next on the same path, as observed: an interface
//!   without a tap is skipped. Only paths with certain hops are measured; a path that is
//!   incomplete, ambiguous, or whose packet was copied on its way (a bridge floods) is counted
//!   as `unmeasured`.
//! - **Places**: interface and direction.
//!
//! Latencies are left out of incomplete and ambiguous paths, but for a round trip whose
//! request and reply one interface saw at their ends: no hop between them changes it. Between two nodes (`between_nodes`) they are as uncertain as the
//! nodes' clocks are against each other.
//!
//! Memory is bounded: 2048 pairs, 2048 segments, 4096 tap points, 16 384 TCP flows; one more
//! row sums up all others. A latency takes 8 B a value up to 64 values, then up to 16 KiB:
//! at most 96 MiB in all when every pair has way and round trip, every table is full, and
//! the values reach from nanoseconds to a minute; a few MiB where latencies stay below a
//! millisecond and pairs are some hundreds. Kept by time too, segments take 96 columns each.
mod ends;
pub mod flows;
mod latency;
pub mod over_time;
mod report;
mod retransmission;
mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::mem;

use podtrace_ebpf::record::Direction;

use crate::{
    model::tap_point::Role,
    path::{LateOf, Outcome, Path, ends::ends, summary::Summary},
    world::World,
};
use ends::PairKey;
pub use ends::{EndKind, EndName, EndObject, TapPointName};
use latency::Latencies;
use over_time::{Columns, cell, halve};
pub use report::{
    Count, Flow, FlowEnd, Latency, Pair, Report, Segment, Talker, TapPointCount, Top, Volume,
};
use retransmission::Retransmitted;
use table::Table;

/// Upper bound of the pairs of ends with a row of their own.
const PAIRS_MAX: usize = 2048;
/// Upper bound of the segments with a row of their own.
const SEGMENTS_MAX: usize = 2048;
/// Upper bound of the tap points with a row of their own.
const TAP_POINTS_MAX: usize = 4096;

/// Options of the statistics.
#[derive(Clone, Copy, Debug)]
pub struct StatsOptions {
    /// UTC nanoseconds at CLOCK_MONOTONIC zero.
    pub epoch_ns: i128,
    /// The number of top talkers.
    pub top: usize,
    /// Whether the segments' latencies are also kept by time.
    pub over_time: bool,
}

/// Statistics of the paths so far.
pub struct Stats {
    options: StatsOptions,
    all: PairCount,
    pairs: Table<PairKey, PairCount>,
    segments: Table<SegmentKey, SegmentCount>,
    tap_points: Table<TapPointName, Volume>,
    retransmitted: Retransmitted,
    unmeasured: u64,
    columns: Columns,
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
type SegmentKey = (TapPointName, TapPointName);

#[derive(Default)]
struct SegmentCount {
    between_nodes: bool,
    latencies: Latencies,
    /// The same by column, if that was asked for.
    over_time: Vec<over_time::Latencies>,
}

/// The latencies of a segment by column.
pub type SegmentOverTime = (SegmentKey, Vec<over_time::Latencies>);

/// The contribution of a path to its pair and to the total.
struct Addition {
    bytes: u32,
    first_ns: u64,
    outcome: Outcome,
    ambiguous: bool,
    incomplete: bool,
    retransmitted: bool,
    between_nodes: bool,
    /// The earlier path that its path corrects.
    corrects: Option<LateOf>,
    way_ns: Option<u64>,
}

impl PairCount {
    fn add(&mut self, path: &Addition) {
        self.volume.add(path.bytes);
        let first_ns = self.first_ns.get_or_insert(path.first_ns);
        *first_ns = path.first_ns.min(*first_ns);
        self.last_ns = self.last_ns.max(path.first_ns);
        self.outcomes[path.outcome.index()] += 1;
        self.ambiguous += u64::from(path.ambiguous);
        self.incomplete += u64::from(path.incomplete);
        if let Some(before) = path.corrects {
            self.volume.take_back(path.bytes);
            let counted = [
                (&mut self.outcomes[before.outcome.index()], true),
                (&mut self.ambiguous, before.ambiguous),
                (&mut self.incomplete, before.incomplete),
            ];
            for (count, was_counted) in counted {
                *count = count.saturating_sub(u64::from(was_counted));
            }
        }
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
            tap_points: Table::new(TAP_POINTS_MAX),
            retransmitted: Retransmitted::default(),
            unmeasured: 0,
            columns: Columns::default(),
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
            corrects: path.late_of,
            way_ns: (is_certain && is_delivered && !is_known(path)).then(|| path.duration_ns()),
        };
        let (from, to) = ends(path, world);
        let key = PairKey {
            from: EndName::of(&from, path.packet.link.map(|link| link.source)),
            to: EndName::of(&to, path.packet.link.map(|link| link.destination)),
            protocol: path.packet.protocol(),
        };
        self.all.add(&addition);
        if let Some(trip) = path.measured_trip().filter(|_| !is_known(path)) {
            let ns = Some(trip.total_ns());
            self.all.round_trip.extend(ns);
            // The path belongs to the reply.
            self.pairs.row(key.reversed()).round_trip.extend(ns);
        }
        self.pairs.row(key).add(&addition);
        self.add_hops(path, is_certain, world);
    }

    fn add_hops(&mut self, path: &Path, is_certain: bool, world: &World) {
        let tap_points: Vec<_> = path
            .hops
            .iter()
            .map(|hop| TapPointName::of(hop, world))
            .collect();
        let is_measured = is_certain && !is_copied(path, world);
        // The first hops of a late path are counted already.
        let counted = path.late_of.map_or(0, |before| before.hops);
        let was_uncertain = path
            .late_of
            .is_some_and(|before| before.ambiguous || before.incomplete);
        self.unmeasured += u64::from(!is_measured && !was_uncertain && !is_known(path));
        if is_measured {
            let pairs = path.hops.windows(2).zip(tap_points.windows(2));
            for (hops, names) in pairs.skip(counted.saturating_sub(1)) {
                let ([here, next], [from, to]) = (hops, names) else {
                    continue;
                };
                // Copies for several sockets do not follow each other.
                let is_shown = path.shows(here) && path.shows(next);
                if here.direction == Direction::Socket || !is_shown {
                    continue;
                }
                let column = self.options.over_time.then(|| self.column(here.ts_ns));
                let segment = self.segments.row((from.clone(), to.clone()));
                segment.between_nodes |= from.node != to.node;
                let ns = next.ts_ns.saturating_sub(here.ts_ns);
                segment.latencies.extend(Some(ns));
                let cell = column.and_then(|column| cell(&mut segment.over_time, column));
                if let Some(cell) = cell {
                    cell.add(ns);
                }
            }
        }
        for (name, hop) in tap_points.into_iter().zip(&path.hops).skip(counted) {
            if path.shows(hop) {
                self.tap_points.row(name).add(path.packet.length);
            }
        }
    }

    /// The column of a time.
    fn column(&mut self, ts_ns: u64) -> usize {
        let Self {
            columns, segments, ..
        } = self;
        columns.of(ts_ns, || {
            let rows = segments.rows_mut();
            rows.for_each(|segment| halve(&mut segment.over_time));
        })
    }

    /// The latencies of the segments by column, in any order.
    #[must_use]
    pub fn take_over_time(&mut self) -> (Columns, Vec<SegmentOverTime>) {
        let rows = self.segments.named_mut();
        let taken = rows.map(|(key, segment)| (key.clone(), mem::take(&mut segment.over_time)));
        (self.columns, taken.collect())
    }

    /// The report, at the end of the session.
    #[must_use]
    pub fn finish(self, summary: &Summary) -> Report {
        report::report(self, summary)
    }
}

/// Whether no earlier path has shown the same bytes as sent at the same time.
fn is_first(path: &Path) -> bool {
    path.late_of.is_none() && path.part_of.is_none()
}

/// Whether an earlier path has shown all its hops.
fn is_known(path: &Path) -> bool {
    path.late_of
        .is_some_and(|before| before.hops >= path.hops.len())
}

fn crosses_nodes(path: &Path, world: &World) -> bool {
    let node = |hop: &crate::path::Hop| {
        world
            .tap_points
            .get(hop.interface)
            .map(|tap_point| tap_point.node)
    };
    path.hops
        .windows(2)
        .any(|hops| matches!(hops, [here, next] if node(here) != node(next)))
}

/// Whether the packet was copied: the next hop in time may then belong to another copy.
fn is_copied(path: &Path, world: &World) -> bool {
    let ways = |role: Role, direction: Direction| {
        path.hops
            .iter()
            .filter(|hop| hop.direction == direction)
            .filter_map(|hop| world.tap_points.get(hop.interface))
            .filter(|tap_point| tap_point.role == role)
            .count()
    };
    ways(Role::Veth, Direction::Egress) > 1 || ways(Role::Pod, Direction::Ingress) > 1
}
