//! Joins events to paths, and hands them on once it is known whether they are shown.
use podtrace_ebpf::record::Direction;

use super::{
    Pipeline,
    chosen::{Counted, Fate},
    consumer::Events,
    consumers::Ticks,
    name_gate::{Gated, event_waits},
};
use crate::{model::event::Event, path::reorder::Reorder};

impl Pipeline {
    /// Joins the next events to paths; `count` says how many are ready.
    pub(super) fn join_ready(&mut self, count: impl FnOnce(&mut Reorder) -> usize) {
        let mut reorder = std::mem::take(&mut self.reorder);
        let count = count(&mut reorder);
        for event in reorder.first(count) {
            // A live session shows every packet that the filter lets pass.
            let tap = (event.interface, event.direction);
            match self.follow(event) {
                Fate::Shown => *self.emitted.entry(tap).or_default() += 1,
                Fate::Filtered => self.refuse(tap),
                Fate::Waits => {}
            }
        }
        // One look-up per tap: the tree is slower to search.
        for (tap, events) in self.emitted.drain() {
            self.taps.entry(tap).or_default().emitted += events;
        }
        reorder.drop_first(count);
        self.reorder = reorder;
    }

    /// Joins the next event, in order of time. An event of a packet that is not to be shown is
    /// filtered.
    pub fn join(&mut self, event: &Event) {
        let tap = (event.interface, event.direction);
        match self.follow(event) {
            Fate::Shown => self.taps.entry(tap).or_default().emitted += 1,
            Fate::Filtered => self.refuse(tap),
            Fate::Waits => {}
        }
    }

    /// Tells that an event joins nothing. `stream`: the number of its session.
    pub(crate) fn leave_out(&mut self, event: &Event, stream: usize) {
        if self.consumers.take_joins() {
            self.consumers.left_out(event, stream);
        }
    }

    /// Gives the next packet this number, before the first.
    pub(crate) fn number_from(&mut self, id: u64) {
        self.builder.number_from(id);
    }

    /// Joins an event; returns whether it is shown.
    fn follow(&mut self, event: &Event) -> Fate {
        if event.ts_ns < self.followed_ns {
            self.builder.record_late(event.ts_ns, self.followed_ns);
        }
        self.followed_ns = self.followed_ns.max(event.ts_ns);
        let recall = |id| self.order.take(id);
        let packet = self.builder.push_or_recall(event, &self.world, recall);
        self.newest_packet = self.newest_packet.max(packet);
        if self.consumers.take_joins() {
            let further = self.builder.further();
            self.consumers.joined(event, packet, further, &self.world);
        }
        let mut packets = [packet]
            .into_iter()
            .chain(self.builder.further().iter().copied());
        let fate =
            if packets.all(|packet| packet < self.show_from) || self.is_filtered(&event.packet) {
                Fate::Filtered
            } else {
                self.chosen.take(event, packet, self.builder.further())
            };
        self.now_ns = self.now_ns.max(event.ts_ns);
        match fate {
            Fate::Shown => self.hand_on(event, packet),
            Fate::Waits => self.hand_on_decided(self.now_ns),
            Fate::Filtered => {}
        }
        // Otherwise nothing that waits can go on before the next tick.
        if self.builder.has_finished() {
            self.show_finished();
        }
        fate
    }

    /// Hands a shown event to the consumers.
    fn hand_on(&mut self, event: &Event, packet: u64) {
        self.count_shown(Counted::of(event));
        self.consumers
            .event(Events::All, event, packet, &self.world);
        if self.consumers.take_shown() {
            if event_waits(event, &self.world, self.now_ns) {
                self.gate(Gated::event(event, packet, self.consumers.show_bytes()));
            } else {
                self.show_event(event, packet);
            }
        }
    }

    /// Hands on the events of which it is known whether they are shown.
    pub(super) fn hand_on_decided(&mut self, now_ns: u64) {
        // An event that finds no room at the gate lets a path pass, which decides on more: the
        // loop that is running takes these, too.
        if std::mem::replace(&mut self.hands_on, true) {
            return;
        }
        loop {
            if let Some(moment) = self.chosen.due() {
                self.tick_consumers(Ticks::InOrder, moment);
                continue;
            }
            let Some(next) = self.chosen.next(now_ns) else {
                break;
            };
            let tap = next.counted.tap;
            if !next.is_shown {
                self.refuse(tap);
                continue;
            }
            self.taps.entry(tap).or_default().emitted += 1;
            match &next.event {
                Some(event) => self.hand_on(event, next.packet),
                None => self.count_shown(next.counted),
            }
        }
        self.hands_on = false;
    }

    /// Counts an event that is not shown.
    fn refuse(&mut self, tap: (u32, Direction)) {
        self.taps.entry(tap).or_default().filtered += 1;
        *self.refused.entry(tap).or_default() += 1;
    }

    fn count_shown(&mut self, event: Counted) {
        self.summary.unreadable += u64::from(event.is_unreadable);
        let (first_ns, last_ns) = self.span_ns.unwrap_or((event.ts_ns, event.ts_ns));
        self.span_ns = Some((first_ns.min(event.ts_ns), last_ns.max(event.ts_ns)));
    }
}
