//! A record of a packet that the kernel dropped, and the counts of dropped packets.
use core::mem::offset_of;

/// Layout version, which a reader checks first.
pub const DROP_VERSION: u8 = 2;
/// Room for the captured bytes of a dropped packet, from its network header on: one more than
/// there can be, a power of two.
pub const DROP_DATA: usize = 256;
/// How many of the calls are told that led to where a packet was dropped.
pub const DROP_CALLERS: usize = 16;
/// Length of [`DropRecord`] in bytes.
pub const DROP_LEN: usize = 48 + DROP_CALLERS * 8 + DROP_DATA;
/// How many reasons have counts of their own; those beyond share the last one.
pub const DROP_REASONS: u32 = 512;
/// Upper bound of the records of one reason within a window of [`DROP_WINDOW_SHIFT`], on each
/// CPU: further packets are only counted.
pub const DROP_BURST: u64 = 64;
/// The same of packets with one reason, location and pair of addresses.
pub const DROP_FLOW_BURST: u64 = 16;
/// Upper bound of the namespaces whose dropped packets are told.
pub const DROP_SPACES: u32 = 8192;
/// A window has two to the power of it nanoseconds: 134 ms.
pub const DROP_WINDOW_SHIFT: u32 = 27;
/// [`DropRecord::reason`] where the kernel tells none (before Linux 5.17).
pub const NO_REASON: u32 = u32::MAX;

/// One dropped packet, without padding.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropRecord {
    /// `bpf_ktime_get_ns`: nanoseconds of CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// The address in the kernel of the caller that dropped it.
    pub location: u64,
    /// The namespace of its device, as in [`crate::config::TapKey::netns_cookie`]; 0 if it has
    /// no device.
    pub netns: u64,
    /// `enum skb_drop_reason` of the running kernel, or [`NO_REASON`].
    pub reason: u32,
    /// The index of its device, 0 if it has none. It may be the next one on its way already.
    pub ifindex: u32,
    /// The index of the device that it came in by; 0 if it did not.
    pub came_by: u32,
    /// Its length in bytes from its network header on.
    pub wire_len: u32,
    /// How many bytes of `data` are valid.
    pub captured: u32,
    /// Its EtherType.
    pub ethertype: u16,
    /// [`DROP_VERSION`].
    pub version: u8,
    /// Always zero.
    pub zero: u8,
    /// The addresses in the kernel to which the calls return, the innermost first; zeros behind
    /// the last.
    pub callers: [u64; DROP_CALLERS],
    /// Its first bytes, from its network header on.
    pub data: [u8; DROP_DATA],
}

const _: () = assert!(size_of::<DropRecord>() == DROP_LEN);

/// The counts of one reason, per CPU. 24 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCount {
    /// Packets dropped.
    pub all: u64,
    /// Those without a record.
    pub unrecorded: u64,
    /// The number of the window in the upper half, and the records in it.
    pub window: u64,
}

/// A dropped packet read from the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped<'a> {
    /// [`DropRecord::ts_ns`].
    pub ts_ns: u64,
    /// [`DropRecord::location`].
    pub location: u64,
    /// [`DropRecord::netns`].
    pub netns: u64,
    /// [`DropRecord::reason`], if the kernel tells it.
    pub reason: Option<u32>,
    /// [`DropRecord::ifindex`].
    pub ifindex: u32,
    /// [`DropRecord::came_by`].
    pub came_by: u32,
    /// [`DropRecord::wire_len`].
    pub wire_len: u32,
    /// [`DropRecord::ethertype`].
    pub ethertype: u16,
    /// [`DropRecord::callers`].
    pub callers: [u64; DROP_CALLERS],
    /// The captured bytes.
    pub data: &'a [u8],
}

impl<'a> Dropped<'a> {
    /// Reads a record; none if the bytes are not a whole one of this version.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (header, data) = bytes.split_first_chunk::<{ DROP_LEN - DROP_DATA }>()?;
        let word = |at: usize| Some(u32::from_le_bytes(*header.get(at..)?.first_chunk()?));
        let long = |at: usize| Some(u64::from_le_bytes(*header.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u16::from_le_bytes(*header.get(at..)?.first_chunk()?));
        if header.get(offset_of!(DropRecord, version)) != Some(&DROP_VERSION) {
            return None;
        }
        let captured = word(offset_of!(DropRecord, captured))? as usize;
        let caller = |number| long(offset_of!(DropRecord, callers) + 8 * number);
        Some(Self {
            ts_ns: long(offset_of!(DropRecord, ts_ns))?,
            location: long(offset_of!(DropRecord, location))?,
            netns: long(offset_of!(DropRecord, netns))?,
            reason: Some(word(offset_of!(DropRecord, reason))?).filter(|told| *told != NO_REASON),
            ifindex: word(offset_of!(DropRecord, ifindex))?,
            came_by: word(offset_of!(DropRecord, came_by))?,
            wire_len: word(offset_of!(DropRecord, wire_len))?,
            ethertype: half(offset_of!(DropRecord, ethertype))?,
            callers: core::array::from_fn(|number| caller(number).unwrap_or(0)),
            data: data.get(..captured)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(version: u8, captured: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for long in [7u64, 0xffff_ffff_8100_0000, 4026] {
            bytes.extend(long.to_le_bytes());
        }
        for word in [8u32, 3, 2, 84, captured] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(0x0800u16.to_le_bytes());
        bytes.extend([version, 0]);
        bytes.extend((1..=DROP_CALLERS as u64).flat_map(u64::to_le_bytes));
        bytes.extend((0..DROP_DATA).map(|at| at as u8));
        bytes
    }

    #[test]
    fn record_whole_is_read() {
        let bytes = bytes(DROP_VERSION, 3);
        assert_eq!(bytes.len(), DROP_LEN);
        let expected = Dropped {
            ts_ns: 7,
            location: 0xffff_ffff_8100_0000,
            netns: 4026,
            reason: Some(8),
            ifindex: 3,
            came_by: 2,
            wire_len: 84,
            ethertype: 0x0800,
            callers: core::array::from_fn(|number| number as u64 + 1),
            data: &[0, 1, 2],
        };
        assert_eq!(Dropped::decode(&bytes), Some(expected));
    }

    #[test]
    fn record_without_a_reason_says_so() {
        let mut bytes = bytes(DROP_VERSION, 0);
        bytes[offset_of!(DropRecord, reason)..][..4].fill(0xff);
        assert_eq!(Dropped::decode(&bytes).unwrap().reason, None);
    }

    #[test]
    fn record_damaged_is_refused() {
        assert_eq!(Dropped::decode(&[0; 5]), None);
        assert_eq!(Dropped::decode(&bytes(9, 3)), None);
        assert_eq!(Dropped::decode(&bytes(DROP_VERSION, 257)), None);
    }
}
