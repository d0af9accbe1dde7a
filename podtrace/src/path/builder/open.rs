//! The open paths.
mod all;
mod waits;

use podtrace_ebpf::record::Direction;

pub(super) use all::OpenPaths;

use super::{
    SETTLE_NS,
    join::{flow::Flow, index::Slot},
    parts::{Bytes, Parts},
    transition::Transition,
};
use crate::{
    model::{event::Event, frame::Frame},
    packet::{PacketKey, Payload, Tunnel},
    path::{Hop, Outcome, Path, Translation, dropped::Dropped},
};
use waits::{FRAGMENT_NS, FRAGMENT6_NS, Waits};

/// Memory of an open path in addition to the path itself: its slot, its links in five lists
/// that may have room for twice as many, and its entries in three tables that may be less than
/// half full.
const BESIDE: usize = size_of::<Option<Open>>() + 5 * 4 * size_of::<Slot>() + 3 * 64;
/// Hops that a path without room gets room for, if it has few: from node to node.
const MORE_HOPS: usize = 6;

/// The sockets that may want a packet for many, by the places that it has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Members {
    /// It is no such packet, or has reached none yet.
    NotAsked,
    /// None of them is watched.
    Unwatched,
    /// Some are watched.
    Watched,
}

/// An open path.
pub(super) struct Open {
    pub(super) path: Box<Path>,
    pub(super) key: PacketKey,
    /// The key's hash.
    pub(super) hash: u64,
    /// The time of the newest event when its packet was last seen. It never decreases from
    /// one event to the next, even if an event comes late.
    seen_ns: u64,
    /// Bytes of its tunnels.
    pub(super) tunnels: u32,
    /// Its size in bytes when it was changed last, and what of it never changes.
    size: usize,
    fixed: usize,
    /// A bit for each tap that has seen it: several taps share a bit.
    taps: u64,
    pub(super) arrived: bool,
    /// Whether it has arrived where its packet is to be put together, and waits for others of its
    /// fragments.
    pub(super) lacks_others: bool,
    /// Whether it is late, and waits for as long as fragments do.
    pub(super) waits_as_fragment: bool,
    /// Whether it arrived where a socket is to receive it.
    pub(super) wants_socket: bool,
    /// Whether it is for the sockets that want it, and has reached some place where some may.
    pub(super) members: Members,
    /// Whether it left the node, and a router has sent it back.
    pub(super) has_returned: bool,
    /// Whether it has arrived at a socket that is to answer it.
    pub(super) wants_answer: bool,
    /// Whether it was reported as not seen further.
    pub(super) late: bool,
    /// Whether its last hop does not show how it continues.
    pub(super) inconclusive: bool,
    /// Whether it and all older paths with its key were marked as ambiguous together.
    pub(super) has_equals: bool,
    /// How it has ended if it does not continue, and is not missed.
    pub(super) optional: Option<Outcome>,
    /// Whether it went to a port of a bridge.
    is_at_port: bool,
    /// Whether it went to several.
    pub(super) is_flooded: bool,
    /// The part of it that each hop has seen, if some have not seen it whole.
    pub(super) parts: Option<Box<Parts>>,
    /// Its key in the index of flows.
    pub(super) flow: Option<Flow>,
    /// Its key in the index of contents.
    pub(super) content: Option<u64>,
}

impl Open {
    /// A path that has no hop yet. `hash`: the key's.
    pub(super) fn new(path: Box<Path>, key: PacketKey, hash: u64) -> Self {
        Self {
            path,
            key,
            hash,
            seen_ns: 0,
            tunnels: 0,
            size: 0,
            fixed: 0,
            taps: 0,
            arrived: false,
            lacks_others: false,
            waits_as_fragment: false,
            wants_socket: false,
            members: Members::NotAsked,
            has_returned: false,
            wants_answer: false,
            late: false,
            inconclusive: false,
            has_equals: false,
            optional: None,
            is_at_port: false,
            is_flooded: false,
            parts: None,
            flow: None,
            content: None,
        }
    }

