//! A record in a ring: a fixed header, then captured bytes.
//!
//! Records of every [`Kind`] begin with a [`RecordHeader`], in which time, cgroup, length,
//! version and kind have fixed positions, so that rings can be read without knowing all kinds.
//! Each kind defines the other fields.
use core::mem::offset_of;

/// Layout version, which a reader checks first.
pub const VERSION: u8 = 2;
/// Length of [`RecordHeader`] in bytes.
pub const HEADER_LEN: usize = 36;
/// [`RecordHeader::flags`]: `vlan_tci` holds a tag that the kernel removed from the frame.
pub const FLAG_VLAN: u8 = 1;
/// [`Record::cgroup`] of a packet that no socket owns.
pub const CGROUP_NONE: u64 = 0;
/// [`Record::cgroup`] of a socket in the root cgroup.
pub const CGROUP_ROOT: u64 = 1;
/// [`Record::cgroup`] of the kernel's own sockets, whichever cgroup they were made in: no
/// cgroup has this id, as the kernel counts them from 1.
pub const CGROUP_KERNEL: u64 = (1 << 48) - 1;

/// The kind of a record.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A packet at a tap: [`Record`].
    Tap = 0,
}

impl TryFrom<u8> for Kind {
    type Error = RecordError;

    #[inline]
    fn try_from(number: u8) -> Result<Self, RecordError> {
        match number {
            number if number == Self::Tap as u8 => Ok(Self::Tap),
            unknown => Err(RecordError::Kind(unknown)),
        }
    }
}

/// The direction of a tap, relative to its interface.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The interface received the packet.
    Ingress = 0,
    /// The interface sends the packet.
    Egress = 1,
    /// A socket receives the packet that came in by the interface.
    Socket = 2,
    /// Unknown: only captures of other tools have it.
    Unknown = 3,
}

impl Direction {
    /// The directions of taps, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Ingress, Self::Egress, Self::Socket];

    /// `ingress`, `egress`, `socket` or `unknown`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Socket => "socket",
            Self::Unknown => "unknown",
        }
    }
}

/// The fixed part of a record; little-endian like all supported BPF hosts, without padding.
#[repr(C, packed(4))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// `bpf_ktime_get_ns`: nanoseconds of CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// `bpf_skb_cgroup_id`: see [`Record::cgroup`].
    pub cgroup: u64,
    /// [`crate::config::TapState::interface`].
    pub interface: u32,
    /// Length of the packet at this hop, link header included.
    pub wire_len: u32,
    /// How many bytes of the packet follow this header.
    pub captured: u32,
    /// VLAN tag control information, when [`FLAG_VLAN`] is set.
    pub vlan_tci: u16,
    /// Segments in a GSO packet, else 0.
    pub gso_segments: u16,
    /// [`Direction`] as a number.
    pub direction: u8,
    /// `FLAG_*`.
    pub flags: u8,
    /// [`VERSION`].
    pub version: u8,
    /// [`Kind`] as a number.
    pub kind: u8,
}

const _: () = assert!(size_of::<RecordHeader>() == HEADER_LEN);
const CAPTURED_AT: usize = offset_of!(RecordHeader, captured);

/// Why a record could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Shorter than its header, or than the captured length it states.
    Truncated,
    /// Written by another version.
    Version(u8),
    /// A number that is no [`Kind`].
    Kind(u8),
    /// A number that is no [`Direction`].
    Direction(u8),
}

/// A record of [`Kind::Tap`] read from the ring: its header's fields and the captured bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// Cgroup id of the socket that the packet belongs to: the sender's on its way out, the
    /// receiver's at [`Direction::Socket`]. [`CGROUP_NONE`] if no socket owns the packet,
    /// [`CGROUP_KERNEL`] for the kernel's own sockets.
    pub cgroup: u64,
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
    /// The first bytes of the packet, from its link header; at
    /// [`Direction::Socket`] from its IP header.
    pub data: &'a [u8],
}

/// The begin of a record, with what moving it requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// [`Record::ts_ns`].
    pub ts_ns: u64,
    /// [`Record::cgroup`].
    pub cgroup: u64,
    /// How many captured bytes follow the header.
    pub captured: u32,
}

