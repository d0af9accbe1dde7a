//! Takes events once that two recordings of one node hold.
//!
//! Each recording has its own taps, and so its own times: equal packets cannot be told apart. So
//! an interface that both watch is one recording's alone while both do.
use std::collections::{HashSet, VecDeque};

use podtrace_ebpf::record::Direction;

use super::stream::Stream;
use crate::{
    map::Map,
    model::{drop::KernelDrop, tap_point::TapPoint},
};

/// How far apart the times of one event in two recordings may be, in nanoseconds. Where one
/// recording takes over from another, what is within is taken of neither: nothing tells which
/// of it both hold.
const APART_NS: u64 = 1_000_000;
/// Upper bound of the dropped packets that are compared.
const DROPS_MAX: usize = 1024;

/// An interface of a node: its node, namespace and number.
type Place = (usize, u64, u32);

/// What the recordings of one node and time watch.
#[derive(Default)]
pub(super) struct Twice {
    /// The streams beside which others are.
    all: HashSet<usize>,
    watches: Map<Place, Vec<Watch>>,
    /// The interfaces by the number of their tap points.
    places: Map<u32, Place>,
    /// The streams that watch the sockets of pods, too.
    at_sockets: HashSet<usize>,
    /// What the kernel has dropped last, and the streams that have told it.
    drops: VecDeque<(KernelDrop, Vec<usize>)>,
    /// Events that were left out, as another stream has them.
    pub(super) held_twice: u64,
    /// Events that were left out where one stream takes over from another.
    pub(super) between: u64,
}

/// A stream watches an interface.
#[derive(Clone, Copy, Debug)]
struct Watch {
    stream: usize,
    /// Since it began, or since then.
    since_ns: u64,
    /// Until it ends, or until then.
    until_ns: u64,
}

/// An event: its time, and the number of its tap point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) ts_ns: u64,
    pub(super) tap: (u32, Direction),
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// Another stream has it.
    Elsewhere,
    /// Perhaps no other stream has it; the time until which that is so.
    Between(u64),
}

impl Twice {
    pub(super) fn new(streams: &[Stream]) -> Self {
        let all = streams
            .iter()
            .enumerate()
            .filter(|(_, it)| !it.beside.is_empty());
        let all = all.flat_map(|(number, it)| it.beside.iter().copied().chain([number]));
        Self {
            all: all.collect(),
            ..Self::default()
        }
    }

    /// Notes that a stream watches an interface from now on.
    pub(super) fn watch(&mut self, stream: usize, number: u32, point: &TapPoint, now_ns: u64) {
        if !self.all.contains(&stream) {
            return;
        }
        let place = (point.node, point.netns_id, point.ifindex);
        self.places.insert(number, place);
        let watches = self.watches.entry(place).or_default();
        let is_known = |watch: &Watch| watch.stream == stream && watch.until_ns == u64::MAX;
        if !watches.iter().any(is_known) {
            watches.retain(|watch| watch.stream != stream);
            watches.push(Watch {
                stream,
                since_ns: now_ns,
                until_ns: u64::MAX,
            });
        }
    }

    /// Notes that a stream no longer watches an interface.
    pub(super) fn unwatch(&mut self, stream: usize, number: u32, now_ns: u64) {
        let watches = self
            .places
            .get(&number)
            .and_then(|it| self.watches.get_mut(it));
        let own = watches
            .into_iter()
            .flatten()
            .filter(|it| it.stream == stream);
        own.for_each(|watch| watch.until_ns = now_ns);
    }

    /// Notes whether a stream watches the sockets of pods.
    pub(super) fn watch_sockets(&mut self, stream: usize, watches: bool) {
        if watches {
            self.at_sockets.insert(stream);
        } else {
            self.at_sockets.remove(&stream);
        }
    }

    /// Leaves out what another stream has told of packets that the kernel dropped.
    pub(super) fn leave_out_told(&mut self, stream: usize, drops: &mut Vec<KernelDrop>) {
        if self.all.contains(&stream) {
            drops.retain(|drop| self.is_news(stream, drop));
        }
    }

