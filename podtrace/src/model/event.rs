//! A packet seen at one interface and direction.
use bytes::Bytes;
use podtrace_ebpf::record::{Direction, Record, RecordError};

use crate::{
    model::tap_point::TapPoint,
    packet::{Beside, DecodeOptions, Framing, Packet, Payload},
};

/// One packet seen by one tap.
#[derive(Clone, Debug)]
pub struct Event {
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// Number of the interface in [`TapPoints`].
    pub interface: u32,
    /// Direction of the tap.
    pub direction: Direction,
    /// Length of the frame at this hop in bytes.
    pub wire_len: u32,
    /// Segments of a GSO packet, else 0.
    pub gso_segments: u16,
    /// Cgroup id of the socket that the packet belongs to
    /// ([`Record::cgroup`]).
    pub cgroup: u64,
    /// The packet's headers.
    pub packet: Packet,
    /// What its payload says. Boxed, as few packets have one that is read.
    pub payload: Option<Box<Payload>>,
    /// Tag control information of a VLAN tag kept outside of the frame.
    pub vlan_tci: Option<u16>,
    /// Whether the packet matches the filter here; always if there is none.
    pub matches: bool,
    /// The captured bytes if a recording needs them, else empty.
    pub captured: Bytes,
    /// Link layer of the captured bytes, by its LINKTYPE_ number.
    pub link: u16,
    /// The last bits of its number among the events of its session, where they are numbered.
    pub number: u32,
}

/// Why a record did not become an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventError {
    /// The record itself is damaged.
    Record(RecordError),
    /// It names an interface that was never announced.
    UnknownInterface(u32),
}

impl Event {
    /// Decodes one record of the ring.
    ///
    /// # Errors
    /// When the record is damaged or its interface unknown; the packet's own
    /// bytes can be anything.
    #[inline]
    pub fn decode(
        bytes: &[u8],
        tap_points: &TapPoints,
        options: &DecodeOptions,
    ) -> Result<Self, EventError> {
        let record = Record::decode(bytes).map_err(EventError::Record)?;
        let point = tap_points
            .get(record.interface)
            .ok_or(EventError::UnknownInterface(record.interface))?;
        let framing = match record.direction {
            Direction::Ingress | Direction::Egress | Direction::Unknown => point.framing,
            // A socket's packet starts with its IP header.
            Direction::Socket => Framing::Ip,
        };
        let mut event = Self {
            ts_ns: record.ts_ns,
            interface: record.interface,
            direction: record.direction,
            wire_len: record.wire_len,
            gso_segments: record.gso_segments,
            cgroup: record.cgroup,
            packet: Packet::unread(),
            payload: None,
            vlan_tci: record.vlan_tci,
            matches: true,
            captured: Bytes::new(),
            link: framing.link(),
            number: 0,
        };
        let packet = &mut event.packet;
        let beside = Beside {
            is_outgoing: record.direction == Direction::Egress,
            vlan_tci: record.vlan_tci,
            captured: None,
        };
        let (data, wire_len) = (record.data, record.wire_len);
        let seen = packet.read_at_tap(data, wire_len, framing, options, beside);
        (event.matches, event.payload) = (seen.matches, seen.payload);
        Ok(event)
    }
}

/// Every interface that had a tap in this session, by its number; a retired one leaves an
/// empty slot.
#[derive(Clone, Debug, Default)]
pub struct TapPoints {
    /// Boxed, so that a retired one takes no more than a pointer.
    tap_points: Vec<Option<Box<TapPoint>>>,
}

impl TapPoints {
    /// The number for the next new interface; numbers are never reused.
    #[must_use]
    pub fn next_number(&self) -> u32 {
        u32::try_from(self.tap_points.len()).unwrap_or(u32::MAX)
    }

    /// Adds an interface under [`Self::next_number`], or replaces the description of one.
    /// Ignores any other number.
    pub fn set(&mut self, number: u32, point: TapPoint) {
        let is_next = number == self.next_number();
        match self.tap_points.get_mut(number as usize) {
            Some(known) => *known = Some(Box::new(point)),
            None if is_next => self.tap_points.push(Some(Box::new(point))),
            None => {}
        }
    }

    /// The interface of an index in a network namespace.
    #[must_use]
    pub fn at(&self, netns_id: u64, ifindex: u32) -> Option<&TapPoint> {
        self.iter()
            .find(|point| (point.netns_id, point.ifindex) == (netns_id, ifindex))
    }

    /// Forgets an interface that was removed long ago; its number stays taken.
    pub fn retire(&mut self, number: u32) {
        if let Some(known) = self.tap_points.get_mut(number as usize) {
            *known = None;
        }
    }

    /// The interfaces that were not retired.
    pub fn iter(&self) -> impl Iterator<Item = &TapPoint> {
        self.tap_points.iter().flatten().map(AsRef::as_ref)
    }

    /// The interface of that number, unless it was retired.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&TapPoint> {
        self.tap_points.get(number as usize)?.as_deref()
    }
}
