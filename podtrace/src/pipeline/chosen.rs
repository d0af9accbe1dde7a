//! Which packets are shown where a filter is given.
//!
//! A packet is shown with all its hops if it matches at one of them. So its events wait until
//! that is known: at the first that matches, or when its path has ended. They go on in order of
//! time, as without a filter.
use std::collections::VecDeque;

use bytes::Bytes;

use crate::{map::Map, model::event::Event, packet::Payload, path::Path};

/// Upper bound of the bytes of waiting events; beyond it the oldest goes on as if it matched.
pub(super) const CHOSEN_BYTES: usize = 4 << 20;
/// The longest wait, in nanoseconds: longer than a packet is waited for. A packet that goes on
/// and on has its events shown before it is known.
const WAIT_NS: u64 = 10_000_000_000;

/// The packets that are shown.
#[derive(Default)]
pub(super) enum Chosen {
    /// All of them.
    #[default]
    All,
    /// Those that match at one hop at least.
    Matching(Undecided),
    /// Of these, the hops where they match.
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

/// Events in order of time, and what is known of their packets.
#[derive(Default)]
pub(super) struct Undecided {
    events: VecDeque<(Box<Event>, u64)>,
    bytes: usize,
    packets: Map<u64, Packet>,
}

/// A packet with events that wait.
#[derive(Clone, Copy, Debug, Default)]
struct Packet {
    waiting: usize,
    /// Whether it is shown, once that is known.
    verdict: Option<bool>,
}

impl Chosen {
    /// What becomes of an event; keeps it if that is not known yet.
    pub(super) fn take(&mut self, event: &Event, packet: u64) -> Fate {
        match self {
            Self::All => Fate::Shown,
            Self::Hops if event.matches => Fate::Shown,
            Self::Hops => Fate::Filtered,
            Self::Matching(undecided) => {
                undecided.push(event, packet);
                Fate::Waits
            }
        }
    }

    /// A path has ended.
    pub(super) fn decide(&mut self, path: &Path) {
        if let Self::Matching(undecided) = self {
            undecided.decide(path.id, path.matches());
        }
    }

    /// The next event that need not wait any longer: the event, its packet, and whether it is
    /// shown. `now_ns`: the newest time known.
    pub(super) fn next(&mut self, now_ns: u64) -> Option<(Box<Event>, u64, bool)> {
        match self {
            Self::All | Self::Hops => None,
            Self::Matching(undecided) => undecided.next(now_ns),
        }
    }

    /// What is shown of a path that matches, if that is not all.
    pub(super) fn narrowed(&self, path: &Path) -> Option<Box<Path>> {
        matches!(self, Self::Hops).then(|| {
            let mut narrowed = Box::new(path.clone());
            narrowed.keep_matching();
            narrowed
        })
    }

    /// Whether there is a filter.
    pub(super) fn is_part(&self) -> bool {
        !matches!(self, Self::All)
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Self::Matching(undecided) if !undecided.events.is_empty())
    }
}

impl Undecided {
    fn push(&mut self, event: &Event, packet: u64) {
        let known = self.packets.entry(packet).or_default();
        known.waiting += 1;
        if event.matches {
            known.verdict = Some(true);
        }
        // The captured bytes are copied: they would keep their whole batch in memory.
        let event = Event {
            captured: Bytes::copy_from_slice(&event.captured),
            ..event.clone()
        };
        self.bytes += bytes(&event);
        self.events.push_back((Box::new(event), packet));
    }

    fn decide(&mut self, packet: u64, matches: bool) {
        if let Some(known) = self.packets.get_mut(&packet) {
            known.verdict = Some(matches || known.verdict == Some(true));
        }
    }

    fn next(&mut self, now_ns: u64) -> Option<(Box<Event>, u64, bool)> {
        let (event, packet) = self.events.front()?;
        let verdict = self.packets.get(packet).and_then(|known| known.verdict);
        let is_late = now_ns.saturating_sub(event.ts_ns) >= WAIT_NS;
        if verdict.is_none() && !is_late && self.bytes <= CHOSEN_BYTES {
            return None;
        }
        let (event, packet) = self.events.pop_front()?;
        self.bytes -= bytes(&event);
        if let Some(known) = self.packets.get_mut(&packet) {
            known.waiting -= 1;
            if known.waiting == 0 {
                self.packets.remove(&packet);
            }
        }
        Some((event, packet, verdict.unwrap_or(true)))
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

/// What a waiting event takes, with its packet's entry.
fn bytes(event: &Event) -> usize {
    let entry = 2 * size_of::<(Box<Event>, u64)>() + 4 * size_of::<(u64, Packet)>();
    let payload = event.payload.as_deref().map_or(0, Payload::bytes);
    entry + size_of::<Event>() + event.captured.len() + payload
}

#[cfg(test)]
mod tests {
    use podtrace_ebpf::record::Direction;

    use super::*;
    use crate::packet::Packet;

    fn event(ts_ns: u64, matches: bool) -> Event {
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
            matches,
            captured: Bytes::from(vec![0; 100]),
            link: 1,
        }
    }

    fn next(undecided: &mut Undecided, now_ns: u64) -> Vec<(u64, u64, bool)> {
        std::iter::from_fn(|| undecided.next(now_ns))
            .map(|(event, packet, is_shown)| (event.ts_ns, packet, is_shown))
            .collect()
    }

    #[test]
    fn events_wait_in_order_until_their_packets_are_known() {
        let mut undecided = Undecided::default();
        undecided.push(&event(1, false), 7);
        undecided.push(&event(2, true), 8);
        assert!(next(&mut undecided, 3).is_empty());
        // The later hop of the first packet matches, and so do its events before and after.
        undecided.push(&event(4, true), 7);
        undecided.push(&event(5, false), 7);
        let all = [(1, 7, true), (2, 8, true), (4, 7, true), (5, 7, true)];
        assert_eq!(next(&mut undecided, 5), all);
        undecided.push(&event(6, false), 7);
        undecided.push(&event(7, false), 9);
        undecided.decide(9, false);
        assert!(next(&mut undecided, 8).is_empty());
        undecided.decide(7, true);
        assert_eq!(next(&mut undecided, 8), [(6, 7, true), (7, 9, false)]);
        assert!(undecided.packets.is_empty() && undecided.bytes == 0);
        undecided.push(&event(9, false), 10);
        assert!(next(&mut undecided, 9 + WAIT_NS - 1).is_empty());
        assert_eq!(next(&mut undecided, 9 + WAIT_NS), [(9, 10, true)]);
    }

    #[test]
    fn waiting_events_are_bounded_in_bytes() {
        let mut undecided = Undecided::default();
        let mut shown = 0;
        for packet in 0..100_000 {
            undecided.push(&event(0, false), packet);
            shown += next(&mut undecided, 0).len();
            assert!(undecided.bytes <= CHOSEN_BYTES);
        }
        assert!(shown > 0);
    }
}
