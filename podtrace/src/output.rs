//! How paths, events, notices and the summary are shown: one file per format.
pub mod json;
mod loss;
pub mod quiet;
pub mod sanitize;
pub mod stats;
pub mod text;
pub mod topology;
pub(crate) mod write;

use podtrace_ebpf::{config::Counters, record::Direction};
use serde::{Deserialize, Serialize};

use crate::{
    event::Event,
    path::{Outcome, Path, builder::World},
};
pub use loss::{Loss, TapLoss};

/// What was counted at one tap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TapCount {
    /// Packets the kernel program ran for.
    pub seen: u64,
    /// Packets that became events.
    pub emitted: u64,
    /// Packets a filter refused.
    pub filtered: u64,
    /// Packets for which their CPU's ring had no room.
    pub lost_ring: u64,
    /// Records that could not be read.
    pub undecodable: u64,
    /// Events that a recording does not hold: its disk was full or too slow, or
    /// the file is damaged.
    #[serde(skip_serializing_if = "is_zero")]
    pub unrecorded: u64,
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
        let lost = self.lost_ring.saturating_add(self.undecodable);
        lost.saturating_add(self.unrecorded)
    }

    /// Adds what another counted. Files can say anything, so it never overflows.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.seen, other.seen),
            (&mut self.emitted, other.emitted),
            (&mut self.filtered, other.filtered),
            (&mut self.lost_ring, other.lost_ring),
            (&mut self.undecodable, other.undecodable),
            (&mut self.unrecorded, other.unrecorded),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// What became of the packets: emitted + filtered + lost.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        let told = self.emitted.saturating_add(self.filtered);
        told.saturating_add(self.lost())
    }

    /// Whether seen = emitted + filtered + lost.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.seen == self.accounted()
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
    /// Paths that may lack hops.
    pub incomplete: u64,
    /// Events whose frame could not be read at some layer.
    pub unreadable: u64,
    /// Nanoseconds from the first tap to the last.
    pub duration_ns: u64,
    /// What of it was left out of the output.
    pub not_shown: NotShown,
}

/// What a live output had no room for, as it is not read fast enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NotShown {
    /// Packets, that is paths.
    pub packets: u64,
    /// Events, where the format shows them one by one.
    pub events: u64,
    /// Notices.
    pub notices: u64,
}

impl NotShown {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.packets + self.events + self.notices
    }

    /// Whether all was shown.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Summary {
    /// The sum over all taps.
    #[must_use]
    pub fn total(&self) -> TapCount {
        let mut total = TapCount::default();
        for (_, _, tap) in &self.taps {
            total.add(tap);
        }
        total
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A format: appends what it makes of each thing to a buffer, nothing unless it
/// says so.
pub trait Output {
    /// Whether it makes something of each event.
    fn shows_events(&self) -> bool {
        false
    }
    /// Whether it makes something of each path.
    fn shows_paths(&self) -> bool {
        false
    }
    /// Before the first event.
    fn start(&mut self, _out: &mut String, _info: &Start) {}
    /// One event of packet number `packet`.
    fn event(&mut self, _out: &mut String, _event: &Event, _packet: u64, _world: &World) {}
    /// One path that has ended.
    fn path(&mut self, _out: &mut String, _path: &Path, _world: &World) {}
    /// Something the user should know, in one line.
    fn notice(&mut self, out: &mut String, text: &str);
    /// Events were lost: by default a notice.
    fn loss(&mut self, out: &mut String, loss: &Loss, world: &World) {
        self.notice(out, &loss.in_words(world));
    }
    /// So many interfaces of the start are still to be tapped, and so many cannot be: by
    /// default a notice.
    fn attaching(&mut self, out: &mut String, left: u64, refused: u64) {
        let text = match (left, refused) {
            (0, 0) => "every interface is traced now".to_owned(),
            (0, _) => format!(
                "every interface is traced now, but {refused} that cannot be: packets pass there \
                 unseen"
            ),
            (1, _) => {
                "1 more interface is being attached to; until then packets may pass there unseen"
                    .to_owned()
            }
            _ => format!(
                "{left} more interfaces are being attached to; until then packets may pass there \
                 unseen"
            ),
        };
        self.notice(out, &text);
    }
    /// At the end.
    fn summary(&mut self, _out: &mut String, _summary: &Summary, _world: &World) {}
}

/// What is traced, for the first line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The nodes' names.
    pub nodes: Vec<String>,
    /// Tapped interfaces.
    pub interfaces: usize,
    /// How many are still to be tapped; none when all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attaching: Option<usize>,
    /// Pods among their owners.
    pub pods: usize,
    /// Network namespaces among their owners.
    pub namespaces: usize,
    /// How programs are attached, `tcx` or `clsact`; none where none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<String>,
    /// What is replayed, in words; none live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}
