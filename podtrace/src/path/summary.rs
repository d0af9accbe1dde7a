//! The summary of a session.
use super::{LateOf, Outcome, Path};
use crate::{
    model::{
        left_out::LeftOut,
        tap::{TapCount, TapCounts},
    },
    packet::Transport,
};

/// The summary of a session, at its end.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// By interface number and direction.
    pub taps: TapCounts,
    /// Packets, that is paths.
    pub packets: u64,
    /// Paths by outcome, in the order of [`Outcome::NAMES`].
    pub outcomes: [u64; Outcome::NAMES.len()],
    /// Questions for a connection that reached a socket, and were not answered.
    pub unanswered_syns: u64,
    /// Paths that may lack hops.
    pub incomplete: u64,
    /// Events whose frame could not be read at some layer.
    pub unreadable: u64,
    /// Packets of the files that gave no event.
    pub left_out: LeftOut,
    /// Nanoseconds from the first tap to the last.
    pub duration_ns: u64,
    /// Events missing in the recording.
    pub not_recorded: u64,
    /// Why packets may not have been seen in all of the session, if there is a reason.
    pub unseen: Option<&'static str>,
}

impl Summary {
    /// Counts a path. `corrects`: an earlier path of the same packet that was counted.
    pub fn count(&mut self, path: &Path, corrects: Option<LateOf>) {
        self.packets += 1;
        self.outcomes[path.outcome.index()] += 1;
        self.incomplete += u64::from(path.incomplete);
        let is_tcp = matches!(path.packet.transport, Transport::Tcp { .. });
        let is_unanswered = |outcome| is_tcp && outcome == Outcome::Unanswered;
        self.unanswered_syns += u64::from(is_unanswered(path.outcome));
        if let Some(corrected) = corrects {
            let before = [
                (&mut self.packets, true),
                (&mut self.outcomes[corrected.outcome.index()], true),
                (&mut self.incomplete, corrected.incomplete),
                (&mut self.unanswered_syns, is_unanswered(corrected.outcome)),
            ];
            for (count, was_counted) in before {
                *count = count.saturating_sub(u64::from(was_counted));
            }
        }
    }

    /// The sum over all taps.
    #[must_use]
    pub fn total(&self) -> TapCount {
        TapCount::total(&self.taps)
    }
}

/// Items that a live output left out because its reader is too slow.
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
    /// The sum of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.packets + self.events + self.notices
    }

    /// Whether everything was shown.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::builder::tests::{path, syn};

    #[test]
    fn correction_takes_back_what_was_counted() {
        let mut summary = Summary::default();
        let mut first = path(1);
        first.packet = syn("10.244.1.3");
        first.outcome = Outcome::Unanswered;
        summary.count(&first, None);
        assert_eq!((summary.packets, summary.unanswered_syns), (1, 1));
        let again = Path {
            id: 2,
            outcome: Outcome::Delivered,
            ..first.clone()
        };
        summary.count(&again, Some(LateOf::of(&first)));
        assert_eq!((summary.packets, summary.unanswered_syns), (1, 0));
        assert_eq!(summary.outcomes[Outcome::Unanswered.index()], 0);
    }
}
