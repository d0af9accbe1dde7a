//! The statistics as they are shown; serialised, they are the JSON output.
//!
//! Times are nanoseconds since 1970 (UTC), latencies nanoseconds; fields
//! without a value are absent. New fields may come; these keep their meaning.
use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::{EndName, PairCount, PlaceName, SegmentCount, SegmentKey, Stats, ends::PairKey};
use crate::{
    model::{left_out, tap::TapCount},
    packet::Protocol,
    path::{Outcome, summary::Summary},
};

/// Statistics of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nanoseconds from the first tap to the last.
    pub duration_ns: u64,
    /// All packets together.
    pub total: Count,
    /// What the taps saw, and what podtrace lost of it.
    pub events: TapCount,
    /// Events whose frame could not be read at some layer.
    pub unreadable: u64,
    /// Packets of the files that gave no event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<left_out::Count>,
    /// The pairs with most bytes and with most packets.
    pub top: Top,
    /// Sender, receiver and protocol; most packets first.
    pub pairs: Vec<Pair>,
    /// The pairs that have no row of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_pairs: Option<Count>,
    /// From a hop to the next; most values first.
    pub segments: Vec<Segment>,
    /// Latencies of segments that have no row of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_segments: Option<Latency>,
    /// Packets whose segments were not measured: hops may be missing, or
    /// belong to another packet or to a copy.
    pub unmeasured: u64,
    /// Interfaces and directions; most packets first.
    pub places: Vec<PlaceCount>,
    /// Packets at tap points that have no row of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_places: Option<Volume>,
    /// TCP segments that count as sent once, because there are more flows than the limit.
    pub unjudged_segments: u64,
}

/// The top talkers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Top {
    /// Most bytes first.
    pub by_bytes: Vec<Talker>,
    /// Most packets first.
    pub by_packets: Vec<Talker>,
}

/// A pair, and how much it talks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Talker {
    /// The sender.
    pub from: EndName,
    /// The receiver.
    pub to: EndName,
    /// What.
    pub protocol: Protocol,
    /// How much, at the first hop.
    #[serde(flatten)]
    pub volume: Volume,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// Packets.
    pub packets: u64,
    /// The lengths of their frames together.
    pub bytes: u64,
}

impl Volume {
    /// Adds a packet.
    pub(super) fn add(&mut self, bytes: u32) {
        self.packets += 1;
        self.bytes += u64::from(bytes);
    }

    /// Takes one back that was added before.
    pub(super) fn take_back(&mut self, bytes: u32) {
        self.packets = self.packets.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes.into());
    }
}

/// A pair of ends, in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The sender.
    pub from: EndName,
    /// The receiver.
    pub to: EndName,
    /// What.
    pub protocol: Protocol,
    /// Its outcomes.
    #[serde(flatten)]
    pub count: Count,
}

/// Packets and their outcomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How much, at the first hop.
    #[serde(flatten)]
    pub volume: Volume,
    /// When the first packet was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_ns: Option<u64>,
    /// When the last packet was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_ns: Option<u64>,
    /// Packets by how their path ended. `not_seen_further` concerns the network (candidates
    /// for a drop), `events_lost` and `given_up` concern podtrace.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Packets with equal ones under way at the same time.
    pub ambiguous: u64,
    /// Packets that may lack hops.
    pub incomplete: u64,
    /// TCP segments with payload but without new bytes.
    pub retransmitted: u64,
    /// Whether some path has hops on several nodes: its times are as uncertain
    /// as their clocks are against each other.
    pub between_nodes: bool,
    /// From the first hop to the last, of packets that were delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way: Option<Latency>,
    /// From an echo request to its reply, where the reply is of this pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt: Option<Latency>,
}

/// Percentiles: exact up to 64 values, then to two significant digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// How many values.
    pub count: u64,
    /// The median.
    pub p50_ns: u64,
    /// 90 of 100 are not above it.
    pub p90_ns: u64,
    /// 99 of 100 are not above it.
    pub p99_ns: u64,
    /// The largest, exact.
    pub max_ns: u64,
}

