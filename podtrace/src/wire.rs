//! Batches of hops, for a stream from a node to another program.
//!
//! A batch is one message that can be read without any other: an Arrow IPC stream of one
//! record batch, in one zstd frame. `docs/wire.md` describes its columns. What is decoded is what
//! was encoded, whatever the bytes of the packets are.
//!
//! The hops of one packet differ in little but the headers around its innermost IP header, its
//! TTL and its checksum. So these stand apart, and the rest stands once in a batch.

mod batch;
mod body;
mod dictionary;
pub mod done;
mod hops;
mod layout;
pub mod message;
pub mod relay;
#[cfg(test)]
mod tests;

use podtrace_ebpf::record::{Direction, FLAG_VLAN, HEADER_LEN, Kind, VERSION};
use thiserror::Error;

use crate::model::event::Event;

pub use batch::{Batch, Refused};
pub use hops::{Decoder, Hops, Limits};

/// Hops of a batch at most.
pub const HOPS_MAX: usize = 512;
/// Captured bytes of a hop at most.
pub const CAPTURED_MAX: usize = 1 << 18;
/// In the column `captured`: all of the packet.
const WHOLE: u32 = u32::MAX;

/// A packet seen at one interface and direction: what makes an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop<'a> {
    /// [`Event::ts_ns`].
    pub ts_ns: u64,
    /// Where it was seen.
    pub tap: Tap,
    /// [`Event::wire_len`].
    pub wire_len: u32,
    /// [`Event::gso_segments`].
    pub gso_segments: u16,
    /// [`Event::captured`].
    pub captured: &'a [u8],
}

/// Where a packet is seen, and what only some of the taps of an interface see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tap {
    /// [`Event::interface`].
    pub interface: u32,
    /// [`Event::direction`].
    pub direction: Direction,
    /// [`Event::cgroup`].
    pub cgroup: u64,
    /// [`Event::vlan_tci`].
    pub vlan_tci: Option<u16>,
    /// [`Event::link`].
    pub link: u16,
}

/// Why bytes are not a batch.
#[derive(Debug, Error)]
pub enum WireError {
    /// They are not a whole frame of zstd that states its size.
    #[error("not a whole zstd frame")]
    Frame,
    /// It has more bytes or hops than [`Limits`] allow.
    #[error("a batch that is too large")]
    TooLarge,
    /// They are something else, or a batch of another version.
    #[error("not a batch of version 1")]
    Version,
    /// A part of them is missing, or contradicts another.
    #[error("a damaged batch: {0}")]
    Damaged(&'static str),
}

impl<'a> From<&'a Event> for Hop<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            ts_ns: event.ts_ns,
            tap: Tap {
                interface: event.interface,
                direction: event.direction,
                cgroup: event.cgroup,
                vlan_tci: event.vlan_tci,
                link: event.link,
            },
            wire_len: event.wire_len,
            gso_segments: event.gso_segments,
            captured: &event.captured,
        }
    }
}

impl Hop<'_> {
    /// Appends the record that the kernel would have written of it, for
    /// [`Event::decode`]: that knows the link layer by the interface, and refuses
    /// [`Direction::Unknown`].
    pub fn write_record(&self, out: &mut Vec<u8>) {
        let tap = &self.tap;
        out.reserve(HEADER_LEN + self.captured.len());
        out.extend(self.ts_ns.to_le_bytes());
        out.extend(tap.cgroup.to_le_bytes());
        out.extend(tap.interface.to_le_bytes());
        out.extend(self.wire_len.to_le_bytes());
        out.extend((self.captured.len() as u32).to_le_bytes());
        out.extend(tap.vlan_tci.unwrap_or_default().to_le_bytes());
        out.extend(self.gso_segments.to_le_bytes());
        out.extend([tap.direction as u8, tap.flags(), VERSION, Kind::Tap as u8]);
        out.extend_from_slice(self.captured);
    }
}

impl Tap {
    /// As in the header of a record.
    fn flags(&self) -> u8 {
        if self.vlan_tci.is_some() {
            FLAG_VLAN
        } else {
            0
        }
    }
}
