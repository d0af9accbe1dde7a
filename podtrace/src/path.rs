//! Turns events into paths: the ordered hops of each packet and the outcome.
//!
//! Pure: no clock, no I/O; the only time is the time of the events.
pub mod builder;
pub mod clocks;
mod divided;
pub mod dropped;
pub mod ends;
pub mod flood;
pub(crate) mod flow;
pub mod losses;
mod matching;
pub mod refusal;
pub mod reorder;
pub mod rtt;
pub mod service;
mod shares;
pub mod summary;
mod times;
mod views;

use std::{net::IpAddr, time::Duration};

use podtrace_ebpf::record::Direction;

use crate::{
    model::{event::Event, frame::Frame},
    packet::{Ends, Network, Packet, Payload, Tunnel},
};
use dropped::Dropped;
use refusal::Refusal;
pub use rtt::RoundTrip;

/// How long a packet may stay between two hops by default.
pub const HOP_TIMEOUT: Duration = Duration::from_millis(500);

/// One tap that saw the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// Number of the interface.
    pub interface: u32,
    /// Direction of the tap.
    pub direction: Direction,
    /// Length of the frame here in bytes.
    pub wire_len: u32,
    /// The VXLAN tunnel it is in here. Boxed, as few hops have one.
    pub tunnel: Option<Box<Tunnel>>,
    /// TTL or hop limit here, of an IP packet.
    pub ttl: Option<u8>,
    /// Whether it is a copy for somebody else here: a bridge has sent it to all its ports.
    pub aside: bool,
    /// Cgroup id of the socket that the packet belongs to here
    /// ([`podtrace_ebpf::record::Record::cgroup`]).
    pub cgroup: u64,
    /// Whether it matches the filter here; always if there is none.
    pub matches: bool,
}

impl Hop {
    /// Whether the event comes from the hop's tap.
    #[must_use]
    pub(crate) fn is_at(&self, event: &Event) -> bool {
        (self.interface, self.direction) == (event.interface, event.direction)
    }

    /// The TTL or hop limit of an IP packet.
    pub(crate) fn ttl_of(packet: &Packet) -> Option<u8> {
        match &packet.network {
            Network::Ip(ip) => Some(ip.ttl),
            _ => None,
        }
    }

    /// The hop of an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self {
            ts_ns: event.ts_ns,
            interface: event.interface,
            direction: event.direction,
            wire_len: event.wire_len,
            tunnel: event.packet.tunnel.map(Box::new),
            ttl: Self::ttl_of(&event.packet),
            aside: false,
            cgroup: event.cgroup,
            matches: event.matches,
        }
    }
}

/// A path that has ended, of a packet that was seen or refused afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateOf {
    /// Its number.
    pub id: u64,
    /// How many hops it had.
    pub hops: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it was [`Path::ambiguous`].
    pub ambiguous: bool,
    /// Whether it was [`Path::incomplete`].
    pub incomplete: bool,
}

impl LateOf {
    /// A path that has ended, as one that is corrected.
    #[must_use]
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            id: path.id,
            hops: path.hops.len(),
            outcome: path.outcome,
            ambiguous: path.ambiguous,
            incomplete: path.incomplete,
        }
    }
}

/// The part of a packet that a hop has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// The number of packets that it came in.
    pub packets: u32,
    /// How many of the packet's segments they were, if that is known: several may come in one.
    pub segments: Option<u32>,
    /// The number of payload bytes.
    pub bytes: u32,
}

/// The packet that went on without some of its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartOf {
    /// Its number.
    pub packet: u64,
    /// How many segments were left behind here, and how many it had in all, if that is known.
    pub segments: Option<(u16, u16)>,
}

/// The packet that a fragment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentOf {
    /// Its number, which is the first fragment's.
    pub packet: u64,
    /// Whether that is in a tunnel, whose outer packet is in fragments.
    pub in_tunnel: bool,
    /// Whether neither went on: who reassembles them drops them together.
    pub is_lost_with_it: bool,
}

/// A tap that a packet came by again, in the same direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circle {
    /// Number of the first hop there.
    pub hop: usize,
    /// How often it came by.
    pub times: u32,
}