    /// A path that had ended, and goes on.
    pub(super) fn resumed(mut path: Box<Path>, key: PacketKey, hash: u64) -> Self {
        let hops = std::mem::take(&mut path.hops);
        let mut open = Self::new(path, key, hash);
        hops.into_iter().for_each(|hop| open.push(hop));
        open
    }

    /// Adds a hop.
    pub(super) fn push(&mut self, hop: Hop) {
        if hop.tunnel.is_some() {
            self.tunnels += size_of::<Tunnel>() as u32;
        }
        self.taps |= bit_of(hop.interface, hop.direction);
        let hops = &mut self.path.hops;
        if hops.len() == hops.capacity() {
            hops.reserve_exact(MORE_HOPS.max(hops.len() / 2));
        }
        hops.push(hop);
    }

    /// Takes over what its last hop means, of this number.
    #[inline(never)]
    pub(super) fn take(&mut self, transition: Transition, hop: usize) {
        match transition {
            Transition::ToPort => self.note_port(),
            Transition::Aside => self.set_aside(hop),
            Transition::AwaitsMember => self.members = Members::Watched,
            Transition::MayHaveMember => self.members = self.members.max(Members::Unwatched),
            Transition::AwaitsAnswer => self.wants_answer = true,
            Transition::AwaitsSocket => self.wants_socket = true,
            Transition::Inconclusive => self.inconclusive = true,
            Transition::Optional(outcome) => self.optional = Some(outcome),
            Transition::Onward | Transition::Arrived | Transition::End(_) => {}
        }
        self.arrived |= transition.is_arrival();
    }

    /// Notes that it goes to a port of a bridge. Its segments all go to one.
    fn note_port(&mut self) {
        self.is_flooded = self.is_at_port && self.parts.is_none();
        self.is_at_port = true;
    }

    /// Marks a hop as belonging to a copy for another receiver.
    fn set_aside(&mut self, hop: usize) {
        if let Some(hop) = self.path.hops.get_mut(hop) {
            hop.aside = true;
        }
    }

    /// The number of the hop that the event belongs to, or of the next one.
    #[inline]
    pub(super) fn hop_at(&self, event: &Event) -> usize {
        self.last_at(event).unwrap_or(self.path.hops.len())
    }

    /// Whether the event's tap has seen the packet.
    #[inline]
    pub(super) fn has_passed(&self, event: &Event) -> bool {
        self.last_at(event).is_some()
    }

    /// The number of the last hop at the event's tap. Most packets have passed it a moment
    /// ago, or not at all.
    #[inline]
    fn last_at(&self, event: &Event) -> Option<usize> {
        if self.taps & bit_of(event.interface, event.direction) == 0 {
            return None;
        }
        self.path.hops.iter().rposition(|hop| hop.is_at(event))
    }

    /// The first of the bytes that a hop has not seen yet.
    pub(super) fn missing(&self, hop: usize, bytes: Bytes) -> Option<Bytes> {
        match &self.parts {
            Some(parts) => parts.missing(hop, bytes),
            None => (hop == self.path.hops.len()).then_some(bytes),
        }
    }

    /// Changes the key after a translation of its ends. An arrival at the former destination
    /// no longer counts.
    pub(super) fn rekey(&mut self, key: PacketKey, hash: u64) {
        self.key = key;
        self.hash = hash;
        self.has_equals = false;
        self.arrived = false;
        self.lacks_others = false;
        self.wants_socket = false;
        self.members = Members::NotAsked;
    }

    /// That it has left the node it was last seen at, if nothing waits for it elsewhere, nor does
    /// it come back each time.
    pub(super) fn left(&self) -> Option<Outcome> {
        let may_have_left = !self.arrived && self.path.circle.is_none();
        self.optional
            .filter(|outcome| may_have_left && outcome.has_left())
    }

