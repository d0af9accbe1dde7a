//! The times of a session by the reference clock.
use std::sync::Arc;

use podtrace_ebpf::record::Direction;

use super::Stream;
use crate::{clock::nodes::Line, path::reorder::SLACK_NS, session::reader::Item, update::Update};

/// Since when the taps of a session take packets: its first ticks are of the time before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tapped {
    Untold,
    /// Since its next item that has a time.
    Next,
    /// Since then, in nanoseconds by its own clock.
    Since(u64),
}

/// What makes times of one clock those of the reference clock.
pub(super) struct Correction {
    line: Option<Arc<Line>>,
    shift_ns: i64,
}

impl Correction {
    fn ns(&self, ns: u64) -> u64 {
        let ns = ns.saturating_add_signed(self.shift_ns);
        self.line.as_ref().map_or(ns, |line| line.to_reference(ns))
    }
}

/// The place of an item among those of other sessions.
///
/// A packet that leaves a node comes before one that enters another node at the same time: they
/// may be the same packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::replay::merge) struct Place {
    /// Time by the reference clock.
    pub(in crate::replay::merge) ns: u64,
    pub(in crate::replay::merge) is_arrival: bool,
}

impl Stream {
    /// Corrects its clock by another line from its next item on.
    pub(in crate::replay::merge) fn correct(&mut self, line: Arc<Line>) {
        self.line = Some(line);
        if let Some((item, _)) = self.next.take() {
            let place = self.place(&item);
            self.next = Some((item, place));
            self.turn += 1;
        }
    }

    /// The place of the item that was read last.
    pub(super) fn place(&mut self, item: &Item) -> Place {
        let mut is_arrival = false;
        // Events older than a tick by the slack may follow it.
        let (own_ns, slack_ns) = match item {
            Item::Event => {
                let event = self.chain.event();
                is_arrival = event
                    .as_ref()
                    .is_some_and(|event| event.direction == Direction::Ingress);
                (event.map_or(0, |event| event.ts_ns), 0)
            }
            Item::PassedOver(passed_over) => (passed_over.from_ns, 0),
            Item::Tick(tick) => (tick.now_ns, SLACK_NS),
            _ => (0, 0),
        };
        self.own_ns = own_ns;
        let mut ns = 0;
        if item.has_time() {
            ns = self.corrected().ns(own_ns).saturating_sub(slack_ns);
            let shows_taps = !matches!(item, Item::Tick(_));
            if self.tapped == Tapped::Next || self.tapped == Tapped::Untold && shows_taps {
                self.tapped = Tapped::Since(own_ns.saturating_sub(slack_ns));
            }
            if matches!(self.tapped, Tapped::Since(since_ns) if own_ns >= since_ns) {
                self.first_ns.get_or_insert(ns);
            }
        }
        // Items later in the file happened later.
        self.now_ns = self.before_ns.max(ns);
        Place {
            ns: self.now_ns,
            is_arrival,
        }
    }

    /// Since when its taps take packets, by the reference clock; none as long as nothing tells.
    pub(in crate::replay::merge) fn tapped_ns(&self) -> Option<u64> {
        match self.tapped {
            Tapped::Since(ns) => Some(self.corrected().ns(ns)),
            Tapped::Untold | Tapped::Next => None,
        }
    }

    /// Takes the next item that was read, with its times by the reference clock.
    pub(in crate::replay::merge) fn take_next(&mut self) -> Option<Item> {
        let (mut item, _) = self.next.take()?;
        self.turn += 1;
        let corrected = self.corrected();
        match &mut item {
            Item::Event => {
                if let Some(event) = self.chain.event() {
                    event.ts_ns = corrected.ns(event.ts_ns);
                }
            }
            Item::PassedOver(passed_over) => {
                passed_over.from_ns = corrected.ns(passed_over.from_ns);
                passed_over.until_ns = corrected.ns(passed_over.until_ns);
            }
            Item::Tick(tick) => tick.now_ns = corrected.ns(tick.now_ns),
            Item::Update(_, update) => {
                if !matches!(self.tapped, Tapped::Since(_)) {
                    match update {
                        Update::Start(start) => {
                            self.tapped = start.begun_ns.map_or(self.tapped, Tapped::Since);
                        }
                        Update::Attaching { ts_ns, .. } => self.tapped = Tapped::Since(*ts_ns),
                        _ => {}
                    }
                }
                update.map_times(|ns| corrected.ns(ns));
            }
            Item::Loss(span) | Item::NotRecorded(span) => span.map_times(|ns| corrected.ns(ns)),
            _ => {}
        }
        Some(item)
    }

    /// What makes times of its clock those of the reference clock.
    fn corrected(&self) -> Correction {
        Correction {
            line: self.line.clone(),
            shift_ns: self.shift_ns,
        }
    }
}