/// From a hop to the next one of the same path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// The hop.
    pub from: PlaceName,
    /// The next.
    pub to: PlaceName,
    /// Whether they are on two nodes, whose clocks may differ.
    pub between_nodes: bool,
    /// How long it took.
    #[serde(flatten)]
    pub latency: Latency,
}

/// The packets at a tap point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlaceCount {
    /// The tap point.
    #[serde(flatten)]
    pub place: PlaceName,
    /// How much.
    #[serde(flatten)]
    pub volume: Volume,
}

pub(super) fn report(stats: Stats, summary: &Summary) -> Report {
    let Stats {
        options,
        all,
        pairs,
        segments,
        places,
        retransmitted,
        unmeasured,
    } = stats;
    let epoch_ns = options.epoch_ns;
    let (rows, other_pairs) = pairs.into_parts();
    let mut pairs: Vec<_> = rows.map(|row| pair(row, epoch_ns)).collect();
    pairs.sort_by_cached_key(|pair| rank(pair, |volume| volume.packets));
    let (rows, other_segments) = segments.into_parts();
    let mut segments: Vec<_> = rows.filter_map(segment).collect();
    segments.sort_by(|a, b| {
        let key = |segment: &Segment| Reverse(segment.latency.count);
        (key(a), &a.from, &a.to).cmp(&(key(b), &b.from, &b.to))
    });
    let (rows, other_places) = places.into_parts();
    let mut places: Vec<_> = rows
        .map(|(place, volume)| PlaceCount { place, volume })
        .collect();
    places.sort_by(|a, b| {
        let key = |place: &PlaceCount| Reverse(place.volume.packets);
        (key(a), &a.place).cmp(&(key(b), &b.place))
    });
    Report {
        duration_ns: summary.duration_ns,
        total: all.finish(epoch_ns),
        events: summary.total(),
        unreadable: summary.unreadable,
        left_out: summary.left_out.counts(),
        top: Top {
            by_bytes: top(&pairs, options.top, |volume| volume.bytes),
            by_packets: top(&pairs, options.top, |volume| volume.packets),
        },
        pairs,
        other_pairs: other_pairs.map(|count| count.finish(epoch_ns)),
        segments,
        other_segments: other_segments.and_then(|count| count.latencies.finish()),
        unmeasured,
        places,
        other_places,
        unjudged_segments: retransmitted.unjudged,
    }
}

/// Orders by a number, the largest first, then by names.
fn rank(pair: &Pair, number: fn(&Volume) -> u64) -> (Reverse<u64>, String, String, Protocol) {
    let Pair {
        from,
        to,
        protocol,
        count,
    } = pair;
    let number = Reverse(number(&count.volume));
    (number, from.to_string(), to.to_string(), *protocol)
}

fn top(pairs: &[Pair], count: usize, number: fn(&Volume) -> u64) -> Vec<Talker> {
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort_by_cached_key(|pair| rank(pair, number));
    let talkers = pairs.into_iter().take(count).map(|pair| Talker {
        from: pair.from.clone(),
        to: pair.to.clone(),
        protocol: pair.protocol,
        volume: pair.count.volume,
    });
    talkers.collect()
}

impl PairCount {
    fn finish(self, epoch_ns: i128) -> Count {
        let utc = |ns: u64| u64::try_from(epoch_ns + i128::from(ns)).unwrap_or(ns);
        Count {
            volume: self.volume,
            first_ns: self.first_ns.map(utc),
            last_ns: self.first_ns.map(|_| utc(self.last_ns)),
            outcomes: Outcome::NAMES.into_iter().zip(self.outcomes).collect(),
            ambiguous: self.ambiguous,
            incomplete: self.incomplete,
            retransmitted: self.retransmitted,
            between_nodes: self.between_nodes,
            way: self.way.finish(),
            rtt: self.round_trip.finish(),
        }
    }
}

fn pair((key, count): (PairKey, PairCount), epoch_ns: i128) -> Pair {
    Pair {
        from: key.from,
        to: key.to,
        protocol: key.protocol,
        count: count.finish(epoch_ns),
    }
}

fn segment(((from, to), count): (SegmentKey, SegmentCount)) -> Option<Segment> {
    Some(Segment {
        from,
        to,
        between_nodes: count.between_nodes,
        latency: count.latencies.finish()?,
    })
}
