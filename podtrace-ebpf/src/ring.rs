//! The transport of records to user space: a ring of bytes for each CPU, with one writer and
//! one reader, so that neither takes a lock nor waits for the other.
//!
//! A CPU's value in [`crate::config::MAP_RINGS`] has its [`Cursors`] and then the ring.
//! Records are adjacent, each in [`room`] bytes. A position counts the bytes since the begin;
//! a record begins at its position modulo the size of the ring and may exceed the ring's end,
//! as the longest record has room behind it.
//!
//! # Order
//!
//! CPUs such as arm64's may reorder stores and loads. Three orders are required and ensured:
//!
//! - The reader sees a whole record: an atomic addition that returns a value publishes the
//!   position behind it, which Linux defines as fully ordered (on arm64 `ldaddal`, or an
//!   exclusive pair and `dmb`), and the reader loads it with acquire.
//! - A record is not overwritten while it is read: the reader frees room with release, and the
//!   kernel side writes only after a branch on the position that it has read; no CPU makes a
//!   store visible before the load that decides on it.
//! - The reader does not sleep while there is a record: it sets [`Consumer::wake_above`] and
//!   then, after a full fence, reads the position; the kernel side publishes the position, fully
//!   ordered, and then reads `wake_above`. One of them sees the other.
//!
//! Without such additions (x86 before Linux 5.12), a locked one that returns nothing orders as
//! strictly; arm64 is refused there.
//!
//! Nothing here depends on the size of a page: rings are whole cache lines, and the
//! kernel aligns the whole array.
use crate::{
    config::SNAPLEN_MAX,
    record::{Begin, HEADER_LEN},
};

/// The alignment of records, in bytes.
const ALIGN: u32 = 8;
/// Bytes that the longest record takes.
pub const RECORD_MAX: u32 = room(SNAPLEN_MAX);
/// The smallest ring of a CPU, in bytes: it must hold the longest record.
pub const RING_MIN: u32 = 16 << 10;
/// The largest ring: the verifier allows no pointer beyond 512 MiB.
pub const RING_MAX: u32 = 256 << 20;
/// Stands in the object for the length of a value of the map, which only user space knows: see
/// [`value_len`].
pub const RING_MARK: u32 = 0x7269_6e67;

/// Bytes that a record with this many captured bytes takes.
#[must_use]
pub const fn room(captured: u32) -> u32 {
    (HEADER_LEN as u32 + captured).next_multiple_of(ALIGN)
}

impl Begin {
    /// Bytes that the record takes.
    #[must_use]
    pub const fn room(self) -> u32 {
        room(self.captured)
    }
}

/// Bytes of a CPU's value with a ring of this many bytes: whole cache lines, so that no CPU
/// writes to another CPU's.
#[must_use]
pub const fn value_len(ring: u32) -> u32 {
    let cursors = size_of::<Cursors>() as u32;
    (cursors + ring + RECORD_MAX).next_multiple_of(cursors)
}

/// How far a CPU's ring is written and read. 128 bytes: each side writes to a cache line of
/// its own.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursors {
    /// The kernel side's.
    pub producer: Producer,
    /// The reader's.
    pub consumer: Consumer,
}

/// The fields that the CPU's programs write.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Producer {
    /// Position behind the last whole record.
    pub position: u64,
    /// Packets of this CPU that found no room.
    pub lost: u64,
    /// Nonzero while a record is being written.
    pub busy: u64,
}

/// The fields that the reader writes.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Consumer {
    /// Position of the first unread record.
    pub position: u64,
    /// The reader is woken once if the ring has more bytes than this: the program that wakes
    /// it then sets this to the largest number.
    pub wake_above: u64,
}

const _: () = assert!(size_of::<Cursors>() == 128);
const _: () = assert!(RECORD_MAX <= RING_MIN);
