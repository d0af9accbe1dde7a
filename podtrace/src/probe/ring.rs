//! The reader's side of one CPU's ring: see [`podtrace_ebpf::ring`].
use std::{
    io,
    mem::offset_of,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::{BufMut as _, BytesMut};
use podtrace_ebpf::{
    record::{Begin, Record},
    ring::{Consumer, Cursors, Producer, RECORD_MAX},
};

/// One CPU's ring, and the reader's position.
pub(super) struct Ring {
    /// The ring follows its cursors.
    level: Level,
    /// Bytes of the ring, a power of two.
    bytes: u32,
    /// Position of the next record.
    next: u64,
    /// Position behind the records that were copied, whose room is free again.
    copied: u64,
    /// Position behind the last record at the last refresh.
    end: u64,
}

/// How far a ring is written and read, for any thread.
pub(super) struct Level(NonNull<Cursors>);

// SAFETY: it only reads numbers that others may write meanwhile, as whole ones.
unsafe impl Send for Level {}
// SAFETY: as above.
unsafe impl Sync for Level {}

impl Level {
    /// Whether the reader has taken all that is written.
    pub(super) fn is_taken(&self) -> bool {
        // In this order: what is written is never behind what is taken.
        let at = offset_of!(Cursors, consumer) + offset_of!(Consumer, position);
        let taken = self.cursor(at).load(Ordering::Acquire);
        self.written() == taken
    }

    fn written(&self) -> u64 {
        let at = offset_of!(Cursors, producer) + offset_of!(Producer, position);
        self.cursor(at).load(Ordering::Acquire)
    }

    fn cursor(&self, at: usize) -> &AtomicU64 {
        // SAFETY: all cursors are aligned numbers of 64 bits within the value; the
        // kernel side accesses them as whole ones too.
        unsafe { AtomicU64::from_ptr(self.0.as_ptr().byte_add(at).cast()) }
    }
}

impl Ring {
    /// # Safety
    /// The pointer is to a CPU's value of the map, for a ring of so many bytes, is no
    /// other ring's, and stays valid as long as this one is used.
    pub(super) unsafe fn new(cursors: NonNull<Cursors>, bytes: u32) -> Self {
        Self {
            level: Level(cursors),
            bytes,
            next: 0,
            copied: 0,
            end: 0,
        }
    }

    /// Its cursors, which stay valid as long as it does.
    pub(super) fn level(&self) -> Level {
        Level(self.level.0)
    }

    /// Reads how far the ring is written by now.
    pub(super) fn refresh(&mut self) {
        self.end = self.level.written();
    }

    /// Whether everything written by now was read.
    pub(super) fn is_empty(&self) -> bool {
        self.level.written() == self.next
    }

    /// The number of packets that were lost.
    pub(super) fn lost(&self) -> u64 {
        let at = offset_of!(Cursors, producer) + offset_of!(Producer, lost);
        self.level.cursor(at).load(Ordering::Relaxed)
    }

    /// Makes the kernel side wake the reader once more than this many bytes wait.
    pub(super) fn wake_above(&self, bytes: u64) {
        let at = offset_of!(Cursors, consumer) + offset_of!(Consumer, wake_above);
        self.level.cursor(at).store(bytes, Ordering::Relaxed);
    }

    /// The begin of the next record, if it was written by the last refresh.
    ///
    /// # Errors
    /// When the bytes are no record.
    pub(super) fn peek(&self) -> io::Result<Option<Begin>> {
        let left = self.end.wrapping_sub(self.next);
        if left == 0 {
            return Ok(None);
        }
        match Record::begin(self.bytes_at(self.next, left)) {
            Some(begin) if u64::from(begin.room()) <= left => Ok(Some(begin)),
            _ => Err(io::Error::other("the ring holds an invalid record")),
        }
    }

    /// Advances behind the next record, which begins with `begin`. It is copied together with
    /// the following records, or at once if these are not adjacent.
    pub(super) fn advance(&mut self, begin: Begin, to: &mut BytesMut) {
        self.next = self.next.wrapping_add(u64::from(begin.room()));
        if self.offset(self.next) < self.offset(self.copied) {
            self.copy(to);
        }
    }

    /// How many bytes are still to be copied.
    pub(super) fn uncopied(&self) -> usize {
        self.next.wrapping_sub(self.copied) as usize
    }

    /// Copies the records before the next one, and frees their room.
    pub(super) fn copy(&mut self, to: &mut BytesMut) {
        let len = self.next.wrapping_sub(self.copied);
        to.put_slice(self.bytes_at(self.copied, len));
        self.copied = self.next;
        let at = offset_of!(Cursors, consumer) + offset_of!(Consumer, position);
        self.level.cursor(at).store(self.copied, Ordering::Release);
    }

    fn offset(&self, position: u64) -> usize {
        (position & u64::from(self.bytes - 1)) as usize
    }

    /// Up to this many bytes from a position whose room is not free yet.
    fn bytes_at(&self, position: u64, len: u64) -> &[u8] {
        let offset = self.offset(position);
        let rest = (self.bytes + RECORD_MAX) as usize - offset;
        let len = usize::try_from(len).map_or(rest, |len| len.min(rest));
        // SAFETY: within the value; the kernel side does not write between the
        // reader's position and its own.
        unsafe {
            let ring = self.level.0.add(1).cast::<u8>();
            slice::from_raw_parts(ring.add(offset).as_ptr(), len)
        }
    }
}
