//! The fragments of a packet that was not seen whole: each is a packet of its own on its way,
//! and belongs to the first.
use std::{collections::VecDeque, net::IpAddr, ops::Range};

use smallvec::{SmallVec, smallvec};

use super::{
    Builder,
    carried::outer_length,
    join::{fragments::part_of, index::Slot},
};
use crate::{
    model::event::Event,
    packet::{Ends, Network, Packet},
    path::{FragmentOf, Outcome, Path},
};

/// Upper bound of the first fragments that are known, and of the others that came before theirs;
/// the oldest is forgotten first.
const KNOWN_MAX: usize = 256;
/// Upper bound of the fragments of a packet whose bytes are known. The longest packet has 46 of an
/// Ethernet frame each.
const PARTS_MAX: usize = 64;
/// How long a fragment waits for the others, in nanoseconds (RFC 1122: 60 s at least, Linux: 30).
const WAIT_NS: u64 = 60_000_000_000;

/// How long the fragments of a packet may be seen before or after it is whole, in nanoseconds.
const NEAR_NS: u64 = 1_000_000_000;
/// Source, destination and identification, which all fragments share.
type Whole = (IpAddr, IpAddr, u32);

/// The state of fragmented packets.
#[derive(Default)]
pub(super) struct Fragments {
    firsts: VecDeque<First>,
    /// Those that came before the first.
    others: VecDeque<Other>,
    /// Those of a known first: its number, and theirs.
    followers: VecDeque<(u64, Slot, u64)>,
}

/// A packet that the first fragment shows.
struct First {
    whole: Whole,
    /// Its ends with the ports, if it is not in a tunnel.
    ends: Option<Ends>,
    /// Hash of its first bytes, which is that of the whole packet.
    hash: u32,
    slot: Slot,
    id: u64,
    ts_ns: u64,
    in_tunnel: bool,
    is_lost: bool,
    /// Whether no socket took its packet where one was to.
    is_untaken: bool,
    /// Which bytes of its packet it and the others of its fragments have.
    bytes: SmallVec<[Range<u32>; 3]>,
}

/// A fragment that came before the first.
struct Other {
    whole: Whole,
    slot: Slot,
    id: u64,
    bytes: Range<u32>,
    ts_ns: u64,
}

impl First {
    /// Whether a fragment of these bytes, seen then, may be of its packet: of two with the same
    /// bytes, one is of another packet with the same identification.
    fn may_have(&self, whole: &Whole, bytes: &Range<u32>, ts_ns: u64) -> bool {
        let mut known = self.bytes.iter();
        self.whole == *whole
            && ts_ns.abs_diff(self.ts_ns) <= WAIT_NS
            && !known.any(|known| known.start < bytes.end && bytes.start < known.end)
    }

    /// Notes that a fragment of these bytes is of its packet.
    fn has(&mut self, bytes: Range<u32>) {
        if self.bytes.len() < PARTS_MAX {
            self.bytes.push(bytes);
        }
    }

    /// Whether a packet of IPv6 may be its own as a whole, one of whose ends may be translated: it has
    /// the same first bytes, and no less than its fragments.
    fn may_be_of(&self, whole: &Packet) -> bool {
        let (Some(ends), Some(seen)) = (self.ends, whole.ends()) else {
            return false;
        };
        let keeps_one = ends.from() == seen.from() || ends.to() == seen.to();
        let total = whole.behind_ip();
        keeps_one
            && self.hash == whole.payload_hash
            && self.bytes.iter().all(|bytes| bytes.end <= total)
    }

    /// Whether a path is its own: one that was slow has two numbers.
    fn is_of(&self, path: &Path) -> bool {
        path.id == self.id || path.late_of.is_some_and(|before| before.id == self.id)
    }

    fn link(&self) -> FragmentOf {
        FragmentOf {
            packet: self.id,
            in_tunnel: self.in_tunnel,
            is_lost_with_it: false,
        }
    }
}

/// The whole that the packet is a fragment of, and which of its bytes it has.
fn fragment(packet: &Packet) -> Option<(Whole, Range<u32>)> {
    let (id, bytes, _) = part_of(packet)?;
    Some(((packet.source()?, packet.destination()?, id), bytes))
}