impl<'a> Record<'a> {
    /// The begin of a record, without reading the rest.
    #[must_use]
    pub fn begin(bytes: &[u8]) -> Option<Begin> {
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let at = |at: usize| header.get(at..)?.first_chunk().copied();
        let long = |at_byte| at(at_byte).map(u64::from_le_bytes);
        Some(Begin {
            ts_ns: long(offset_of!(RecordHeader, ts_ns))?,
            cgroup: long(offset_of!(RecordHeader, cgroup))?,
            captured: header
                .get(CAPTURED_AT..)?
                .first_chunk()
                .copied()
                .map(u32::from_le_bytes)?,
        })
    }

    /// Reads one record; bytes behind the captured length are ignored.
    ///
    /// # Errors
    /// When the bytes are not a whole record of this version, or of another kind.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let (header, rest) = bytes
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(RecordError::Truncated)?;
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let version = header[offset_of!(RecordHeader, version)];
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let Kind::Tap = Kind::try_from(header[offset_of!(RecordHeader, kind)])?;
        let direction = header[offset_of!(RecordHeader, direction)];
        let direction = *Direction::ALL
            .get(usize::from(direction))
            .ok_or(RecordError::Direction(direction))?;
        let has_vlan = header[offset_of!(RecordHeader, flags)] & FLAG_VLAN != 0;
        Ok(Self {
            ts_ns: long(offset_of!(RecordHeader, ts_ns)),
            cgroup: long(offset_of!(RecordHeader, cgroup)),
            interface: word(offset_of!(RecordHeader, interface)),
            direction,
            wire_len: word(offset_of!(RecordHeader, wire_len)),
            vlan_tci: has_vlan.then(|| half(offset_of!(RecordHeader, vlan_tci))),
            gso_segments: half(offset_of!(RecordHeader, gso_segments)),
            data: rest
                .get(..word(CAPTURED_AT) as usize)
                .ok_or(RecordError::Truncated)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(direction: u8, version: u8, captured: u32) -> Vec<u8> {
        bytes_of(Kind::Tap as u8, direction, version, captured)
    }

    fn bytes_of(kind: u8, direction: u8, version: u8, captured: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(7u64.to_le_bytes());
        bytes.extend((9u64 << 32).to_le_bytes());
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(98u32.to_le_bytes());
        bytes.extend(captured.to_le_bytes());
        bytes.extend(42u16.to_le_bytes());
        bytes.extend(2u16.to_le_bytes());
        bytes.extend([direction, FLAG_VLAN, version, kind]);
        bytes.extend([1, 2, 3, 4]);
        bytes
    }

    #[test]
    fn record_whole_is_read() {
        let bytes = bytes(1, VERSION, 3);
        let record = Record::decode(&bytes).unwrap();
        assert_eq!(record.ts_ns, 7);
        let begin = Begin {
            ts_ns: 7,
            cgroup: 9 << 32,
            captured: 3,
        };
        assert_eq!(Record::begin(&bytes), Some(begin));
        assert_eq!(record.cgroup, 9 << 32);
        assert_eq!(record.interface, 3);
        assert_eq!(record.direction, Direction::Egress);
        assert_eq!(record.wire_len, 98);
        assert_eq!(record.vlan_tci, Some(42));
        assert_eq!(record.gso_segments, 2);
        assert_eq!(record.data, [1, 2, 3]);
    }

    #[test]
    fn record_of_an_unknown_kind_is_refused_and_passed_over() {
        let bytes = bytes_of(77, 1, VERSION, 3);
        assert_eq!(Record::decode(&bytes), Err(RecordError::Kind(77)));
        let begin = Record::begin(&bytes).unwrap();
        assert_eq!(begin.captured, 3);
        assert_eq!(Kind::try_from(Kind::Tap as u8), Ok(Kind::Tap));
    }

    #[test]
    fn record_damaged_is_refused() {
        assert_eq!(Record::decode(&[0; 5]), Err(RecordError::Truncated));
        assert_eq!(Record::begin(&[0; HEADER_LEN - 1]), None);
        assert_eq!(
            Record::decode(&bytes(0, VERSION, 5)),
            Err(RecordError::Truncated)
        );
        assert_eq!(
            Record::decode(&bytes(0, 9, 1)),
            Err(RecordError::Version(9))
        );
        assert_eq!(
            Record::decode(&bytes(3, VERSION, 1)),
            Err(RecordError::Direction(3))
        );
    }
}
