//! How paths, events, notices and the summary are shown: one file per format.
pub mod json;
pub mod sanitize;
pub mod text;
pub mod topology;

use podtrace_ebpf::{config::Counters, record::Direction};
use serde::Serialize;

use crate::{
    event::Event,
    path::{Outcome, Path, builder::World},
};

/// What was counted at one tap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TapCount {
    /// Packets the kernel program ran for.
    pub seen: u64,
    /// Packets that became events.
    pub emitted: u64,
    /// Packets a filter refused.
    pub filtered: u64,
    /// Packets for which the ring had no room.
    pub lost_ring: u64,
    /// Records that could not be read.
    pub undecodable: u64,
}

impl TapCount {
    /// Takes over the kernel's counters.
    pub fn set_kernel(&mut self, counters: Counters) {
        self.seen = counters.seen;
        self.filtered = counters.filtered;
        self.lost_ring = counters.lost;
    }

    /// Events that we could not deliver.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost_ring + self.undecodable
    }

    /// Whether seen = emitted + filtered + lost.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.seen == self.emitted + self.filtered + self.lost()
    }
}

/// What the session was, at its end.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// By interface number and direction.
    pub taps: Vec<(u32, Direction, TapCount)>,
    /// Packets, that is paths.
    pub packets: u64,
    /// Paths by [`Outcome::NAMES`].
    pub outcomes: [u64; Outcome::NAMES.len()],
    /// Events whose frame could not be read at some layer.
    pub unreadable: u64,
    /// Nanoseconds from the first tap to the last.
    pub duration_ns: u64,
}

impl Summary {
    /// The sum over all taps.
    #[must_use]
    pub fn total(&self) -> TapCount {
        let mut total = TapCount::default();
        for (_, _, tap) in &self.taps {
            total.seen += tap.seen;
            total.emitted += tap.emitted;
            total.filtered += tap.filtered;
            total.lost_ring += tap.lost_ring;
            total.undecodable += tap.undecodable;
        }
        total
    }
}

/// A format: appends what it makes of each thing to a buffer.
pub trait Output {
    /// Before the first event.
    fn start(&mut self, out: &mut String, info: &Start);
    /// One event of packet number `packet`.
    fn event(&mut self, out: &mut String, event: &Event, packet: u64, world: &World);
    /// One path that has ended.
    fn path(&mut self, out: &mut String, path: &Path, world: &World);
    /// Something the user should know, in one line.
    fn notice(&mut self, out: &mut String, text: &str);
    /// At the end.
    fn summary(&mut self, out: &mut String, summary: &Summary, world: &World);
}

/// What is traced, for the first line.
#[derive(Clone, Debug)]
pub struct Start {
    /// The nodes' names.
    pub nodes: Vec<String>,
    /// Tapped interfaces.
    pub interfaces: usize,
    /// Pods among their owners.
    pub pods: usize,
    /// Network namespaces among their owners.
    pub namespaces: usize,
}
