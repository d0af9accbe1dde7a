//! Events of packets of which it is not known yet whether they are shown.
mod held;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;

use podtrace_ebpf::record::Direction;

use self::held::Held;
pub(in crate::pipeline) use self::held::Moment;
use crate::{
    map::Map,
    model::event::Event,
    packet::{Network, Payload, Transport},
};

/// Upper bound of the bytes of waiting events; beyond it the oldest goes on as if it were shown.
const CHOSEN_BYTES: usize = 4 << 20;
/// The longest wait, in nanoseconds: longer than a packet is waited for. A packet that goes on
/// and on has its events shown before it is known.
const WAIT_NS: u64 = 10_000_000_000;

/// Events in order of time, and what is known of their packets.
#[derive(Default)]
pub(super) struct Undecided {
    /// Whether somebody takes the events themselves; otherwise they are only counted.
    pub(super) keeps_events: bool,
    events: VecDeque<Waiting>,
    bytes: usize,
    /// Of these, the bytes of events of one packet alone that may go in any order.
    free_bytes: usize,
    packets: Map<u64, Packet>,
    ticks: Held,
}

/// What is counted of an event.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline) struct Counted {
    pub(in crate::pipeline) ts_ns: u64,
    pub(in crate::pipeline) tap: (u32, Direction),
    pub(in crate::pipeline) is_unreadable: bool,
}

impl Counted {
    pub(in crate::pipeline) fn of(event: &Event) -> Self {
        Self {
            ts_ns: event.ts_ns,
            tap: (event.interface, event.direction),
            is_unreadable: matches!(event.packet.network, Network::Unreadable)
                || matches!(event.packet.transport, Transport::Unreadable),
        }
    }
}

/// An event that need not wait any longer.
pub(in crate::pipeline) struct Decided {
    pub(in crate::pipeline) counted: Counted,
    /// The event itself, if somebody takes it.
    pub(in crate::pipeline) event: Option<Box<Event>>,
    pub(in crate::pipeline) packet: u64,
    pub(in crate::pipeline) is_shown: bool,
}

/// An event that waits.
struct Waiting {
    counted: Counted,
    event: Option<Box<Event>>,
    packet: u64,
    /// The packets that it belongs to beside that one.
    further: Box<[u64]>,
}

impl Waiting {
    fn packets(&self) -> impl Iterator<Item = u64> {
        [self.packet]
            .into_iter()
            .chain(self.further.iter().copied())
    }

    /// What it takes, with the entries of its packets.
    fn bytes(&self) -> usize {
        let of_packet = size_of::<u64>() + 4 * size_of::<(u64, Packet)>();
        let packets = of_packet * self.packets().count();
        let event = self.event.as_deref().map_or(0, |event| {
            let payload = event.payload.as_deref().map_or(0, Payload::bytes);
            size_of::<Event>() + event.captured.len() + payload
        });
        2 * size_of::<Self>() + packets + event
    }

    /// The same if it is of one packet alone.
    fn own_bytes(&self) -> usize {
        match self.further.is_empty() {
            true => self.bytes(),
            false => 0,
        }
    }
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is shown as one of this packet.
    ShownAs(u64),
    Refused,
}

/// A packet with events that wait.
#[derive(Clone, Copy, Debug, Default)]
struct Packet {
    waiting: usize,
    /// Bytes of the events that are of this packet alone.
    bytes: usize,
    /// Whether it is shown, once that is known.
    verdict: Option<bool>,
    /// Whether it is shown only if a correction of how it ended says so.
    awaits_correction: bool,
}

impl Packet {
    /// Whether it is not shown as far as is known by now.
    fn is_not_shown(&self) -> bool {
        self.verdict
            .map_or(self.awaits_correction, |is_shown| !is_shown)
    }

    /// Whether it is known that its events are only counted, so that their order does not matter.
    fn is_free(&self, keeps_events: bool) -> bool {
        self.verdict
            .is_some_and(|is_shown| !is_shown || !keeps_events)
    }
}

impl Undecided {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// `further`: the packets that the event belongs to beside the first; `is_shown`: whether it
    /// is known that they are shown.
    pub(super) fn push(&mut self, event: &Event, packet: u64, further: &[u64], is_shown: bool) {
        let waiting = Waiting {
            counted: Counted::of(event),
            event: self.keeps_events.then(|| kept(event)),
            packet,
            further: further.into(),
        };
        let bytes = waiting.bytes();
        let own = waiting.own_bytes();
        let keeps_events = self.keeps_events;
        for packet in waiting.packets() {
            let known = self.packets.entry(packet).or_default();
            if known.is_free(keeps_events) {
                self.free_bytes -= known.bytes;
            }
            if is_shown {
                known.verdict = Some(true);
            }
            known.waiting += 1;
            known.bytes += own;
            if known.is_free(keeps_events) {
                self.free_bytes += known.bytes;
            }
        }
        self.bytes += bytes;
        self.ticks.pushed += 1;
        self.events.push_back(waiting);
    }

