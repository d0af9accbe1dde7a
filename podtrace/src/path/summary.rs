//! The summary of a session.
use super::{Outcome, Path};
use crate::model::{
    left_out::LeftOut,
    tap::{TapCount, TapCounts},
};

/// The summary of a session, at its end.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// By interface number and direction.
    pub taps: TapCounts,
    /// Packets, that is paths.
    pub packets: u64,
    /// Paths by [`Outcome::NAMES`].
    pub outcomes: [u64; Outcome::NAMES.len()],
    /// Paths that may lack hops.
    pub incomplete: u64,
    /// Events whose frame could not be read at some layer.
    pub unreadable: u64,
    /// Packets of the files that gave no event.
    pub left_out: LeftOut,
    /// Nanoseconds from the first tap to the last.
    pub duration_ns: u64,
    /// Events that the recording under way lacks.
    pub not_recorded: u64,
}

impl Summary {
    /// Counts a path. `corrects`: whether one of the same packet was counted that was not
    /// seen further.
    pub fn count(&mut self, path: &Path, corrects: bool) {
        self.packets += 1;
        self.outcomes[path.outcome.index()] += 1;
        self.incomplete += u64::from(path.incomplete);
        if corrects {
            self.packets = self.packets.saturating_sub(1);
            let not_seen = &mut self.outcomes[Outcome::NotSeenFurther.index()];
            *not_seen = not_seen.saturating_sub(1);
        }
    }

    /// The sum over all taps.
    #[must_use]
    pub fn total(&self) -> TapCount {
        let mut total = TapCount::default();
        for tap in self.taps.values() {
            total.add(tap);
        }
        total
    }
}

/// What a live output left out because its reader is too slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