impl Fragments {
    /// The packets in tunnels that have the first fragment of this one around them: place and number
    /// of their paths, and where that fragment ends.
    pub(super) fn around(&self, whole: Whole) -> impl Iterator<Item = (Slot, u64, u32)> + '_ {
        let firsts = self.firsts.iter();
        let its = firsts.filter(move |first| first.in_tunnel && first.whole == whole);
        its.filter_map(|first| Some((first.slot, first.id, first.bytes.first()?.end)))
    }

    /// The paths that have the first fragment of a packet like this one, seen a while ago: the same or
    /// other ends, and in IPv6, which shows no identification in a whole packet, any.
    pub(super) fn firsts_like(&self, whole: &Packet, ts_ns: u64) -> impl Iterator<Item = Slot> {
        let id = whole.ipv4_id().map(u32::from);
        let is_like = move |first: &&First| {
            let (source, _, of) = first.whole;
            let is_near = ts_ns.saturating_sub(first.ts_ns) <= NEAR_NS;
            is_near
                && !first.in_tunnel
                && source.is_ipv4() == id.is_some()
                && id.is_none_or(|id| id == of)
        };
        self.firsts.iter().filter(is_like).map(|first| first.slot)
    }

    /// Whether a packet is whole whose fragments were seen: a bridge or a router has reassembled
    /// them to look at it, and sends fragments on. IPv6 shows no identification in a whole packet.
    /// One of its ends may be translated there.
    pub(super) fn have(&self, packet: &Packet, seen_ns: u64) -> bool {
        let Network::Ip(ip) = &packet.network else {
            return false;
        };
        let is_its = |first: &First| {
            let (source, destination, id) = first.whole;
            let is_near = seen_ns.abs_diff(first.ts_ns) <= NEAR_NS;
            let is_like = match ip.source.is_ipv4() {
                true => id == ip.id && (source == ip.source || destination == ip.destination),
                false => first.may_be_of(packet),
            };
            is_near && is_like
        };
        ip.fragment.is_none() && self.firsts.iter().any(is_its)
    }
}

impl Builder {
    /// Notes a fragment that is seen for the first time.
    #[inline(never)]
    pub(super) fn note_fragment(&mut self, slot: Slot, event: &Event) {
        match fragment(&event.packet) {
            Some((whole, bytes)) if bytes.start == 0 => {
                self.note_first(whole, slot, event, bytes, false);
            }
            Some((whole, bytes)) => self.note_other(whole, slot, bytes, event.ts_ns),
            None => {}
        }
    }

    /// Notes a packet in a tunnel whose outer packet is a first fragment.
    pub(super) fn note_outer_fragment(&mut self, slot: Slot, event: &Event) {
        if let Some(tunnel) = &event.packet.tunnel
            && let Some(id) = tunnel.fragment
        {
            let whole = (tunnel.source, tunnel.destination, id);
            let headers = if tunnel.source.is_ipv4() { 20 } else { 48 };
            // All but the last end at a multiple of 8.
            let end = outer_length(event).saturating_sub(headers) & !7;
            self.note_first(whole, slot, event, 0..end, true);
            self.release_around(slot, tunnel, event);
        }
    }

    /// `event`: of the fragment, or of the packet in a tunnel that it is around.
    fn note_first(
        &mut self,
        whole: Whole,
        slot: Slot,
        event: &Event,
        bytes: Range<u32>,
        in_tunnel: bool,
    ) {
        let (packet, ts_ns) = (&event.packet, event.ts_ns);
        let mut first = First {
            whole,
            ends: packet.ends().filter(|_| !in_tunnel),
            hash: packet.payload_hash,
            slot,
            id: self.id(slot),
            ts_ns,
            in_tunnel,
            is_lost: false,
            is_untaken: false,
            bytes: smallvec![bytes],
        };
        let Fragments {
            firsts,
            others,
            followers,
        } = &mut self.fragments;
        if firsts
            .iter()
            .rev()
            .any(|known| (known.whole, known.id) == (whole, first.id))
        {
            return;
        }
        others.retain(|other| {
            if !first.may_have(&other.whole, &other.bytes, other.ts_ns) {
                return true;
            }
            if let Some(open) = self.open.get_mut(other.slot)
                && open.path.id == other.id
            {
                open.path.fragment_of = Some(first.link());
            }
            first.has(other.bytes.clone());
            follow(followers, first.id, other.slot, other.id);
            false
        });
        if firsts.len() >= KNOWN_MAX {
            firsts.pop_front();
        }
        firsts.push_back(first);
    }