    pub(super) fn decide(&mut self, packet: u64, is_shown: bool) {
        if let Some(known) = self.packets.get_mut(&packet)
            && known.verdict.is_none()
        {
            known.verdict = Some(is_shown);
            if known.is_free(self.keeps_events) {
                self.free_bytes += known.bytes;
            }
        }
    }

    /// Lets the events of a packet wait for a correction of how it ended: without one they are
    /// refused.
    pub(super) fn await_correction(&mut self, packet: u64) {
        if let Some(known) = self.packets.get_mut(&packet) {
            known.awaits_correction = true;
        }
    }

    /// Decides that no more packets are shown.
    pub(super) fn refuse_all(&mut self) {
        for known in self.packets.values_mut() {
            if known.verdict.is_none() {
                known.verdict = Some(false);
                self.free_bytes += known.bytes;
            }
        }
    }

    /// The next event that need not wait any longer. `now_ns`: the newest time known.
    pub(super) fn next(&mut self, now_ns: u64) -> Option<Decided> {
        let front = self.events.front()?;
        let mut verdict = self.verdict(front);
        let is_late = now_ns.saturating_sub(front.counted.ts_ns) >= WAIT_NS;
        if verdict.is_none() && !is_late {
            if self.bytes <= CHOSEN_BYTES {
                return None;
            }
            if self.free_bytes > self.bytes / 2 {
                self.let_free_go_first();
                verdict = self.verdict(self.events.front()?);
            }
        }
        let waiting = self.events.pop_front()?;
        self.ticks.gone += 1;
        let (packet, is_shown) = match verdict {
            Some(Verdict::ShownAs(packet)) => (packet, true),
            Some(Verdict::Refused) => (waiting.packet, false),
            None => (waiting.packet, !self.awaits_correction(&waiting)),
        };
        let own = waiting.own_bytes();
        self.bytes -= waiting.bytes();
        if verdict.is_some_and(|verdict| self.is_free(verdict)) {
            self.free_bytes -= own;
        }
        for packet in waiting.packets() {
            if let Some(known) = self.packets.get_mut(&packet) {
                known.waiting -= 1;
                known.bytes -= own;
                if known.waiting == 0 {
                    self.packets.remove(&packet);
                }
            }
        }
        Some(Decided {
            counted: waiting.counted,
            event: waiting.event,
            packet,
            is_shown,
        })
    }

    /// Keeps a tick for after the events that wait; returns whether some do.
    pub(super) fn hold(&mut self, moment: Moment) -> bool {
        let waits = self.keeps_events && !self.events.is_empty();
        if waits {
            self.ticks.push(moment);
        }
        waits
    }

    /// The next tick that was kept, once all events before it have gone on.
    pub(super) fn due(&mut self) -> Option<Moment> {
        self.ticks.pop()
    }

    /// What becomes of an event, once that is known: it is shown as the first of its packets
    /// that is.
    fn verdict(&self, waiting: &Waiting) -> Option<Verdict> {
        for packet in waiting.packets() {
            if self.packets.get(&packet)?.verdict? {
                return Some(Verdict::ShownAs(packet));
            }
        }
        Some(Verdict::Refused)
    }

    /// Whether an event is shown only if a correction says so.
    fn awaits_correction(&self, waiting: &Waiting) -> bool {
        let mut packets = waiting.packets().map(|packet| self.packets.get(&packet));
        packets.all(|known| known.is_some_and(Packet::is_not_shown))
    }

    /// Whether the order of an event does not matter, as it is only counted.
    fn is_free(&self, verdict: Verdict) -> bool {
        verdict == Verdict::Refused || !self.keeps_events
    }

    /// Makes room.
    fn let_free_go_first(&mut self) {
        let events = std::mem::take(&mut self.events);
        let is_free = |waiting: &Waiting| {
            let verdict = self.verdict(waiting);
            verdict.is_some_and(|verdict| self.is_free(verdict))
        };
        let (mut free, others): (VecDeque<_>, VecDeque<_>) = events.into_iter().partition(is_free);
        free.extend(others);
        self.events = free;
    }
}

/// The event. The captured bytes are copied: they would keep their whole batch in memory.
fn kept(event: &Event) -> Box<Event> {
    Box::new(Event {
        captured: Bytes::copy_from_slice(&event.captured),
        ..event.clone()
    })
}
