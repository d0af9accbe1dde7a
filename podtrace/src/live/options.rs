//! Options of the engine, shared by `trace`, `record` and `demo`.
use std::time::Duration;

use podtrace_ebpf::config::SNAPLEN_DEFAULT;

use super::{firewalls::TraceRules, progress::Foot, recording::Recording, sampling::Sampling};
use crate::{
    filter::{Block, Filter, of_protocols},
    model::tap_name::TapName,
    node::pod_table::PodTable,
    packet::VxlanPorts,
    path::HOP_TIMEOUT,
    pipeline::{Asked, consumer::Consumer},
    probe::{AttachMethod, feature::Without},
    sink::Sink,
};

/// The default size of all rings together.
const RING_BYTES: u32 = 8 << 20;

/// When a session begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Begin {
    /// After this time, however many taps are attached.
    pub(crate) within: Duration,
    /// Whether before that all taps have to be, not just those that are needed first.
    pub(crate) is_whole: bool,
}

/// How to trace.
#[derive(Clone, Debug)]
pub(crate) struct TraceOptions {
    /// The interfaces to tap; none for the usual ones.
    pub(crate) interfaces: Vec<TapName>,
    /// Pods named by the user.
    pub(crate) table: PodTable,
    /// Which packets are shown.
    pub(crate) asked: Asked,
    /// Whether names that its selector asks for may come later.
    pub(crate) waits: bool,
    /// The session ends after this many packets.
    pub(crate) count: Option<u64>,
    /// The session ends after this time.
    pub(crate) duration: Option<Duration>,
    /// Upper bound of the bytes captured of each packet.
    pub(crate) snaplen: u32,
    /// How long a packet may stay between two hops.
    pub(crate) hop_timeout: Duration,
    /// UDP ports of VXLAN in addition to those of interfaces.
    pub(crate) vxlan_ports: VxlanPorts,
    /// Bytes of all rings together.
    pub(crate) ring_bytes: u32,
    /// Whether only headers are captured, with some bytes behind them.
    pub(crate) headers_only: bool,
    /// Whether the kernel tells which packets it drops.
    pub(crate) drops: bool,
    /// The packets whose way through the rules of firewalls is traced, if any is.
    pub(crate) trace_rules: Option<TraceRules>,
    /// Upper bound of its CPU time, in percent of one processor.
    pub(crate) cpu_limit: Option<u32>,
    /// The share of the packets that is traced.
    pub(crate) sampling: Sampling,
    /// Whether the kernel side's log is printed.
    pub(crate) diagnostics: bool,
    /// When the session begins.
    pub(crate) begin: Begin,
    /// How programs are attached.
    pub(crate) method: AttachMethod,
    /// Whether another process closes the taps' links.
    pub(crate) has_closer: bool,
    /// Features of the kernel that are not to be used.
    pub(crate) without: Without,
    /// UTC nanoseconds at CLOCK_MONOTONIC zero.
    pub(crate) epoch_ns: i128,
}

impl TraceOptions {
    /// What the kernel can decide of the packets that are asked for.
    pub(super) fn kernel_filter(&self) -> Option<Block> {
        let by_expression = self.asked.filter.as_deref().and_then(Filter::for_kernel);
        let selector = self.asked.selector.as_deref();
        by_expression.or_else(|| of_protocols(&selector?.protocols()?))
    }

    /// Traces everything at the usual taps, until the session is ended.
    pub(crate) fn new(method: AttachMethod, without: Without, epoch_ns: i128) -> Self {
        Self {
            interfaces: Vec::new(),
            table: PodTable::default(),
            asked: Asked::default(),
            waits: false,
            count: None,
            duration: None,
            snaplen: SNAPLEN_DEFAULT,
            hop_timeout: HOP_TIMEOUT,
            vxlan_ports: VxlanPorts::default(),
            ring_bytes: RING_BYTES,
            headers_only: false,
            drops: true,
            trace_rules: None,
            cpu_limit: None,
            sampling: Sampling::default(),
            diagnostics: false,
            begin: Begin::default(),
            method,
            has_closer: false,
            without,
            epoch_ns,
        }
    }
}

/// The outputs of a session.
pub(crate) struct Outlets {
    /// The consumers of packets and notices.
    pub(crate) consumers: Vec<Box<dyn Consumer>>,
    /// Receives their text.
    pub(crate) sink: Sink,
    /// The recording, if one is made.
    pub(crate) recording: Option<Recording>,
    /// What the line below all text tells, if there is one and standard error is a terminal.
    pub(crate) foot: Option<Foot>,
}