/// A change of a packet's ends by address translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Number of the first hop that shows the new ends.
    pub hop: usize,
    /// The ends before.
    pub before: Ends,
    /// The ends from that hop on.
    pub after: Ends,
}

impl Translation {
    /// Whether the source has changed.
    #[must_use]
    pub fn is_of_source(&self) -> bool {
        self.before.from() != self.after.from()
    }

    /// Whether the destination has changed.
    #[must_use]
    pub fn is_of_destination(&self) -> bool {
        self.before.to() != self.after.to()
    }
}

/// How a path ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It reached a pod, or the node itself.
    Delivered,
    /// It reached a pod, and no socket of a container there took it.
    NoSocket,
    /// It left by the uplink in a tunnel to another node.
    LeftForVtep(IpAddr),
    /// It left by the uplink without a tunnel.
    LeftNode,
    /// No tap saw it again, and no event was lost meanwhile.
    NotSeenFurther,
    /// It may have gone on: events were lost meanwhile.
    EventsLost,
    /// Too many packets were under way at once to wait for all.
    GivenUp,
    /// The trace ended while the packet was under way.
    InFlight,
    /// Nothing shows how it ended: it was last seen in a plain capture, only some interfaces
    /// were watched, or it was for a node port, which a node translates.
    Unknown,
    /// Nobody is known to want it, and nothing is wrong: a tunnel that carries no group packets
    /// took it, or it is for many, and no socket of a container that it reached took it.
    NoReceiver,
    /// An answer says that it goes no further: [`Path::refusal`].
    Refused,
    /// It asks for a neighbour's address, or for a connection at the socket that it reached,
    /// and nobody answered.
    Unanswered,
    /// It went in a circle until it was not seen any more: [`Path::circle`].
    Loop,
    /// The kernel says that it has dropped it: [`Path::dropped`].
    Dropped,
}

impl Outcome {
    /// The outcomes in the order of the summary, with their JSON names.
    pub const NAMES: [&'static str; 14] = [
        "delivered",
        "no_socket",
        "left_for_vtep",
        "left_node",
        "not_seen_further",
        "events_lost",
        "given_up",
        "in_flight",
        "unknown",
        "no_receiver_expected",
        "refused",
        "loop",
        "unanswered",
        "dropped",
    ];

    /// Whether the packet has left the node.
    pub(crate) fn has_left(self) -> bool {
        matches!(self, Self::LeftNode | Self::LeftForVtep(_))
    }

    /// Whether the packet has arrived, or left.
    pub(crate) fn has_gone_on(self) -> bool {
        self == Self::Delivered || self.has_left()
    }

    /// Its JSON name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// Position in [`Self::NAMES`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Delivered => 0,
            Self::NoSocket => 1,
            Self::LeftForVtep(_) => 2,
            Self::LeftNode => 3,
            Self::NotSeenFurther => 4,
            Self::EventsLost => 5,
            Self::GivenUp => 6,
            Self::InFlight => 7,
            Self::Unknown => 8,
            Self::NoReceiver => 9,
            Self::Refused => 10,
            Self::Loop => 11,
            Self::Unanswered => 12,
            Self::Dropped => 13,
        }
    }
}

