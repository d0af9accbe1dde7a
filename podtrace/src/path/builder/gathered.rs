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
    part: Part,
    taps: Box<[Tap]>,
    last_ns: u64,
}

/// The fragments whose paths have ended lately.
#[derive(Default)]
pub(super) struct Ended(VecDeque<Gone>);

/// What the fragments of one identification are that have come to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gathered {
    /// All of a packet, or of several.
    All,
    /// Some are missing.
    Some,
    /// They are of several packets, and nothing shows which are of one.
    Mixed,
}

/// What these are.
fn gathered(mut parts: Vec<Part>) -> Gathered {
    parts.sort_unstable();
    let packets = parts.iter().take_while(|part| part.0 == 0).count();
    let same_begin = |one: &Part, other: &Part| one.0 == other.0;
    let missing = match parts.chunk_by(same_begin).any(|parts| parts.len() > 1) {
        true => Gathered::Mixed,
        false => Gathered::Some,
    };
    let mut at = Some(0);
    for same in parts.chunk_by(same_begin) {
        let (begin, end, is_last) = same[0];
        let is_next = at == Some(begin) && same.len() == packets;
        if !is_next || same.iter().any(|part| *part != same[0]) {
            return missing;
        }
        at = (!is_last).then_some(end);
    }
    match at {
        None => Gathered::All,
        Some(_) => missing,
    }
}

impl Builder {
    /// The fragments of a packet that a tap has seen.
    fn parts_at(&self, whole: &Whole, tap: Tap, ts_ns: u64) -> Vec<Part> {
        let open = self.joins.fragments_of(&whole.datagram).filter_map(|slot| {
            let may_be =
                |open: &&Open| open.has_come_to(tap) && open.may_go_on(ts_ns, self.timeout_ns);
            let open = self.open.get(slot).filter(may_be)?;
            let (id, bytes, is_last) = part_of(&open.path.packet)?;
            (id == whole.id).then_some((bytes.start, bytes.end, is_last))
        });
        let mut parts: Vec<_> = open.collect();
        let gone = self.gone.0.iter().filter(|gone| {
            gone.whole == *whole
                && gone.last_ns.abs_diff(ts_ns) <= NEAR_NS
                && gone.taps.contains(&tap)
        });
        parts.extend(gone.map(|gone| gone.part));
        let (source, destination, ..) = whole.datagram;
        let around = self.fragments.around((source, destination, whole.id));
        parts.extend(around.filter_map(|(slot, id, end)| {
            let open = self.open.get(slot).filter(|open| open.path.id == id)?;
            open.has_come_to(tap).then_some((0, end, false))
        }));
        parts
    }

    /// Whether a fragment that has arrived with an event waits there for others of its packet.
    #[inline(never)]
    pub(super) fn waits_for_others(&mut self, slot: Slot, event: &Event) -> bool {
        let open = self.open.get(slot);
        let is_whole = event.direction == Direction::Socket || !event.packet.is_fragment();
        let Some(whole) = open.filter(|_| !is_whole).and_then(Whole::of) else {
            return false;
        };
        let tap = (event.interface, event.direction);
        let gathered = gathered(self.parts_at(&whole, tap, event.ts_ns));
        if gathered == Gathered::All {
            self.release(&whole, tap, event.ts_ns);
            return false;
        }
        self.open.change(slot, event.ts_ns, |open| {
            open.lacks_others = true;
            open.path.ambiguous |= gathered == Gathered::Mixed;
        });
        true
    }

    /// Lets the fragments go on that have waited for the first one, which is around a packet in a
    /// tunnel.
    pub(super) fn release_around(&mut self, tunnel: &Tunnel, event: &Event) {
        let tap = (event.interface, event.direction);
        if let Some(whole) = Whole::around(tunnel)
            && self.joins.fragments_of(&whole.datagram).next().is_some()
            && gathered(self.parts_at(&whole, tap, event.ts_ns)) == Gathered::All
        {
            self.release(&whole, tap, event.ts_ns);
        }
    }

    /// Lets the fragments of a packet go on that have waited at a tap for the others.
    fn release(&mut self, whole: &Whole, tap: Tap, ts_ns: u64) {
        let is_its = |slot: &Slot| {
            let open = self.open.get(*slot);
            open.is_some_and(|open| {
                open.lacks_others && open.has_come_to(tap) && Whole::of(open) == Some(*whole)
            })
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
        match gathered(self.parts_at(&whole, tap, last.ts_ns)) {
            Gathered::All => None,
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
            part: (bytes.start, bytes.end, is_last),
            taps: taps.map(|hop| (hop.interface, hop.direction)).collect(),
            last_ns: open.path.last_ns(),
        });
    }
}

impl Open {
    /// Whether it is a fragment, or was cut into some, or has one around it where it was last.
    pub(super) fn is_cut(&self) -> bool {
        let tunnel = || self.path.hops.last()?.tunnel.as_deref()?.fragment;
        self.path.packet.is_fragment() || self.path.in_fragments || tunnel().is_some()
    }

    fn has_come_to(&self, tap: Tap) -> bool {
        let mut hops = self.path.hops.iter();
        hops.any(|hop| (hop.interface, hop.direction) == tap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_all_if_each_packet_has_each_byte_once() {
        for (parts, expected) in [
            (&[(0, 8, false), (8, 16, true)][..], Gathered::All),
            (&[(8, 16, true), (0, 8, false)], Gathered::All),
            (&[(0, 8, false)], Gathered::Some),
            (&[(8, 16, true)], Gathered::Some),
            (&[(0, 8, false), (16, 24, true)], Gathered::Some),
            (
                &[(0, 8, false), (0, 8, false), (8, 16, true), (8, 16, true)],
                Gathered::All,
            ),
            (
                &[(0, 8, false), (0, 8, false), (8, 16, true)],
                Gathered::Mixed,
            ),
            (
                &[(0, 8, false), (8, 16, true), (8, 24, true)],
                Gathered::Mixed,
            ),
            (&[], Gathered::Some),
        ] {
            assert_eq!(gathered(parts.to_vec()), expected, "{parts:?}");
        }
    }
}
