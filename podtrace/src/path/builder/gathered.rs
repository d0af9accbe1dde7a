//! Where fragments are put together, and which of them have come there: who lacks one keeps the
//! others for a time, and then drops them. They were not lost there.
use std::{collections::VecDeque, net::IpAddr};

use podtrace_ebpf::record::Direction;

use super::{
    Builder,
    join::{
        fragments::{Datagram, datagram_of, part_of},
        index::Slot,
    },
    open::Open,
};
use crate::{
    model::event::Event,
    packet::{Network, Tunnel},
};

/// Upper bound of the fragments whose paths have ended that are known; the oldest is forgotten
/// first.
const GONE_MAX: usize = 256;
/// How long before or after a fragment the others may have been seen whose paths have ended, in
/// nanoseconds.
const NEAR_NS: u64 = 1_000_000_000;

/// Number and direction of a tap's interface.
type Tap = (u32, Direction);

/// Where a fragment begins and ends in its packet, and whether it is the last one.
type Part = (u32, u32, bool);

/// A packet that was sent in fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    datagram: Datagram,
    id: u32,
}

impl Whole {
    /// The one that a path's packet is a fragment of.
    fn of(open: &Open) -> Option<Self> {
        let Network::Ip(ip) = &open.path.packet.network else {
            return None;
        };
        Some(Self {
            id: ip.fragment?.id,
            datagram: datagram_of(open)?,
        })
    }

    /// The tunnel's packet of which a packet has the first fragment around it.
    fn around(tunnel: &Tunnel) -> Option<Self> {
        let id = tunnel.fragment?;
        let ip_id = match tunnel.source {
            IpAddr::V4(_) => id,
            IpAddr::V6(_) => 0,
        };
        let ends = (tunnel.source, tunnel.destination);
        Some(Self {
            datagram: (ends.0, ends.1, tunnel.protocol(), ip_id),
            id,
        })
    }
}

/// A fragment whose path has ended.
struct Gone {
    whole: Whole,
    id: u64,
    part: Part,
    /// Where it was last seen when.
    taps: Box<[(Tap, u64)]>,
}

/// A fragment that a tap has seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    ts_ns: u64,
    /// The number of its path.
    id: u64,
    part: Part,
}

/// The fragments whose paths have ended lately.
#[derive(Default)]
pub(super) struct Ended(VecDeque<Gone>);

/// What the fragments of one identification are that have come to a place with one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Gathered {
    /// All of a packet: the numbers of their paths.
    All(Vec<u64>),
    /// Some are missing.
    Some,
    /// They are of several packets, and nothing shows which are of one: who puts them together may
    /// drop them all, or take some of each for one packet.
    Mixed,
}

/// What these are that have come with the one of this number. Who has all of a packet begins with
/// the next one.
fn gathered(mut seen: Vec<Seen>, id: u64) -> Gathered {
    seen.sort_by_key(|one| one.ts_ns);
    let mut begin = 0;
    for end in 1..=seen.len() {
        let group = &seen[begin..end];
        if is_whole(group) {
            if group.iter().any(|one| one.id == id) {
                return Gathered::All(group.iter().map(|one| one.id).collect());
            }
            begin = end;
        }
    }
    let mut left: Vec<_> = seen[begin..].iter().map(|one| one.part).collect();
    left.sort_unstable();
    match left.windows(2).any(|pair| pair[1].0 < pair[0].1) {
        true => Gathered::Mixed,
        false => Gathered::Some,
    }
}

/// Whether fragments have each byte of a packet once.
fn is_whole(group: &[Seen]) -> bool {
    let mut parts: Vec<_> = group.iter().map(|one| one.part).collect();
    parts.sort_unstable();
    let end = parts.iter().try_fold(Some(0), |at, (begin, end, is_last)| {
        (at == Some(*begin)).then(|| (!is_last).then_some(*end))
    });
    end == Some(None)
}

impl Builder {
    /// The fragments of a packet that a tap has seen.
    fn seen_at(&self, whole: &Whole, tap: Tap, ts_ns: u64) -> Vec<Seen> {
        let open = self.joins.fragments_of(&whole.datagram).filter_map(|slot| {
            let may_be = |open: &&Open| open.may_go_on(ts_ns, self.timeout_ns);
            let open = self.open.get(slot).filter(may_be)?;
            let (id, bytes, is_last) = part_of(&open.path.packet)?;
            let part = (bytes.start, bytes.end, is_last);
            open.seen_at(tap, part).filter(|_| id == whole.id)
        });
        let mut seen: Vec<_> = open.collect();
        let gone = self.gone.0.iter().filter(|gone| gone.whole == *whole);
        seen.extend(gone.filter_map(|gone| {
            let (_, at_ns) = gone.taps.iter().rfind(|(other, _)| *other == tap)?;
            let (_, last_ns) = gone.taps.last()?;
            let is_near = last_ns.abs_diff(ts_ns) <= NEAR_NS;
            is_near.then_some(Seen {
                ts_ns: *at_ns,
                id: gone.id,
                part: gone.part,
            })
        }));
        let (source, destination, ..) = whole.datagram;
        let around = self.fragments.around((source, destination, whole.id));
        seen.extend(around.filter_map(|(slot, id, end)| {
            let open = self.open.get(slot).filter(|open| open.path.id == id)?;
            open.seen_at(tap, (0, end, false))
        }));
        seen
    }