    /// Whether an answer, or a kernel, has said that its packet goes no further.
    pub(super) fn is_stopped(&self) -> bool {
        self.path.is_refused() || self.path.is_dropped()
    }

    /// Whether its packet was seen a moment before the event.
    pub(super) fn is_fresh(&self, event: &Event) -> bool {
        let last = self.path.hops.last();
        last.is_some_and(|last| event.ts_ns.saturating_sub(last.ts_ns) <= SETTLE_NS)
    }

    /// Whether it has arrived, and waits for no others of its fragments.
    #[inline]
    fn has_settled(&self) -> bool {
        self.arrived & !self.lacks_others
    }

    fn waits(&self) -> Waits {
        match self.waits_as_fragment {
            true => Waits::LateFragment,
            false => Waits::of(self.late, self.has_settled()),
        }
    }

    /// The bytes of what never changes.
    fn measure_fixed(&self) -> usize {
        let payload = self.path.payload.as_deref().map_or(0, Payload::bytes);
        let frame = self.path.frame.as_deref().map_or(0, Frame::bytes);
        BESIDE + size_of::<Path>() + payload + frame
    }

    /// Its size in bytes.
    #[inline]
    fn measure(&self) -> usize {
        let hops = self.path.hops.capacity() * size_of::<Hop>();
        let translations = self.path.translations.capacity() * size_of::<Translation>();
        let parts = self.parts.as_ref().map_or(0, |parts| parts.size());
        let refusal = self.path.refusal.as_deref().map_or(0, size_of_val);
        let dropped = self.path.dropped.as_deref().map_or(0, Dropped::bytes);
        let beside = refusal + dropped + self.tunnels as usize;
        self.fixed + hops + translations + parts + beside
    }

    /// Whether the packet has not been seen for so long that its path ends.
    pub(super) fn is_over(&self, now_ns: u64, timeout_ns: u64) -> bool {
        self.silent_ns(now_ns) > self.waits().patience_ns(timeout_ns)
    }

    /// How long its packet has not been seen, in nanoseconds.
    fn silent_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.seen_ns)
    }

    /// Whether its time is over, but it was not ended yet: its packet is reported as not seen
    /// further, if nothing else is known of it.
    #[inline]
    pub(super) fn is_overdue(&self, now_ns: u64, timeout_ns: u64) -> bool {
        !self.late && !self.has_settled() && self.silent_ns(now_ns) > timeout_ns
    }

    /// Whether its packet, if it goes on now, was slow.
    pub(super) fn is_slow(&self, now_ns: u64, timeout_ns: u64) -> bool {
        (self.late || self.is_overdue(now_ns, timeout_ns)) && self.may_go_on(now_ns, timeout_ns)
    }

    /// Whether its packet may still go on, even if slowly.
    pub(super) fn may_go_on(&self, now_ns: u64, timeout_ns: u64) -> bool {
        let (silent_ns, waits) = (self.silent_ns(now_ns), self.waits());
        let is_in_time = silent_ns <= waits.longest_ns(timeout_ns);
        match waits {
            Waits::ForCopies => is_in_time,
            Waits::LateFragment => self.may_be_put_together(silent_ns),
            Waits::ForNextHop | Waits::Late => is_in_time || self.may_be_put_together(silent_ns),
        }
    }

    /// Whether it is a fragment, and its receiver may still wait for it or with it.
    #[cold]
    fn may_be_put_together(&self, silent_ns: u64) -> bool {
        let is_v4 = self
            .path
            .packet
            .source()
            .is_some_and(|source| source.is_ipv4());
        self.is_cut() && silent_ns <= if is_v4 { FRAGMENT_NS } else { FRAGMENT6_NS }
    }
}

/// The number of a tap.
#[inline]
pub(super) fn tap_number(interface: u32, direction: Direction) -> u32 {
    interface << 2 | direction as u32
}

/// The bit of a tap in [`Open::taps`].
#[inline]
fn bit_of(interface: u32, direction: Direction) -> u64 {
    1 << (tap_number(interface, direction) % u64::BITS)
}