/// The path of one packet.
#[derive(Clone, Debug)]
pub struct Path {
    /// Number of the packet in this session, from 1.
    pub id: u64,
    /// The packet, as the first tap saw it.
    pub packet: Packet,
    /// Its hops in order of time; at least one.
    pub hops: Vec<Hop>,
    /// How it ended.
    pub outcome: Outcome,
    /// Equal packets were under way at the same time: a hop may belong to another one.
    pub ambiguous: bool,
    /// Hops may be missing: events were lost while it was under way, or the
    /// trace ended while a next hop was awaited.
    pub incomplete: bool,
    /// Whether its outcome is unknown for no other reason than that interfaces were unwatched for some
    /// time.
    pub is_unwatched: bool,
    /// Whether its outcome is unknown because only some packets were recorded where it may have been.
    pub is_unrecorded: bool,
    /// Whether its outcome is unknown because it may have gone on in another shape, after somebody
    /// has put its fragments together.
    pub is_reassembled: bool,
    /// Whether its outcome is unknown because a kernel has dropped more packets like it than it tells
    /// of.
    pub is_untold: bool,
    /// Whether its outcome is unknown because it is a fragment, or has one around it, that did not go on
    /// from where not all fragments of its packet were seen: who puts them together waits for the
    /// others.
    pub lacks_fragments: bool,
    /// Whether that is because fragments of several packets came between each other, and nothing shows
    /// which are of one.
    pub mixes_fragments: bool,
    /// Whether it is for many, has reached places where sockets may want it, and no socket was
    /// seen to take it.
    pub is_untaken: bool,
    /// How many segments it stands for that an interface splits it into, or 0.
    pub gso_segments: u16,
    /// The part of it that each hop has seen; empty if each has seen it whole.
    pub segments: Vec<Segments>,
    /// Whether that is in fragments, not in segments: bytes are those behind the IP header.
    pub in_fragments: bool,
    /// The packet whose segments this path has that were left behind.
    pub part_of: Option<PartOf>,
    /// Of a later fragment: the packet that it belongs to.
    pub fragment_of: Option<FragmentOf>,
    /// The packet with bytes of the same stream that was under way when this one was sent.
    pub copy_of: Option<u64>,
    /// The earlier report of it, which this one corrects.
    pub late_of: Option<LateOf>,
    /// Where it came again, if it went in a circle. Of the hops from there on, those of two
    /// rounds are kept.
    pub circle: Option<Circle>,
    /// The answer that refuses it. Boxed, as few packets are refused.
    pub refusal: Option<Box<Refusal>>,
    /// What a kernel says that has dropped it. Boxed, as few packets are dropped.
    pub dropped: Option<Box<Dropped>>,
    /// What its payload says, where it is read.
    pub payload: Option<Box<Payload>>,
    /// Its bytes at the first hop, if somebody shows them.
    pub frame: Option<Box<Frame>>,
    /// Of an ICMP error or a reset: the packet that it is about.
    pub about: Option<u64>,
    /// The translations of its ends, in order.
    pub translations: Vec<Translation>,
    /// For an echo reply: the round trip.
    pub round_trip: Option<RoundTrip>,
    /// For an echo reply: the cgroup of the socket that sent the request.
    pub requester: Option<u64>,
    /// Whether only the hops that match the filter are shown: [`Path::shown_hops`].
    pub is_narrowed: bool,
}

impl Path {
    /// Whether its packet has had these ends.
    pub(crate) fn has_had(&self, ends: Ends) -> bool {
        let mut translations = self.translations.iter();
        self.packet.ends() == Some(ends) || translations.any(|one| one.after == ends)
    }

    /// Whether an answer refuses it, be it after it was delivered.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.refusal
            .as_deref()
            .is_some_and(|refusal| refusal.reason.is_refusal())
    }

    /// The ends that its packet has at the last hop.
    #[must_use]
    pub fn ends(&self) -> Option<Ends> {
        let translated = self.translations.last().map(|last| last.after);
        translated.or_else(|| self.packet.ends())
    }

    /// The round trip of an echo reply, if it is known to be one: the reply is not mistaken for
    /// another, and is back where the request was first seen.
    #[must_use]
    pub fn measured_trip(&self) -> Option<&RoundTrip> {
        self.round_trip
            .as_ref()
            .filter(|trip| !self.ambiguous && trip.is_whole)
    }

    /// Its size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let tunnels = self.hops.iter().filter(|hop| hop.tunnel.is_some());
        let trip = self.round_trip.as_ref();
        size_of::<Self>()
            + self.hops.capacity() * size_of::<Hop>()
            + self.segments.capacity() * size_of::<Segments>()
            + self.translations.capacity() * size_of::<Translation>()
            + tunnels.count() * size_of::<Tunnel>()
            + self.refusal.as_deref().map_or(0, size_of_val)
            + self.dropped.as_deref().map_or(0, Dropped::bytes)
            + self.payload.as_deref().map_or(0, Payload::bytes)
            + self.frame.as_deref().map_or(0, Frame::bytes)
            + trip.map_or(0, |trip| size_of_val(&trip.at[..]))
    }
}
