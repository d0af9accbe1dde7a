//! From events to paths: the ordered hops of each packet and how it ended.
//!
//! Pure: no clock, no I/O; time is that of the events.
pub mod builder;
pub mod clocks;
pub mod ends;
pub mod losses;
pub mod reorder;
pub mod rtt;
pub mod summary;

use std::{net::IpAddr, time::Duration};

use podtrace_ebpf::record::Direction;

use crate::{
    model::event::Event,
    packet::{Ends, Network, Packet, Tunnel},
};
pub use rtt::RoundTrip;

/// How long a packet may stay between two hops, where nothing says otherwise.
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
    /// Cgroup id of the socket that the packet belongs to here
    /// ([`podtrace_ebpf::record::Record::cgroup`]).
    pub cgroup: u64,
}

impl Hop {
    /// Whether the event is of the hop's tap.
    #[must_use]
    pub(crate) fn is_at(&self, event: &Event) -> bool {
        (self.interface, self.direction) == (event.interface, event.direction)
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
            ttl: match &event.packet.network {
                Network::Ip(ip) => Some(ip.ttl),
                _ => None,
            },
            cgroup: event.cgroup,
        }
    }
}

/// A path that ended as not seen further, of a packet that was seen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateOf {
    /// Its number.
    pub id: u64,
    /// How many hops it had.
    pub hops: usize,
}

/// What a hop has seen of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// In how many packets.
    pub packets: u32,
    /// How many bytes of the payload.
    pub bytes: u32,
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
    /// Nothing shows how it ended: it was last seen in a plain capture, or only some
    /// interfaces were watched.
    Unknown,
    /// A tunnel took it that carries nothing for groups, and nobody behind it waits for it.
    NoReceiver,
}

impl Outcome {
    /// The outcomes in the order of the summary, with their JSON names.
    pub const NAMES: [&'static str; 10] = [
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
    ];

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
    /// trace ended before more could come.
    pub incomplete: bool,
    /// How many segments it stands for that an interface splits it into, or 0.
    pub gso_segments: u16,
    /// What each hop has seen of it; empty if each has seen it whole.
    pub segments: Vec<Segments>,
    /// The packet that it is the rest of: its other segments went on.
    pub part_of: Option<u64>,
    /// The packet with bytes of the same stream that was under way when this one was sent.
    pub copy_of: Option<u64>,
    /// What was said of it before, if it was slow and not lost.
    pub late_of: Option<LateOf>,
    /// What address translation has made of its ends, in order.
    pub translations: Vec<Translation>,
    /// For an echo reply: the round trip.
    pub round_trip: Option<RoundTrip>,
    /// For an echo reply: the cgroup of the socket that sent the request.
    pub asker: Option<u64>,
}

impl Path {
    /// Whether the event's tap has seen the packet.
    #[must_use]
    pub(crate) fn has_passed(&self, event: &Event) -> bool {
        self.hops.iter().any(|hop| hop.is_at(event))
    }

    /// The ends that its packet has at the last hop.
    #[must_use]
    pub fn ends(&self) -> Option<Ends> {
        let translated = self.translations.last().map(|last| last.after);
        translated.or_else(|| self.packet.ends())
    }

    /// What a hop has seen of it, if not one whole packet.
    #[must_use]
    pub fn segments_at(&self, hop: usize) -> Option<Segments> {
        let seen = self.segments.get(hop).copied()?;
        (seen.packets > 1 || seen.bytes < self.packet.payload()).then_some(seen)
    }

    /// The translation that a hop is the first to show.
    #[must_use]
    pub fn translation_at(&self, hop: usize) -> Option<&Translation> {
        self.translations
            .iter()
            .find(|translation| translation.hop == hop)
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
            + trip.map_or(0, |trip| size_of_val(&trip.at[..]))
    }

    /// How long the packet was not seen that was said not to be seen further, in nanoseconds.
    #[must_use]
    pub fn lateness_ns(&self) -> Option<u64> {
        let hops = self.late_of?.hops;
        let (last, next) = (self.hops.get(hops.checked_sub(1)?)?, self.hops.get(hops)?);
        Some(next.ts_ns.saturating_sub(last.ts_ns))
    }

    /// Nanoseconds from the first hop to the last.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        match (self.hops.first(), self.hops.last()) {
            (Some(first), Some(last)) => last.ts_ns.saturating_sub(first.ts_ns),
            _ => 0,
        }
    }
}