    fn is_news(&mut self, stream: usize, drop: &KernelDrop) -> bool {
        let is_same = |(known, by): &&mut (KernelDrop, Vec<usize>)| {
            let place = |drop: &KernelDrop| (drop.netns, drop.ifindex, drop.wire_len);
            known.ts_ns.abs_diff(drop.ts_ns) <= APART_NS
                && place(known) == place(drop)
                && known.bytes == drop.bytes
                && !by.contains(&stream)
        };
        if let Some((_, by)) = self.drops.iter_mut().find(is_same) {
            by.push(stream);
            return false;
        }
        if self.drops.len() >= DROPS_MAX {
            self.drops.pop_front();
        }
        self.drops.push_back((drop.clone(), vec![stream]));
        true
    }

    /// Whether an event of a stream is taken.
    #[inline]
    pub(super) fn take(&mut self, stream: usize, event: &Seen, streams: &[Stream]) -> Taken {
        if self.all.is_empty() || !self.all.contains(&stream) {
            return Taken::Yes;
        }
        let taken = self.judge(stream, event, streams);
        match taken {
            Taken::Yes => {}
            Taken::Elsewhere => self.held_twice += 1,
            Taken::Between(_) => self.between += 1,
        }
        taken
    }

    fn judge(&self, stream: usize, event: &Seen, streams: &[Stream]) -> Taken {
        let Seen { ts_ns, tap } = *event;
        let watches = self.places.get(&tap.0);
        let watches = watches.and_then(|place| self.watches.get(place));
        let watches = watches.map_or(&[][..], Vec::as_slice);
        let time = |watch: &Watch| watch.time(&streams[watch.stream]);
        let own = watches.iter().find(|watch| watch.stream == stream);
        let own_since_ns = own.and_then(time).map_or(0, |(since_ns, _)| since_ns);
        let sees = |other: &&Watch| {
            let is_at_socket = tap.1 == Direction::Socket;
            other.stream != stream && (!is_at_socket || self.at_sockets.contains(&other.stream))
        };
        for other in watches.iter().filter(sees) {
            let Some((since_ns, until_ns)) = time(other) else {
                continue;
            };
            let [late_ns, begun_ns] =
                [until_ns, own_since_ns].map(|ns| ns.saturating_add(APART_NS));
            if streams[stream].beside.contains(&other.stream) {
                if (since_ns..=until_ns).contains(&ts_ns) {
                    return Taken::Elsewhere;
                }
                if (since_ns..=late_ns).contains(&ts_ns) {
                    return Taken::Between(late_ns);
                }
            } else if since_ns < own_since_ns && own_since_ns <= late_ns && ts_ns <= begun_ns {
                // Until now the other one was taken.
                return Taken::Between(begun_ns);
            }
        }
        Taken::Yes
    }
}

impl Watch {
    /// From when to when it lasts, as far as it is known; none before the stream begins.
    fn time(&self, stream: &Stream) -> Option<(u64, u64)> {
        let since_ns = self.since_ns.max(stream.first_ns?);
        let end_ns = if stream.is_over {
            stream.now_ns
        } else {
            u64::MAX
        };
        Some((since_ns, self.until_ns.min(end_ns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_that_several_streams_tell_is_told_once() {
        let mut twice = Twice {
            all: [0, 1, 2].into(),
            ..Twice::default()
        };
        let drop = |ts_ns, bytes: &[u8]| KernelDrop {
            ts_ns,
            bytes: bytes.into(),
            ..KernelDrop::default()
        };
        // Equal packets that are dropped one after the other are two.
        for (stream, at_ns, told) in [(1, 1000, 2), (0, 1700, 0), (2, 1400, 0), (0, 2_000_000, 2)] {
            let mut drops = vec![drop(at_ns, b"a"), drop(at_ns + 50, b"a")];
            twice.leave_out_told(stream, &mut drops);
            assert_eq!(drops.len(), told, "{stream} {at_ns}");
        }
        let mut drops = vec![drop(1000, b"b")];
        twice.leave_out_told(7, &mut drops);
        twice.leave_out_told(0, &mut drops);
        assert_eq!(drops.len(), 1);
        for number in 0..5000_u32 {
            twice.leave_out_told(1, &mut vec![drop(0, &number.to_be_bytes())]);
        }
        assert_eq!(twice.drops.len(), DROPS_MAX);
    }
}