    /// Whether a fragment that has arrived with an event waits there for others of its packet.
    #[inline(never)]
    pub(super) fn waits_for_others(&mut self, slot: Slot, event: &Event) -> bool {
        let open = self.open.get(slot);
        let is_whole = event.direction == Direction::Socket || !event.packet.is_fragment();
        let Some(whole) = open.filter(|_| !is_whole).and_then(Whole::of) else {
            return false;
        };
        let (tap, id) = ((event.interface, event.direction), self.id(slot));
        let gathered = gathered(self.seen_at(&whole, tap, event.ts_ns), id);
        if let Gathered::All(ids) = gathered {
            self.release(&whole, &ids, event.ts_ns);
            return false;
        }
        self.open.change(slot, event.ts_ns, |open| {
            open.lacks_others = true;
            open.path.ambiguous |= gathered == Gathered::Mixed;
        });
        true
    }

    /// Lets the fragments go on that have waited for the first one, which is around this packet in a
    /// tunnel.
    pub(super) fn release_around(&mut self, slot: Slot, tunnel: &Tunnel, event: &Event) {
        let (tap, id) = ((event.interface, event.direction), self.id(slot));
        if let Some(whole) = Whole::around(tunnel)
            && self.joins.fragments_of(&whole.datagram).next().is_some()
            && let Gathered::All(ids) = gathered(self.seen_at(&whole, tap, event.ts_ns), id)
        {
            self.release(&whole, &ids, event.ts_ns);
        }
    }

    /// Lets the fragments of a packet go on that have waited for the others.
    fn release(&mut self, whole: &Whole, ids: &[u64], ts_ns: u64) {
        let is_its = |slot: &Slot| {
            let open = self.open.get(*slot);
            open.is_some_and(|open| open.lacks_others && ids.contains(&open.path.id))
        };
        let slots = self.joins.fragments_of(&whole.datagram).filter(is_its);
        for slot in slots.collect::<Vec<_>>() {
            self.let_go(slot, ts_ns);
        }
    }

    /// Lets a fragment go on that may have waited for others.
    pub(super) fn let_go(&mut self, slot: Slot, ts_ns: u64) {
        self.take_up(slot);
        if self.open.get(slot).is_some_and(|open| open.lacks_others) {
            self.open
                .change(slot, ts_ns, |open| open.lacks_others = false);
        }
    }

    /// Whether a packet is, or has around it, a fragment that did not go on from where not all of its
    /// packet was seen; and whether those of several are mixed there.
    #[inline(never)]
    pub(super) fn lacks_others(&self, slot: Slot) -> Option<bool> {
        let open = self.open.get(slot).filter(|open| open.is_cut())?;
        let last = open.path.last_own_hop()?;
        let whole = match last.tunnel.as_deref() {
            Some(tunnel) if tunnel.fragment.is_some() => Whole::around(tunnel)?,
            _ => Whole::of(open)?,
        };
        if open.arrived && !open.lacks_others {
            return None;
        }
        let tap = (last.interface, last.direction);
        match gathered(self.seen_at(&whole, tap, last.ts_ns), open.path.id) {
            Gathered::All(_) => None,
            gathered => Some(gathered == Gathered::Mixed),
        }
    }

    /// Notes a fragment whose path ends.
    #[inline(never)]
    pub(super) fn note_gone(&mut self, open: &Open) {
        let part = part_of(&open.path.packet);
        let Some((whole, (_, bytes, is_last))) = Whole::of(open).zip(part) else {
            return;
        };
        let gone = &mut self.gone.0;
        if gone.len() >= GONE_MAX {
            gone.pop_front();
        }
        let taps = open.path.hops.iter();
        gone.push_back(Gone {
            whole,
            id: open.path.id,
            part: (bytes.start, bytes.end, is_last),
            taps: taps
                .map(|hop| ((hop.interface, hop.direction), hop.ts_ns))
                .collect(),
        });
    }
}

impl Open {
    /// Whether it is a fragment, or was cut into some, or has one around it where it was last.
    pub(super) fn is_cut(&self) -> bool {
        let tunnel = || self.path.hops.last()?.tunnel.as_deref()?.fragment;
        self.path.packet.is_fragment() || self.path.in_fragments || tunnel().is_some()
    }

    /// Its fragment as the tap has seen it last.
    fn seen_at(&self, tap: Tap, part: Part) -> Option<Seen> {
        let mut hops = self.path.hops.iter();
        let hop = hops.rfind(|hop| (hop.interface, hop.direction) == tap)?;
        Some(Seen {
            ts_ns: hop.ts_ns,
            id: self.path.id,
            part,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What these are, which came in this order, for the last of them.
    fn of_last(parts: &[Part]) -> Gathered {
        let seen = (0..).zip(parts).map(|(number, part)| Seen {
            ts_ns: number,
            id: number,
            part: *part,
        });
        gathered(seen.collect(), parts.len() as u64 - 1)
    }

    #[test]
    fn fragments_are_all_if_they_have_each_byte_once() {
        let (one, two) = ((0, 8, false), (8, 16, true));
        for (parts, expected) in [
            (&[one, two][..], Gathered::All(vec![0, 1])),
            (&[two, one], Gathered::All(vec![0, 1])),
            (&[one], Gathered::Some),
            (&[two], Gathered::Some),
            (&[one, (16, 24, true)], Gathered::Some),
            // One packet after the other, and a copy.
            (&[one, two, one], Gathered::Some),
            (&[one, two, two], Gathered::Some),
            (&[one, two, two, one], Gathered::All(vec![2, 3])),
            // Between each other.
            (&[one, one], Gathered::Mixed),
            (&[one, one, two], Gathered::Mixed),
            (&[one, one, two, two], Gathered::Mixed),
            (&[one, (0, 16, false), two], Gathered::Mixed),
            (&[one, (8, 24, true)], Gathered::All(vec![0, 1])),
        ] {
            assert_eq!(of_last(parts), expected, "{parts:?}");
        }
        assert_eq!(gathered(Vec::new(), 0), Gathered::Some);
    }
}
