//! Fragments that were put together on their way, and what came of them.
//!
//! Connection tracking gets the packets of a bridge or a router whole. What it sends on may have
//! other ends, or be cut in other places, and nothing joins it to the fragments for sure. But it
//! shows that they were not lost there.
use std::{collections::VecDeque, net::IpAddr};

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::Builder;
use crate::{
    model::{event::Event, tap_point::Role},
    packet::{Network, Packet},
    path::Path,
    world::World,
};

/// Upper bound of the datagrams that are known; the oldest is forgotten first.
const KNOWN_MAX: usize = 1024;
/// How long after its fragments were seen a datagram may be seen again, in nanoseconds: who
/// reassembles it sends it on at once.
const AT_ONCE_NS: u64 = 100_000_000;
/// How long fragments may be seen before their datagram is whole, in nanoseconds.
const NEAR_NS: u64 = 1_000_000_000;

/// Source, destination and identification, which all fragments of a datagram share.
type Id = (IpAddr, IpAddr, u32);

/// A datagram whose length is known, where it was seen first in this shape.
struct Datagram {
    id: Id,
    protocol: u8,
    /// The number of bytes behind the IP headers.
    bytes: u32,
    is_whole: bool,
    tap: (u32, Direction),
    /// Whether a process or a pod sends it there: it was nothing else before.
    is_sent: bool,
    ts_ns: u64,
}

/// The datagrams that were seen in fragments, and those that may be made of some.
#[derive(Default)]
pub(super) struct Datagrams {
    known: VecDeque<Datagram>,
    /// When the last fragment was seen.
    cut_ns: Option<u64>,
}

impl Datagrams {
    /// Whether another datagram that follows a path's packet, or the one that it is a fragment of,
    /// may be the same in another shape.
    pub(super) fn may_have(&self, path: &Path) -> bool {
        let (Some((id, protocol, end)), Some(last)) = (end_of(&path.packet), path.last_own_hop())
        else {
            return false;
        };
        let is_fragment = path.packet.is_fragment();
        let bytes = match is_fragment {
            true => {
                let mut cut = self.known.iter().rev().filter(|other| !other.is_whole);
                cut.find(|other| other.id == id).map(|other| other.bytes)
            }
            false => Some(end),
        };
        let destination = path.ends().map(|ends| ends.destination);
        let has_passed = |tap: (u32, Direction)| {
            let mut hops = path.hops.iter();
            hops.any(|hop| (hop.interface, hop.direction) == tap)
        };
        let may_be = |other: &Datagram| {
            let (source, _, _) = other.id;
            let after_ns = other.ts_ns.checked_sub(last.ts_ns);
            other.protocol == protocol
                && Some(other.bytes) == bytes
                && (is_fragment || !other.is_whole)
                && !other.is_sent
                && after_ns.is_some_and(|after_ns| after_ns <= AT_ONCE_NS)
                // Not the answer.
                && source != id.1
                && Some(source) != destination
                && !has_passed(other.tap)
        };
        self.known.iter().any(may_be)
    }
}

impl Builder {
    /// Notes the last fragment of a datagram, or a whole one near fragments, that is seen for the
    /// first time.
    #[inline]
    pub(super) fn note_datagram(&mut self, event: &Event, world: &World) {
        let is_fragment = event.packet.is_fragment();
        if is_fragment || self.datagrams.has_cut_near(event.ts_ns) {
            self.datagrams.note(event, is_fragment, world);
        }
    }
}

impl Datagrams {
    /// Whether a fragment was seen a while ago.
    #[inline]
    pub(super) fn has_cut_near(&self, ts_ns: u64) -> bool {
        let is_near = |cut_ns: u64| ts_ns.saturating_sub(cut_ns) <= NEAR_NS;
        self.cut_ns.is_some_and(is_near)
    }

    #[inline(never)]
    fn note(&mut self, event: &Event, is_fragment: bool, world: &World) {
        if is_fragment {
            self.cut_ns = Some(event.ts_ns);
        }
        let (Some((id, protocol, bytes)), false) = (end_of(&event.packet), has_more(&event.packet))
        else {
            return;
        };
        let point = world.tap_points.get(event.interface);
        let is_sent = match event.direction {
            Direction::Egress => {
                event.cgroup != CGROUP_NONE || point.is_some_and(|point| point.in_pod)
            }
            _ => point.is_some_and(|point| point.role == Role::Veth && point.leads_to.is_some()),
        };
        if self.known.len() >= KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back(Datagram {
            id,
            protocol,
            bytes,
            is_whole: !is_fragment,
            tap: (event.interface, event.direction),
            is_sent,
            ts_ns: event.ts_ns,
        });
    }
}

/// Whether more fragments follow a packet.
fn has_more(packet: &Packet) -> bool {
    let Network::Ip(ip) = &packet.network else {
        return false;
    };
    ip.fragment.is_some_and(|fragment| fragment.more)
}

/// The datagram of a packet, its protocol, and where the packet ends behind the datagram's IP headers.
fn end_of(packet: &Packet) -> Option<(Id, u8, u32)> {
    let Network::Ip(ip) = &packet.network else {
        return None;
    };
    let (start, id) = match ip.fragment {
        Some(fragment) => (u32::from(fragment.offset), fragment.id),
        None => (0, ip.id),
    };
    let end = start.checked_add(packet.behind_ip())?;
    Some(((ip.source, ip.destination, id), ip.protocol, end))
}
