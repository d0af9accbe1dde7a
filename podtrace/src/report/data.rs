//! What a page holds, as JSON for its script: names and repeated texts once, paths as rows.
use std::collections::HashMap;

use podtrace_ebpf::record::Direction;
use serde::Serialize;

use super::{
    causes::Cause,
    entry::Entry,
    names::{Numbers, PlaceRow, row},
};
use crate::{
    model::tap::TapCount,
    output::topology::recorded::Problem,
    path::Outcome,
    projection::finding::FindingObject,
    stats::{Flow, Segment, SegmentOverTime, TapPointName, over_time::Latencies},
    world::World,
};

/// The whole of it.
#[derive(Serialize)]
pub(super) struct Data<'a> {
    pub(super) version: &'static str,
    pub(super) nodes: &'a [String],
    /// What was read: `2 files`.
    pub(super) source: &'a str,
    pub(super) summary: SummaryData,
    pub(super) notices: &'a [String],
    /// How many more notices there were.
    pub(super) notices_left_out: u64,
    pub(super) findings: Vec<FindingObject<'a>>,
    pub(super) findings_left_out: u64,
    pub(super) conversations_forgotten: u64,
    /// The causes, and the number of the place of each.
    pub(super) causes: Vec<(&'a Cause, Option<usize>)>,
    /// Packets with causes that have no row of their own.
    pub(super) other_causes: u64,
    /// Drops by the kernels.
    pub(super) drops: &'a [DropRow],
    /// Drops that have no row of their own.
    pub(super) other_drops: u64,
    /// What is broken in the network by itself.
    pub(super) problems: &'a [Problem],
    pub(super) timeline: Timeline,
    pub(super) flows: Vec<Flow>,
    /// How many flows there were, and how many were forgotten before.
    pub(super) flow_counts: (usize, u64),
    pub(super) latency: LatencyData,
    pub(super) outcomes: [&'static str; Outcome::NAMES.len()],
    pub(super) paths: PathsData,
    pub(super) places: Vec<PlaceRow>,
    pub(super) texts: Vec<String>,
}

/// The counts of the session.
#[derive(Serialize)]
pub(super) struct SummaryData {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// In the order of `outcomes`.
    pub(super) outcomes: [u64; Outcome::NAMES.len()],
    /// The tone of each outcome, a number.
    pub(super) tones: [usize; Outcome::NAMES.len()],
    pub(super) incomplete: u64,
    pub(super) ambiguous: u64,
    pub(super) retransmitted: u64,
    pub(super) unreadable: u64,
    pub(super) left_out: u64,
    pub(super) not_recorded: u64,
    pub(super) duration_ns: u64,
    /// When the first packet was seen, nanoseconds since 1970 (UTC), as text: scripts have no number
    /// that is as large.
    pub(super) first_ns: Option<String>,
    pub(super) events: TapCount,
    /// The taps where events are missing.
    pub(super) lossy: Vec<(usize, TapCount)>,
    /// Why packets may not have been seen in all of the session.
    pub(super) unseen: Option<&'static str>,
}

/// Drops that kernels tell.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DropRow {
    pub(super) reason: String,
    /// What dropped: a rule, or a function.
    pub(super) by: Option<String>,
    pub(super) device: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) packets: u64,
}

/// Packets over time.
#[derive(Serialize)]
pub(super) struct Timeline {
    /// When it begins, after the first packet.
    pub(super) start_ns: i64,
    pub(super) width_ns: u64,
    /// By column and tone.
    pub(super) cells: Vec<[u64; 4]>,
}

/// Latencies of segments.
#[derive(Serialize)]
pub(super) struct LatencyData {
    pub(super) start_ns: i64,
    pub(super) width_ns: u64,
    pub(super) rows: Vec<LatencyRow>,
    /// How many segments have no row.
    pub(super) left_out: usize,
    /// Packets whose segments were not measured.
    pub(super) unmeasured: u64,
}

