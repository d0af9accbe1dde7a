//! One packet in the ring buffer: a fixed header, then the captured bytes.

/// Layout version, the first thing a reader checks.
pub const VERSION: u8 = 1;
/// Length of [`RecordHeader`] in bytes.
pub const HEADER_LEN: usize = 28;
/// [`RecordHeader::flags`]: `vlan_tci` holds a tag that the kernel had taken out of the frame.
pub const FLAG_VLAN: u8 = 1;

/// Direction of a tap, as the interface sees it.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The interface received the packet.
    Ingress = 0,
    /// The interface sends the packet.
    Egress = 1,
}

impl Direction {
    /// `ingress` or `egress`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// The fixed part of a record; little-endian as every BPF host we build for, no padding.
#[repr(C, packed(4))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// `bpf_ktime_get_ns`: nanoseconds of CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// [`crate::config::TapState::interface`].
    pub interface: u32,
    /// Length of the packet at this hop, link header included.
    pub wire_len: u32,
    /// How many bytes of it follow this header.
    pub captured: u32,
    /// VLAN tag control information, when [`FLAG_VLAN`] is set.
    pub vlan_tci: u16,
    /// Segments in a GSO packet, else 0.
    pub gso_segments: u16,
    /// 0 ingress, 1 egress.
    pub direction: u8,
    /// `FLAG_*`.
    pub flags: u8,
    /// [`VERSION`].
    pub version: u8,
    /// Always zero.
    pub zero: u8,
}

const _: () = assert!(size_of::<RecordHeader>() == HEADER_LEN);

/// Why a record could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Shorter than its header, or than the captured length it states.
    Truncated,
    /// Written by another version.
    Version(u8),
    /// A direction that is neither ingress nor egress.
    Direction(u8),
}

/// A record read from the ring: its header's fields and the captured bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// Number of the interface.
    pub interface: u32,
    /// Direction of the tap.
    pub direction: Direction,
    /// Length of the packet at this hop in bytes.
    pub wire_len: u32,
    /// Tag control information of a VLAN tag kept outside of the frame.
    pub vlan_tci: Option<u16>,
    /// Segments in a GSO packet, else 0.
    pub gso_segments: u16,
    /// The first bytes of the packet, from its link header.
    pub data: &'a [u8],
}

impl<'a> Record<'a> {
    /// The part of a ring slot that is in use: header and captured bytes.
    #[must_use]
    pub fn used(slot: &[u8]) -> &[u8] {
        let captured = slot
            .get(16..20)
            .and_then(|bytes| bytes.first_chunk())
            .map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
        slot.get(..HEADER_LEN.saturating_add(captured))
            .unwrap_or(slot)
    }

    /// Reads one record; bytes behind the captured length are ignored.
    ///
    /// # Errors
    /// When the bytes are not a whole record of this version.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let (header, rest) = bytes
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(RecordError::Truncated)?;
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let version = header[26];
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let direction = match header[24] {
            0 => Direction::Ingress,
            1 => Direction::Egress,
            other => return Err(RecordError::Direction(other)),
        };
        Ok(Self {
            ts_ns: u64::from(word(0)) | u64::from(word(4)) << 32,
            interface: word(8),
            direction,
            wire_len: word(12),
            vlan_tci: (header[25] & FLAG_VLAN != 0).then(|| half(20)),
            gso_segments: half(22),
            data: rest
                .get(..word(16) as usize)
                .ok_or(RecordError::Truncated)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(direction: u8, version: u8, captured: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(7u64.to_le_bytes());
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(98u32.to_le_bytes());
        bytes.extend(captured.to_le_bytes());
        bytes.extend(42u16.to_le_bytes());
        bytes.extend(2u16.to_le_bytes());
        bytes.extend([direction, FLAG_VLAN, version, 0]);
        bytes.extend([1, 2, 3, 4]);
        bytes
    }

    #[test]
    fn record_whole_is_read() {
        let bytes = bytes(1, VERSION, 3);
        let record = Record::decode(&bytes).unwrap();
        assert_eq!(record.ts_ns, 7);
        assert_eq!(record.interface, 3);
        assert_eq!(record.direction, Direction::Egress);
        assert_eq!(record.wire_len, 98);
        assert_eq!(record.vlan_tci, Some(42));
        assert_eq!(record.gso_segments, 2);
        assert_eq!(record.data, [1, 2, 3]);
    }

    #[test]
    fn record_damaged_is_refused() {
        assert_eq!(Record::decode(&[0; 5]), Err(RecordError::Truncated));
        assert_eq!(
            Record::decode(&bytes(0, VERSION, 5)),
            Err(RecordError::Truncated)
        );
        assert_eq!(
            Record::decode(&bytes(0, 9, 1)),
            Err(RecordError::Version(9))
        );
        assert_eq!(
            Record::decode(&bytes(2, VERSION, 1)),
            Err(RecordError::Direction(2))
        );
    }
}
