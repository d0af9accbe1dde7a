//! The fragments of a packet that was not seen whole: each is a packet of its own on its way,
//! and belongs to the first.
use std::{collections::VecDeque, net::IpAddr};

use super::{Builder, join::index::Slot};
use crate::{
    model::event::Event,
    packet::{Ends, Network, Packet},
    path::{FragmentOf, Outcome, Path},
};

/// Upper bound of the first fragments that are known, and of the others that came before theirs;
/// the oldest is forgotten first.
const KNOWN_MAX: usize = 256;
/// How long a fragment waits for the others, in nanoseconds (RFC 1122: 60 s at least, Linux: 30).
const WAIT_NS: u64 = 60_000_000_000;

/// How long the fragments of a packet may be seen before or after it is whole, in nanoseconds.
const NEAR_NS: u64 = 1_000_000_000;
/// No smaller packet of IPv6 is fragmented as a rule (RFC 8200).
const IPV6_MTU_MIN: u32 = 1280;

/// Source, destination and identification, which all fragments share.
type Whole = (IpAddr, IpAddr, u32);

/// The state of fragmented packets.
#[derive(Default)]
pub(super) struct Fragments {
    firsts: VecDeque<First>,
    /// Those that came before the first.
    others: VecDeque<(Whole, Slot, u64)>,
    /// Those of a known first: its number, and theirs.
    followers: VecDeque<(u64, Slot, u64)>,
}

/// A packet that the first fragment shows.
struct First {
    whole: Whole,
    /// Its ends with the ports, if it is not in a tunnel.
    ends: Option<Ends>,
    slot: Slot,
    id: u64,
    ts_ns: u64,
    in_tunnel: bool,
    is_lost: bool,
}

impl First {
    fn link(&self) -> FragmentOf {
        FragmentOf {
            packet: self.id,
            in_tunnel: self.in_tunnel,
            is_lost_with_it: false,
        }
    }
}

/// The whole that the packet is a fragment of, and its offset there.
fn fragment(packet: &Packet) -> Option<(Whole, u16)> {
    let Network::Ip(ip) = &packet.network else {
        return None;
    };
    let fragment = ip.fragment?;
    Some(((ip.source, ip.destination, fragment.id), fragment.offset))
}

impl Fragments {
    /// Whether a packet is whole whose fragments were seen: a bridge or a router has reassembled
    /// them to look at it, and sends fragments on. IPv6 shows no identification in a whole packet.
    pub(super) fn have(&self, packet: &Packet, seen_ns: u64) -> bool {
        let Network::Ip(ip) = &packet.network else {
            return false;
        };
        let is_its = |first: &First| {
            let (source, destination, id) = first.whole;
            let is_near = seen_ns.abs_diff(first.ts_ns) <= NEAR_NS;
            let is_like = match ip.source.is_ipv4() {
                true => id == ip.id,
                false => packet.length > IPV6_MTU_MIN,
            };
            (source, destination) == (ip.source, ip.destination) && is_near && is_like
        };
        ip.fragment.is_none() && self.firsts.iter().any(is_its)
    }
}

impl Builder {
    /// Notes a fragment that is seen for the first time.
    #[inline(never)]
    pub(super) fn note_fragment(&mut self, slot: Slot, event: &Event) {
        match fragment(&event.packet) {
            Some((whole, 0)) => self.note_first(whole, slot, event.packet.ends(), event.ts_ns),
            Some((whole, _)) => self.note_other(whole, slot, event.ts_ns),
            None => {}
        }
    }

    /// Notes a packet in a tunnel whose outer packet is a first fragment.
    #[inline]
    pub(super) fn note_outer_fragment(&mut self, slot: Slot, event: &Event) {
        if let Some(tunnel) = &event.packet.tunnel
            && let Some(id) = tunnel.fragment
        {
            let whole = (tunnel.source, tunnel.destination, id);
            self.note_first(whole, slot, None, event.ts_ns);
        }
    }

    /// `ends`: none of what is in a tunnel.
    fn note_first(&mut self, whole: Whole, slot: Slot, ends: Option<Ends>, ts_ns: u64) {
        let first = First {
            whole,
            ends,
            slot,
            id: self.id(slot),
            ts_ns,
            in_tunnel: ends.is_none(),
            is_lost: false,
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
        others.retain(|(other, slot, id)| {
            let is_its = *other == whole;
            if is_its
                && let Some(open) = self.open.get_mut(*slot)
                && open.path.id == *id
            {
                open.path.fragment_of = Some(first.link());
            }
            if is_its {
                follow(followers, first.id, *slot, *id);
            }
            !is_its
        });
        if firsts.len() >= KNOWN_MAX {
            firsts.pop_front();
        }
        firsts.push_back(first);
    }

    fn note_other(&mut self, whole: Whole, slot: Slot, ts_ns: u64) {
        let id = self.id(slot);
        let Fragments {
            firsts,
            others,
            followers,
        } = &mut self.fragments;
        let mut known = firsts.iter().rev();
        let first = known
            .find(|first| first.whole == whole && ts_ns.saturating_sub(first.ts_ns) <= WAIT_NS);
        let Some(first) = first else {
            if others.len() >= KNOWN_MAX {
                others.pop_front();
            }
            return others.push_back((whole, slot, id));
        };
        follow(followers, first.id, slot, id);
        if let Some(open) = self.open.get_mut(slot) {
            open.path.fragment_of = Some(first.link());
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
        } else if let Some(first) = self
            .firsts
            .iter_mut()
            .rev()
            .find(|first| first.id == path.id)
        {
            first.is_lost = true;
        }
    }
}
