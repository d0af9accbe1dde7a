//! Events of packets of which it is not known yet whether they are shown.
use std::collections::VecDeque;

use bytes::Bytes;

use podtrace_ebpf::record::Direction;

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
}

impl Packet {
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
        let (packet, is_shown) = match verdict {
            Some(Verdict::ShownAs(packet)) => (packet, true),
            Some(Verdict::Refused) => (waiting.packet, false),
            None => (waiting.packet, true),
        };
        Some(Decided {
            counted: waiting.counted,
            event: waiting.event,
            packet,
            is_shown,
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Packet;

    fn keeping() -> Undecided {
        Undecided {
            keeps_events: true,
            ..Undecided::default()
        }
    }

    fn event(ts_ns: u64) -> Event {
        Event {
            ts_ns,
            interface: 0,
            direction: Direction::Ingress,
            wire_len: 0,
            gso_segments: 0,
            cgroup: 0,
            packet: Packet::unread(),
            payload: None,
            vlan_tci: None,
            matches: true,
            captured: Bytes::from(vec![0; 100]),
            link: 1,
        }
    }

    fn next(undecided: &mut Undecided, now_ns: u64) -> Vec<(u64, u64, bool)> {
        std::iter::from_fn(|| undecided.next(now_ns))
            .map(|next| (next.counted.ts_ns, next.packet, next.is_shown))
            .collect()
    }

    #[test]
    fn events_wait_in_order_until_their_packets_are_known() {
        let mut undecided = keeping();
        undecided.push(&event(1), 7, &[], false);
        undecided.push(&event(2), 8, &[], true);
        assert!(next(&mut undecided, 3).is_empty());
        // The later hop of the first packet matches, and so do its events before and after.
        undecided.push(&event(4), 7, &[], true);
        undecided.push(&event(5), 7, &[], false);
        let all = [(1, 7, true), (2, 8, true), (4, 7, true), (5, 7, true)];
        assert_eq!(next(&mut undecided, 5), all);
        undecided.push(&event(6), 7, &[], false);
        undecided.push(&event(7), 9, &[], false);
        undecided.decide(9, false);
        assert!(next(&mut undecided, 8).is_empty());
        undecided.decide(7, true);
        assert_eq!(next(&mut undecided, 8), [(6, 7, true), (7, 9, false)]);
        assert!(undecided.packets.is_empty() && undecided.bytes == 0);
        undecided.push(&event(9), 10, &[], false);
        assert!(next(&mut undecided, 9 + WAIT_NS - 1).is_empty());
        assert_eq!(next(&mut undecided, 9 + WAIT_NS), [(9, 10, true)]);
    }

    /// One that belongs to several packets is shown as the first of them that is, and refused if
    /// all are.
    #[test]
    fn event_of_several_packets_is_shown_if_one_of_them_is() {
        for (verdicts, expected) in [
            ([false, true, false], (1, 8, true)),
            ([true, true, false], (1, 7, true)),
            ([false, false, false], (1, 7, false)),
        ] {
            let mut undecided = keeping();
            undecided.push(&event(1), 7, &[8, 9], false);
            for (packet, is_shown) in [9, 8, 7].into_iter().zip(verdicts.into_iter().rev()) {
                assert!(next(&mut undecided, 2).is_empty());
                undecided.decide(packet, is_shown);
            }
            assert_eq!(next(&mut undecided, 2), [expected]);
            assert!(undecided.packets.is_empty());
            assert_eq!((undecided.bytes, undecided.free_bytes), (0, 0));
        }
        let mut undecided = keeping();
        undecided.push(&event(1), 7, &[8], true);
        undecided.push(&event(2), 8, &[], false);
        assert_eq!(next(&mut undecided, 2), [(1, 7, true), (2, 8, true)]);
    }

    #[test]
    fn refused_events_make_room_for_those_that_wait() {
        let mut undecided = keeping();
        undecided.push(&event(1), 7, &[], false);
        let (mut shown, mut refused) = (0, 0);
        for packet in 8..100_000 {
            undecided.push(&event(2), packet, &[], false);
            undecided.decide(packet, packet % 100 == 0);
            for (.., is_shown) in next(&mut undecided, 3) {
                shown += u64::from(is_shown);
                refused += u64::from(!is_shown);
            }
            assert!(undecided.bytes <= CHOSEN_BYTES);
        }
        // The first packet is still not known, and holds up what is shown.
        assert!(shown == 0 && refused > 80_000, "{shown} {refused}");
        undecided.decide(7, true);
        let rest = next(&mut undecided, 3);
        assert_eq!(rest[0], (1, 7, true));
        assert_eq!(rest.iter().filter(|(.., is_shown)| *is_shown).count(), 1000);
        assert!(undecided.packets.is_empty());
        assert_eq!((undecided.bytes, undecided.free_bytes), (0, 0));
    }

    /// One packet that is still not known does not hold up those that are only counted.
    #[test]
    fn counted_events_make_room_for_those_that_wait() {
        let mut undecided = Undecided::default();
        undecided.push(&event(1), 7, &[], false);
        for packet in 8..100_000 {
            undecided.push(&event(2), packet, &[], false);
            undecided.decide(packet, packet % 2 == 0);
            let all = next(&mut undecided, 3);
            assert!(all.iter().all(|(ts_ns, ..)| *ts_ns == 2));
            assert!(undecided.bytes <= CHOSEN_BYTES);
        }
        undecided.decide(7, false);
        assert!(next(&mut undecided, 3).contains(&(1, 7, false)));
        assert_eq!((undecided.bytes, undecided.free_bytes), (0, 0));
    }

    #[test]
    fn waiting_events_are_bounded_in_bytes() {
        let mut undecided = keeping();
        let mut shown = 0;
        for packet in 0..100_000 {
            undecided.push(&event(0), packet, &[], false);
            shown += next(&mut undecided, 0).len();
            assert!(undecided.bytes <= CHOSEN_BYTES);
        }
        assert!(shown > 0);
    }
}
