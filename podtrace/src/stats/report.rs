//! The statistics in their output form; serialised, they are the JSON output, which
//! `docs/json.md` describes.
use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{EndName, PairCount, SegmentCount, SegmentKey, Stats, TapPointName, ends::PairKey};
use crate::{
    field::{object, texts},
    model::{left_out, tap::TapCount},
    order::Order as _,
    packet::Protocol,
    path::{Outcome, summary::Summary},
};

object! {
    /// Statistics of a session.
    pub Report as "statistics" (Clone, Debug, PartialEq, Eq) {
        /// nanoseconds from the first tap to the last
        duration_ns: u64,
        /// all packets together
        total: Count,
        /// what the taps saw, and what podtrace lost of it
        events: TapCount,
        /// events whose frame could not be read at some layer
        unreadable: u64,
        /// packets of the files that gave no event
        left_out: Option<Vec<left_out::Count>>,
        /// the pairs with most bytes and with most packets
        top: Top,
        /// sender, receiver and protocol; most packets first
        pairs: Vec<Pair>,
        /// the pairs that have no row of their own
        other_pairs: Option<Count>,
        /// from a hop to the next; most values first
        segments: Vec<Segment>,
        /// latencies of segments that have no row of their own
        other_segments: Option<Latency>,
        /// packets whose segments were not measured: hops may be missing, or belong to another
        /// packet or to a copy
        unmeasured: u64,
        /// interfaces and directions; most packets first
        places: Vec<TapPointCount>,
        /// packets at tap points that have no row of their own
        other_places: Option<Volume>,
        /// TCP segments that count as sent once, because there are more flows than the limit
        unjudged_segments: u64,
    }
}

object! {
    /// The top talkers.
    pub Top as "top talkers" (Clone, Debug, PartialEq, Eq) {
        /// most bytes first
        by_bytes: Vec<Talker>,
        /// most packets first
        by_packets: Vec<Talker>,
    }
}

object! {
    /// A pair, and how much it talks.
    pub Talker as "talker" (Clone, Debug, PartialEq, Eq) {
        /// the sender
        from: EndName,
        /// the receiver
        to: EndName,
        /// `icmp` (ICMPv6 too), `tcp`, `udp`, `arp` or `other`
        protocol: Protocol,
        then volume: Volume,
    }
}

object! {
    /// Packets and bytes.
    pub Volume as "volume" (Clone, Copy, Debug, Default, PartialEq, Eq) {
        /// packets
        packets: u64,
        /// their lengths together
        bytes: u64,
    }
}

impl Volume {
    /// Adds a packet.
    pub(super) fn add(&mut self, bytes: u32) {
        self.packets += 1;
        self.bytes += u64::from(bytes);
    }

    /// Removes a packet that was added before.
    pub(super) fn take_back(&mut self, bytes: u32) {
        self.packets = self.packets.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes.into());
    }
}

object! {
    /// A pair of ends, in one direction.
    pub Pair as "pair" (Clone, Debug, PartialEq, Eq) {
        /// the sender
        from: EndName,
        /// the receiver
        to: EndName,
        /// `icmp` (ICMPv6 too), `tcp`, `udp`, `arp` or `other`
        protocol: Protocol,
        then count: Count,
    }
}

object! {
    /// Packets and their outcomes.
    pub Count as "packet counts" (Clone, Debug, PartialEq, Eq) {
        first volume: Volume,
        /// when the first packet was first seen, nanoseconds since 1970 (UTC)
        first_ns: Option<u64>,
        /// when the last packet was first seen, nanoseconds since 1970 (UTC)
        last_ns: Option<u64>,
        /// how many of them ended with each outcome: `not_seen_further` concerns the network
        /// (candidates for a drop), `events_lost` and `given_up` concern podtrace
        outcomes: BTreeMap<&'static str, u64>,
        /// packets with equal ones under way at the same time
        ambiguous: u64,
        /// packets that may lack hops
        incomplete: u64,
        /// TCP segments with payload, SYN or FIN but without anything new; no keep-alives
        retransmitted: u64,
        /// whether some path has hops on several nodes: its way is as uncertain as their clocks
        /// are against each other
        between_nodes: bool,
        /// from the first hop to the last, of packets that were delivered
        way: Option<Latency>,
        /// from an echo request to its reply, where the request is of this pair
        rtt: Option<Latency>,
    }
}

