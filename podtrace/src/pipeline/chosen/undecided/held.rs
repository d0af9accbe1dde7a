//! Ticks that wait behind events.
use std::collections::VecDeque;

use crate::model::loss::Missing;

/// Upper bound of them: those of ten seconds, a few times over. Beyond it the newest stands for
/// the one before it, too.
const HELD_MAX: usize = 1024;

/// What a tick says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) struct Moment {
    pub(in crate::pipeline) now_ns: u64,
    /// Events missing since the session began.
    pub(in crate::pipeline) missing: Missing,
}

/// Ticks, each with the number of events that came before it.
#[derive(Default)]
pub(super) struct Held {
    ticks: VecDeque<(u64, Moment)>,
    /// Events that have come.
    pub(super) pushed: u64,
    /// Events that have gone on.
    pub(super) gone: u64,
}

impl Held {
    pub(super) fn push(&mut self, moment: Moment) {
        if self.ticks.len() >= HELD_MAX {
            self.ticks.pop_back();
        }
        self.ticks.push_back((self.pushed, moment));
    }

    /// The oldest, if all events before it have gone on.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Moment> {
        let (before, _) = self.ticks.front()?;
        if *before > self.gone {
            return None;
        }
        self.ticks.pop_front().map(|(_, moment)| moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now_ns: u64) -> Moment {
        Moment {
            now_ns,
            missing: Missing::default(),
        }
    }

    #[test]
    fn tick_goes_on_once_the_events_before_it_have() {
        let mut held = Held {
            pushed: 2,
            ..Held::default()
        };
        held.push(at(5));
        held.pushed = 3;
        held.push(at(6));
        held.gone = 1;
        assert_eq!(held.pop(), None);
        held.gone = 2;
        assert_eq!(held.pop(), Some(at(5)));
        assert_eq!(held.pop(), None);
        held.gone = 3;
        assert_eq!(held.pop(), Some(at(6)));
        assert_eq!(held.pop(), None);
    }

    #[test]
    fn ticks_are_bounded_and_the_newest_is_kept() {
        let mut held = Held::default();
        (0..10_000).for_each(|now_ns| held.push(at(now_ns)));
        let all: Vec<_> = std::iter::from_fn(|| held.pop()).collect();
        assert_eq!((all.len(), all.last()), (HELD_MAX, Some(&at(9999))));
    }
}