/// The latencies of one.
#[derive(Serialize)]
pub(super) struct LatencyRow {
    from: usize,
    to: usize,
    between_nodes: bool,
    count: u64,
    p50: u64,
    p90: Option<u64>,
    p99: Option<u64>,
    max: u64,
    /// Column, count, median, longest; those without values are left out.
    cells: Vec<(usize, u64, u64, u64)>,
}

/// The paths.
#[derive(Serialize)]
pub(super) struct PathsData {
    /// Of each tone: how many there are here, of how many.
    pub(super) counts: [(u64, u64); 4],
    pub(super) rows: Vec<PathRow>,
}

/// A path: packet, nanoseconds since the first, protocol, what, ends, outcome, whether it is
/// doubtful, duration, round trip, the rest of its line, hops, tail.
pub(super) type PathRow = (
    u64,
    u64,
    usize,
    String,
    usize,
    usize,
    u8,
    u64,
    Option<u64>,
    String,
    Vec<u64>,
    Option<usize>,
);

/// Makes rows.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) places: Numbers<TapPointName>,
    pub(super) texts: Numbers<String>,
}

impl Rows {
    fn text(&mut self, text: &str) -> usize {
        self.texts.of(&text.to_owned())
    }

    /// The number of a tap's place.
    pub(super) fn tap(&mut self, interface: u32, direction: Direction, world: &World) -> usize {
        self.places
            .of(&TapPointName::of_tap(interface, direction, world))
    }

    /// The row of a path. Its hops are three numbers each: the place, the time since the hop before,
    /// and the words.
    pub(super) fn path(&mut self, entry: Entry, first_ns: u64) -> PathRow {
        let mut before_ns = entry.first_ns;
        let mut hops = Vec::with_capacity(3 * entry.hops.len());
        for hop in &entry.hops {
            let leg_ns = hop.ts_ns.saturating_sub(before_ns);
            before_ns = hop.ts_ns;
            let (place, words) = (self.places.of(&hop.at), self.text(&hop.words));
            hops.extend([place as u64, leg_ns, words as u64]);
        }
        (
            entry.id,
            entry.first_ns.saturating_sub(first_ns),
            self.text(entry.protocol.as_str()),
            entry.what.into(),
            self.text(&entry.ends),
            entry.outcome.index(),
            entry.is_doubtful.into(),
            entry.duration_ns,
            entry.round_trip_ns,
            entry.rest.into(),
            hops,
            (!entry.tail.is_empty()).then(|| self.text(&entry.tail)),
        )
    }

    /// The row of a segment.
    pub(super) fn latency(&mut self, segment: &Segment, cells: &[Latencies]) -> LatencyRow {
        let cells = cells.iter().enumerate();
        let cells = cells.filter(|(_, cell)| cell.count > 0);
        LatencyRow {
            from: self.places.of(&segment.from),
            to: self.places.of(&segment.to),
            between_nodes: segment.between_nodes,
            count: segment.latency.count,
            p50: segment.latency.p50_ns,
            p90: segment.latency.p90_ns,
            p99: segment.latency.p99_ns,
            max: segment.latency.max_ns,
            cells: cells
                .map(|(column, cell)| (column, cell.count, cell.median_ns(), cell.max_ns))
                .collect(),
        }
    }

    /// The rows of segments.
    pub(super) fn latencies(
        &mut self,
        segments: &[Segment],
        over_time: Vec<SegmentOverTime>,
    ) -> Vec<LatencyRow> {
        let over_time: HashMap<_, _> = over_time.into_iter().collect();
        let rows = segments.iter().map(|segment| {
            let key = (segment.from.clone(), segment.to.clone());
            let cells = over_time.get(&key).map_or(&[][..], Vec::as_slice);
            self.latency(segment, cells)
        });
        rows.collect()
    }

    /// The names of all places, by number, and all texts.
    pub(super) fn finish(self) -> (Vec<PlaceRow>, Vec<String>) {
        let places = self.places.into_all();
        (places.iter().map(row).collect(), self.texts.into_all())
    }
}
