//! Which packets are shown where some are asked for: by an expression, by a selector, or both.
//!
//! A packet is shown with all its hops. An expression asks for those that match at one hop; a
//! selector judges the whole path, once its names are known. So the events wait until that is
//! known, at the first hop that matches or when the path is shown, and go on in order of time.
mod undecided;

use std::{collections::VecDeque, sync::Arc};

use crate::{
    map::Map,
    model::event::Event,
    path::{Outcome, Path},
    select::Selector,
    world::World,
};
use undecided::Undecided;
pub(super) use undecided::{Counted, Decided, Moment};

/// Upper bound of the selected packets that a later report may correct.
const SELECTED_MAX: usize = 65_536;

/// The packets that are shown.
#[derive(Default)]
pub(super) struct Chosen {
    /// How an expression is applied, if there is one.
    pub(super) expression: Option<Scope>,
    pub(super) selector: Option<Arc<Selector>>,
    /// Whether only so many packets are shown: which, is known when their paths are.
    is_counted: bool,
    /// Whether nothing more is shown.
    is_over: bool,
    undecided: Undecided,
    selected: Selected,
}

/// What is shown of the packets that match an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All hops.
    Packets,
    /// The hops where they match.
    Hops,
}

/// Whether an event is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Shown,
    Filtered,
    /// It was kept, and is decided later.
    Waits,
}

impl Chosen {
    /// `is_counted`: whether only so many packets are shown.
    pub(super) fn counted(is_counted: bool) -> Self {
        Self {
            is_counted,
            ..Self::default()
        }
    }

    /// Whether it is known only of a whole path whether it is shown.
    #[inline]
    fn decides_late(&self) -> bool {
        self.is_counted || self.selector.is_some()
    }

    /// What becomes of an event; keeps it if that is not known yet. `further`: the packets that
    /// it belongs to beside the first.
    #[inline]
    pub(super) fn take(&mut self, event: &Event, packet: u64, further: &[u64]) -> Fate {
        let is_decided_late = self.decides_late();
        match self.expression {
            _ if self.is_over => return Fate::Filtered,
            None if !is_decided_late => return Fate::Shown,
            Some(Scope::Hops) if !event.matches => return Fate::Filtered,
            Some(Scope::Hops) if !is_decided_late => return Fate::Shown,
            _ => {}
        }
        let is_shown = !is_decided_late && event.matches;
        self.undecided.push(event, packet, further, is_shown);
        Fate::Waits
    }

    /// A path has ended: decides what no name changes.
    pub(super) fn end(&mut self, path: &Path) {
        let Some(scope) = self.expression else {
            return;
        };
        let matches = path.matches();
        if !matches || !self.decides_late() && scope == Scope::Packets {
            self.undecided.decide(path.id, matches);
        }
    }

    /// Whether a path is shown, now that its names are known. The correction of a report that was
    /// shown is, too.
    pub(super) fn judge(&mut self, path: &Path, world: &World) -> bool {
        let matches = self.expression.is_none() || path.matches();
        let Some(selector) = &self.selector else {
            if self.is_counted {
                self.undecided.decide(path.id, matches);
            }
            return matches;
        };
        let is_chosen = matches && (self.corrects_shown(path) || selector.matches(path, world));
        if is_chosen {
            self.selected.push(path.id);
        }
        if let Some(before) = path.late_of {
            self.undecided.decide(before.id, is_chosen);
        }
        if matches && !is_chosen && selector.judges_ends() && may_be_corrected(path.outcome) {
            self.undecided.await_correction(path.id);
        } else {
            self.undecided.decide(path.id, is_chosen);
        }
        is_chosen
    }

    /// Whether a path corrects a report that was shown.
    pub(super) fn corrects_shown(&self, path: &Path) -> bool {
        path.late_of.is_some_and(|before| {
            if self.selector.is_some() {
                return self.selected.has(before.id);
            }
            let mut hops = path.hops.iter().take(before.hops);
            hops.any(|hop| hop.matches)
        })
    }

    /// Shows nothing more: refuses what is not decided yet.
    pub(super) fn end_all(&mut self) {
        self.is_over = true;
        self.undecided.refuse_all();
    }

    /// Keeps the events that wait, and not only their counts.
    pub(super) fn keep_events(&mut self) {
        self.undecided.keeps_events = true;
    }

    /// Keeps a tick for after the events that wait; returns whether some do.
    pub(super) fn hold(&mut self, moment: Moment) -> bool {
        self.undecided.hold(moment)
    }

    /// The next tick that was kept, once all events before it have gone on.
    #[inline]
    pub(super) fn due(&mut self) -> Option<Moment> {
        self.undecided.due()
    }

    /// The next event that need not wait any longer. `now_ns`: the newest time known.
    #[inline]
    pub(super) fn next(&mut self, now_ns: u64) -> Option<Decided> {
        self.undecided.next(now_ns)
    }

    /// Whether only the hops that match are shown.
    pub(super) fn is_narrow(&self) -> bool {
        self.expression == Some(Scope::Hops)
    }

    /// Whether only some packets are asked for.
    pub(super) fn is_part(&self) -> bool {
        self.expression.is_some() || self.selector.is_some()
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.undecided.is_empty()
    }
}

/// Whether a packet that ended so may be seen again, or be heard of.
fn may_be_corrected(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::NotSeenFurther | Outcome::LeftNode | Outcome::LeftForVtep(_)
    )
}

/// The numbers of the newest packets that a selector has chosen.
#[derive(Default)]
struct Selected {
    numbers: VecDeque<u64>,
    known: Map<u64, ()>,
}

impl Selected {
    fn push(&mut self, packet: u64) {
        if self.numbers.len() >= SELECTED_MAX
            && let Some(oldest) = self.numbers.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.numbers.push_back(packet);
        self.known.insert(packet, ());
    }

    fn has(&self, packet: u64) -> bool {
        self.known.contains_key(&packet)
    }
}

/// The numbers of the last packets shown.
#[derive(Default)]
pub(super) struct LastShown {
    /// Upper bound of them.
    pub(super) packets: u64,
    numbers: VecDeque<u64>,
}

impl LastShown {
    pub(super) fn push(&mut self, packet: u64) {
        if self.packets == 0 {
            return;
        }
        if self.numbers.len() as u64 >= self.packets {
            self.numbers.pop_front();
        }
        self.numbers.push_back(packet);
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.numbers.iter().min().copied()
    }
}
