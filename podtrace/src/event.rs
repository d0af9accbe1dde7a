//! A packet seen at one interface and direction.
use podtrace_ebpf::record::{Direction, Record, RecordError};

use crate::{
    node::place::Place,
    packet::{DecodeOptions, Framing, Packet, PacketKey},
};

/// One packet seen by one tap.
#[derive(Clone, Debug)]
pub struct Event {
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// Number of the interface in [`Places`].
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
    /// What it is recognised by at other hops.
    pub key: PacketKey,
}

/// Why a record became no event.
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
    pub fn decode(
        bytes: &[u8],
        places: &Places,
        options: &DecodeOptions,
    ) -> Result<Self, EventError> {
        let record = Record::decode(bytes).map_err(EventError::Record)?;
        let place = places
            .get(record.interface)
            .ok_or(EventError::UnknownInterface(record.interface))?;
        let framing = match record.direction {
            Direction::Ingress | Direction::Egress => place.framing,
            // A socket's packet starts with its IP header.
            Direction::Socket => Framing::Ip,
        };
        let mut packet = Packet::decode(record.data, record.wire_len, framing, options);
        if let (None, None, Some(tci)) = (packet.tunnel, packet.vlan, record.vlan_tci) {
            packet.vlan = Some(tci & 0x0fff);
        }
        Ok(Self {
            ts_ns: record.ts_ns,
            interface: record.interface,
            direction: record.direction,
            wire_len: record.wire_len,
            gso_segments: record.gso_segments,
            cgroup: record.cgroup,
            key: packet.key(),
            packet,
        })
    }
}

/// Every interface that had a tap in this session, by its number.
#[derive(Clone, Debug, Default)]
pub struct Places {
    places: Vec<Place>,
}

impl Places {
    /// Adds an interface and returns its number; numbers are never reused.
    pub fn add(&mut self, place: Place) -> u32 {
        self.places.push(place);
        u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
    }

    /// Puts what is now known of an interface in the place of what was.
    pub fn replace(&mut self, number: u32, place: Place) {
        if let Some(known) = self.places.get_mut(number as usize) {
            *known = place;
        }
    }

    /// The interface of that number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Place> {
        self.places.get(number as usize)
    }
}
