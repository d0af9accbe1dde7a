//! A session: its start, its losses, its end.
use std::{collections::BTreeMap, sync::Arc};

use podtrace_ebpf::record::Direction;

use crate::{
    field::{TimeNs, object},
    model::{
        left_out,
        loss::{Loss, TapLoss},
        start::Start,
        tap::TapCount,
    },
    path::{
        Outcome,
        summary::{NotShown, Summary},
    },
    world::World,
};

object! {
    /// What is traced or replayed: the first line.
    pub(crate) StartObject<'a> as "start" {
        /// names of the nodes
        nodes: &'a [String],
        /// how many interfaces are tapped
        interfaces: usize,
        /// how many are still to be tapped; a notice follows once all are
        attaching: Option<usize>,
        /// how many pods have some of the interfaces
        pods: usize,
        /// how many network namespaces have some of them
        namespaces: usize,
        /// how programs are attached, `tcx` or `clsact`
        attach: Option<&'a str>,
        /// what is replayed
        replay: Option<&'a str>,
        /// number of agents whose traces are shown, if it is a trace of other nodes
        agents: Option<usize>,
    }
}

object! {
    /// Events were lost: at most once a second.
    pub(crate) LossObject<'a> as "loss" {
        /// time of the report, nanoseconds since 1970 (UTC)
        time_ns: TimeNs,
        /// events lost since the last such line
        lost: u64,
        /// events lost since the session began
        total: u64,
        /// losses by tap, the most first
        taps: Vec<LossTapObject<'a>>,
    }
}

object! {
    /// A notice to the user.
    pub(crate) NoticeObject<'a> as "notice" {
        /// the text
        text: &'a str,
    }
}

object! {
    /// The summary of the session: the last line.
    pub(crate) SummaryObject<'a> as "summary" {
        /// how many packets, that is paths
        packets: u64,
        /// how many of them ended with each outcome
        outcomes: BTreeMap<&'a str, u64>,
        /// how many paths may lack hops
        incomplete: u64,
        /// how many events had a frame that could not be read
        unreadable: u64,
        /// packets of the files that gave no event, by reason
        left_out: Option<Vec<left_out::Count>>,
        /// nanoseconds from the first tap to the last
        duration_ns: u64,
        /// the counts of all taps together
        total: CountObject,
        /// the counts of each tap
        taps: Vec<CountTapObject<'a>>,
        /// what this output left out because its reader is too slow
        not_shown: Option<NotShownObject>,
        /// how many events the recording under way lacks, if there are any
        not_recorded: Option<u64>,
    }
}

object! {
    /// An interface in a direction; no names if the interface is not known any more.
    pub(crate) TapObject<'a> as "tap" {
        /// node of the interface
        node: &'a str,
        /// pod of the interface, `namespace/name`
        pod: Option<Arc<str>>,
        /// name of the interface
        interface: &'a str,
        /// `ingress`, `egress` or `socket`
        direction: &'static str,
    }
}

object! {
    /// The losses at a tap.
    pub(crate) LossTapObject<'a> as "tap of a loss" {
        first tap: TapObject<'a>,
        /// packets for which their CPU's ring had no room
        lost_ring: u64,
        /// records that could not be read
        undecodable: u64,
    }
}

object! {
    /// The counts of a tap.
    pub(crate) CountTapObject<'a> as "tap of a summary" {
        first tap: TapObject<'a>,
        then count: CountObject,
    }
}

object! {
    /// Counts: seen = emitted + filtered + lost_ring + undecodable + unrecorded.
    pub(crate) CountObject as "count" {
        /// packets that the kernel program ran for
        seen: u64,
        /// packets that became events
        emitted: u64,
        /// packets that a filter refused
        filtered: u64,
        /// packets for which their CPU's ring had no room
        lost_ring: u64,
        /// records that could not be read
        undecodable: u64,
        /// events that a recording does not hold, or holds where its file is damaged or lacks the
        /// interface, if there are any
        unrecorded: Option<u64>,
    }
}

object! {
    /// Items that were left out of the output.
    pub(crate) NotShownObject as "not shown" {
        /// packets, that is `path` lines
        packets: u64,
        /// `event` lines
        events: u64,
        /// `notice` and `loss` lines
        notices: u64,
    }
}

impl<'a> From<&'a Start> for StartObject<'a> {
    fn from(start: &'a Start) -> Self {
        Self {
            nodes: &start.nodes,
            interfaces: start.interfaces,
            attaching: start.attaching,
            pods: start.pods,
            namespaces: start.namespaces,
            attach: start.attach.as_deref(),
            replay: start.source.as_deref(),
            agents: start.agents,
        }
    }
}

impl<'a> LossObject<'a> {
    pub(crate) fn new(loss: &Loss, world: &'a World, epoch_ns: i128) -> Self {
        let taps = loss.taps.iter();
        Self {
            time_ns: TimeNs::new(epoch_ns, loss.ts_ns),
            lost: loss.lost(),
            total: loss.total,
            taps: taps.map(|tap| LossTapObject::new(tap, world)).collect(),
        }
    }
}

impl<'a> LossTapObject<'a> {
    fn new(loss: &TapLoss, world: &'a World) -> Self {
        Self {
            tap: TapObject::new(loss.interface, loss.direction, world),
            lost_ring: loss.lost_ring,
            undecodable: loss.undecodable,
        }
    }
}

impl<'a> SummaryObject<'a> {
    pub(crate) fn new(summary: &Summary, not_shown: NotShown, world: &'a World) -> Self {
        let taps = summary.taps.iter();
        let taps = taps.map(|((interface, direction), count)| CountTapObject {
            tap: TapObject::new(*interface, *direction, world),
            count: (*count).into(),
        });
        Self {
            packets: summary.packets,
            outcomes: Outcome::NAMES.into_iter().zip(summary.outcomes).collect(),
            incomplete: summary.incomplete,
            unreadable: summary.unreadable,
            left_out: summary.left_out.counts(),
            duration_ns: summary.duration_ns,
            total: summary.total().into(),
            taps: taps.collect(),
            not_shown: (!not_shown.is_nothing()).then(|| not_shown.into()),
            not_recorded: (summary.not_recorded > 0).then_some(summary.not_recorded),
        }
    }
}

impl<'a> TapObject<'a> {
    fn new(interface: u32, direction: Direction, world: &'a World) -> Self {
        let point = world.tap_points.get(interface);
        Self {
            node: point.map_or("", |point| point.node_name.as_ref()),
            pod: point.and_then(|point| world.pod_of(point)),
            interface: point.map_or("", |point| point.name.as_ref()),
            direction: direction.as_str(),
        }
    }
}

impl From<TapCount> for CountObject {
    fn from(count: TapCount) -> Self {
        Self {
            seen: count.seen,
            emitted: count.emitted,
            filtered: count.filtered,
            lost_ring: count.lost_ring,
            undecodable: count.undecodable,
            unrecorded: (count.unrecorded > 0).then_some(count.unrecorded),
        }
    }
}

impl From<NotShown> for NotShownObject {
    fn from(not_shown: NotShown) -> Self {
        Self {
            packets: not_shown.packets,
            events: not_shown.events,
            notices: not_shown.notices,
        }
    }
}
