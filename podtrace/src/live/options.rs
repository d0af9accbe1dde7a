//! How to trace: what `trace`, `record` and `demo` share.
use std::time::Duration;

use podtrace_ebpf::config::SNAPLEN_DEFAULT;

use super::{recording::Recording, sampling::Sampling};
use crate::{
    node::pod_table::PodTable,
    pipeline::consumer::Consumer,
    probe::{Way, feature::Without},
    sink::Sink,
};

/// Hop timeout where none is given.
const HOP_TIMEOUT: Duration = Duration::from_millis(500);
/// Bytes of all rings where none are given.
const RING_BYTES: u32 = 8 << 20;

/// How to trace.
#[derive(Clone, Debug)]
pub(crate) struct TraceOptions {
    /// The interfaces to tap; none for the usual ones.
    pub(crate) interfaces: Vec<String>,
    /// Pods named by the user.
    pub(crate) table: PodTable,
    /// It ends with so many packets.
    pub(crate) count: Option<u64>,
    /// It ends after this time.
    pub(crate) duration: Option<Duration>,
    /// Bytes captured of each packet, at most.
    pub(crate) snaplen: u32,
    /// How long a packet may stay between two hops.
    pub(crate) hop_timeout: Duration,
    /// Bytes of all rings together.
    pub(crate) ring_bytes: u32,
    /// Whether only headers are captured, and some bytes behind them.
    pub(crate) headers_only: bool,
    /// Percent of one processor that it takes at most.
    pub(crate) cpu_limit: Option<u32>,
    /// How large a share of the packets is traced.
    pub(crate) sampling: Sampling,
    /// Whether the kernel side's log is printed.
    pub(crate) diagnostics: bool,
    /// After this time it begins, whatever is attached to by then.
    pub(crate) begins_within: Duration,
    /// How programs are attached.
    pub(crate) way: Way,
    /// Whether another process closes the taps' links.
    pub(crate) has_closer: bool,
    /// What is not to be used of what the kernel has.
    pub(crate) without: Without,
    /// UTC nanoseconds at CLOCK_MONOTONIC zero.
    pub(crate) epoch_ns: i128,
}

impl TraceOptions {
    /// Everything until it is ended, by the usual taps.
    pub(crate) fn new(way: Way, without: Without, epoch_ns: i128) -> Self {
        Self {
            interfaces: Vec::new(),
            table: PodTable::default(),
            count: None,
            duration: None,
            snaplen: SNAPLEN_DEFAULT,
            hop_timeout: HOP_TIMEOUT,
            ring_bytes: RING_BYTES,
            headers_only: false,
            cpu_limit: None,
            sampling: Sampling::default(),
            diagnostics: false,
            begins_within: Duration::ZERO,
            way,
            has_closer: false,
            without,
            epoch_ns,
        }
    }
}

/// Where it all goes.
pub(crate) struct Outlets {
    /// What takes packets and notices.
    pub(crate) consumers: Vec<Box<dyn Consumer>>,
    /// Where their text goes.
    pub(crate) sink: Sink,
    /// Where to record it.
    pub(crate) recording: Option<Recording>,
    /// Whether a terminal shows how far the recording is.
    pub(crate) shows_progress: bool,
}