    fn note_other(&mut self, whole: Whole, slot: Slot, bytes: Range<u32>, ts_ns: u64) {
        let id = self.id(slot);
        let Fragments {
            firsts,
            others,
            followers,
        } = &mut self.fragments;
        let mut known = firsts
            .iter_mut()
            .rev()
            .filter(|first| first.may_have(&whole, &bytes, ts_ns));
        let Some(first) = known.next() else {
            if others.len() >= KNOWN_MAX {
                others.pop_front();
            }
            return others.push_back(Other {
                whole,
                slot,
                id,
                bytes,
                ts_ns,
            });
        };
        // Several packets have one identification, and lack these bytes.
        let is_doubtful = known.next().is_some();
        first.has(bytes);
        follow(followers, first.id, slot, id);
        if let Some(open) = self.open.get_mut(slot) {
            open.path.fragment_of = Some(first.link());
            open.path.ambiguous |= is_doubtful;
        }
    }

    /// The first fragment of the packet that an answer quotes as it was put together again: place and
    /// number of its path.
    pub(super) fn first_of(&self, quoted: &Packet, ts_ns: u64) -> Option<(Slot, u64)> {
        let Network::Ip(ip) = &quoted.network else {
            return None;
        };
        let ends = quoted.ends()?;
        let is_its = |first: &&First| {
            let (.., id) = first.whole;
            // A whole packet of IPv6 shows none.
            let is_like = ip.source.is_ipv6() || id == ip.id;
            let is_near = ts_ns.saturating_sub(first.ts_ns) <= NEAR_NS;
            let had = || {
                let open = self.open.get(first.slot);
                let open = open.filter(|open| open.path.id == first.id);
                open.is_some_and(|open| open.path.has_had(ends))
            };
            is_like && is_near && !first.in_tunnel && (first.ends == Some(ends) || had())
        };
        let first = self.fragments.firsts.iter().rev().find(is_its);
        first.map(|first| (first.slot, first.id))
    }

    /// Whether a later fragment is of a packet that a socket was to take where it arrived, and none
    /// has: only the first fragment shows that a socket is to.
    #[inline(never)]
    pub(super) fn is_of_untaken(&self, path: &Path) -> bool {
        let Some(link) = path.fragment_of.filter(|link| !link.in_tunnel) else {
            return false;
        };
        let mut firsts = self.fragments.firsts.iter().rev();
        let first = firsts.find(|first| first.id == link.packet);
        first.is_some_and(|first| {
            let open = self.open.get(first.slot);
            let open = open.filter(|open| first.is_of(&open.path));
            first.is_untaken || open.is_some_and(|open| open.wants_socket)
        })
    }

    /// The other fragments of a packet, by the numbers that its first has had.
    pub(super) fn followers_of(&self, first: &[u64]) -> Vec<(Slot, u64)> {
        let all = self.fragments.followers.iter();
        let its = all.filter(|(of, ..)| first.contains(of));
        its.map(|(_, slot, id)| (*slot, *id)).collect()
    }
}

/// Notes a fragment of a known first.
fn follow(followers: &mut VecDeque<(u64, Slot, u64)>, first: u64, slot: Slot, id: u64) {
    if followers.len() >= KNOWN_MAX {
        followers.pop_front();
    }
    followers.push_back((first, slot, id));
}

impl Fragments {
    /// Notes that a path was lost; says so on one whose first fragment was lost before.
    pub(super) fn note_end(&mut self, path: &mut Path, outcome: Outcome) {
        if outcome.has_gone_on() {
            return;
        }
        if let Some(link) = &mut path.fragment_of {
            let first = self
                .firsts
                .iter()
                .rev()
                .find(|first| first.id == link.packet);
            link.is_lost_with_it = first.is_some_and(|first| first.is_lost);
        } else if let Some(first) = self.firsts.iter_mut().rev().find(|first| first.is_of(path)) {
            first.is_lost = true;
            first.is_untaken = outcome == Outcome::NoSocket;
        }
    }
}
