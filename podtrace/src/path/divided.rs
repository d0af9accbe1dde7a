//! Paths of packets that go on in segments or in fragments.
use super::{Outcome, Path, Segments};
use crate::packet::IPPROTO_TCP;

/// Length of a packet that need not be cut: each host takes such a one (RFC 791).
const FRAGMENTED_MIN: u32 = 576;

impl Path {
    /// The part of it that a hop has seen, if not one whole packet.
    #[must_use]
    pub fn segments_at(&self, hop: usize) -> Option<Segments> {
        let seen = self.segments.get(hop).copied()?;
        (seen.packets > 1 || seen.bytes < self.divisible()).then_some(seen)
    }

    /// How many of its hops come before it was lost, if only some of its fragments came further:
    /// who puts them together drops them where nothing is wrong.
    pub(crate) fn hops_until_lost(&self) -> usize {
        let is_lost = self.in_fragments && self.outcome == Outcome::NotSeenFurther;
        let is_whole = |seen: &Segments| seen.bytes >= self.divisible();
        let last_whole = self.segments.iter().rposition(is_whole);
        match last_whole.filter(|_| is_lost) {
            Some(whole) => whole + 1,
            None => self.hops.len(),
        }
    }

    /// The number of bytes that its segments or fragments have together.
    pub(crate) fn divisible(&self) -> u32 {
        match self.in_fragments {
            true => self.packet.behind_ipv4(),
            false => self.packet.payload(),
        }
    }

    /// Whether a router may cut its packet: a large one of IPv4 that nobody else cuts. TCP
    /// forbids it.
    pub(crate) fn may_be_fragmented(&self) -> bool {
        let packet = &self.packet;
        packet.length > FRAGMENTED_MIN
            && self.gso_segments <= 1
            && packet.ip_protocol() != Some(IPPROTO_TCP)
            && packet.ipv4_id().is_some_and(|id| id != 0)
            && !packet.is_fragment()
    }
}
