//! How paths, events, notices and the summary are shown: one file per format.
pub mod json;
pub mod quiet;
pub mod stats;
pub mod text;
pub mod topology;

use podtrace_ebpf::record::Direction;
use serde::Serialize;

use crate::{
    model::{event::Event, loss::Loss, start::Start, tap::TapCount},
    path::{Outcome, Path, builder::World},
};

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
        self.notice(out, &world.loss_in_words(loss));
    }
    /// So many interfaces of the start are still to be tapped: by default a notice.
    fn attaching(&mut self, out: &mut String, left: u64) {
        let text = match left {
            0 => "every interface is traced now".to_owned(),
            1 => "1 more interface is being attached to; until then packets may pass there unseen"
                .to_owned(),
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