object! {
    /// What two sockets say to each other.
    pub Flow as "flow" (Clone, Debug, PartialEq, Eq) {
        /// `tcp`, `udp`, `icmp`, `icmpv6`, another name or the protocol's number
        protocol: String,
        /// the end that asks
        client: FlowEnd,
        /// the end that is asked, by the address that the client uses
        server: FlowEnd,
        /// the Service that the client asks, `namespace/name:port`, by the API; or the one behind
        /// which the pod is that it asks, with the pod's port
        service: Option<Arc<str>>,
        /// from the client
        sent: Volume,
        /// to the client
        answered: Volume,
        /// from an echo request to its reply, or from a TCP segment to its acknowledgment, where
        /// the first was seen first
        rtt: Option<Latency>,
        /// TCP segments with payload, SYN or FIN but without anything new; no keep-alives
        retransmitted: u64,
        /// packets not seen further, without a socket that took or answered them, or in a loop
        lost: u64,
        /// packets that an answer refuses
        refused: u64,
        /// packets whose outcome is not known because podtrace lost events or gave them up
        unknown: u64,
        /// when the first packet was first seen, nanoseconds since 1970 (UTC)
        first_ns: u64,
        /// when the last packet was first seen, nanoseconds since 1970 (UTC)
        last_ns: u64,
    }
}

object! {
    /// An end of a flow.
    pub FlowEnd as "flow end" (Clone, Debug, PartialEq, Eq) {
        /// its best known name
        name: EndName,
        /// its address
        address: IpAddr,
        /// its port of TCP or UDP
        port: Option<u16>,
    }
}

object! {
    /// Percentiles: exact up to 64 values, then to two significant digits; none of so few
    /// values that it would be the largest.
    pub Latency as "latency" (Clone, Copy, Debug, PartialEq, Eq) {
        /// how many values
        count: u64,
        /// the median, in nanoseconds
        p50_ns: u64,
        /// 90 of 100 are not above it; none of fewer than 10 values
        p90_ns: Option<u64>,
        /// 99 of 100 are not above it; none of fewer than 100 values
        p99_ns: Option<u64>,
        /// the largest, exact
        max_ns: u64,
    }
}

object! {
    /// From a hop to the next one of the same path.
    pub Segment as "segment" (Clone, Debug, PartialEq, Eq) {
        /// the hop
        from: TapPointName,
        /// the next
        to: TapPointName,
        /// whether they are on two nodes, whose clocks may differ
        between_nodes: bool,
        then latency: Latency,
    }
}

object! {
    /// The packets at a tap point.
    pub TapPointCount as "place" (Clone, Debug, PartialEq, Eq) {
        first place: TapPointName,
        then volume: Volume,
    }
}

texts!(Protocol);

pub(super) fn report(stats: Stats, summary: &Summary) -> Report {
    let Stats {
        options,
        all,
        pairs,
        segments,
        tap_points,
        retransmitted,
        unmeasured,
        columns: _,
    } = stats;
    let epoch_ns = options.epoch_ns;
    let (rows, other_pairs) = pairs.into_parts();
    let mut pairs: Vec<_> = rows.map(|row| pair(row, epoch_ns)).collect();
    pairs.order_by_key(|pair| rank(pair, |volume| volume.packets));
    let (rows, other_segments) = segments.into_parts();
    let mut segments: Vec<_> = rows.filter_map(segment).collect();
    segments.order_by(|a, b| {
        let key = |segment: &Segment| Reverse(segment.latency.count);
        (key(a), &a.from, &a.to).cmp(&(key(b), &b.from, &b.to))
    });
    let (rows, other_places) = tap_points.into_parts();
    let mut places: Vec<_> = rows
        .map(|(place, volume)| TapPointCount { place, volume })
        .collect();
    places.order_by(|a, b| {
        let key = |place: &TapPointCount| Reverse(place.volume.packets);
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
        other_segments: other_segments.and_then(|count| count.latencies.summary()),
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
    pairs.order_by_key(|pair| rank(pair, number));
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
            way: self.way.summary(),
            rtt: self.round_trip.summary(),
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
        latency: count.latencies.summary()?,
    })
}
