//! Reads the rings of all CPUs in order of time.
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
};

use aya::util::online_cpus;
use bytes::BytesMut;
use podtrace_ebpf::{
    record::Begin,
    ring::{RING_MAX, RING_MIN, value_len},
};

use super::{
    mapped::Mapped,
    ring::{Level, Ring},
};

/// The number of rings with which each CPU has one under its number. A CPU that is added later
/// has none: its packets are counted as lost.
///
/// # Errors
/// When the CPUs cannot be read, with the file.
pub(super) fn ring_count() -> Result<u32, (&'static str, io::Error)> {
    Ok(online_cpus()?.into_iter().max().unwrap_or(0) + 1)
}

/// The bytes of each of `rings` rings that have `all` bytes together: a power of two.
#[must_use]
pub(super) fn ring_bytes(all: u32, rings: u32) -> u32 {
    let each = (all / rings.max(1)).clamp(RING_MIN, RING_MAX);
    1 << each.ilog2()
}

/// The largest ring that fits into 4 MiB with its cursors: kernels before 5.16 accept no
/// longer values.
pub(super) const RING_SMALL: u32 = 2 << 20;

/// Upper bound of the bytes at which a ring is read, however large it is.
const WATERMARK_MAX: u64 = 1 << 20;

/// The rings of all CPUs.
pub(super) struct Rings {
    rings: Vec<Ring>,
    /// Time of the next record of each ring, and its number.
    nexts: BinaryHeap<Reverse<(u64, usize)>>,
    /// Later records are left for the next refresh.
    until_ns: u64,
    /// The bytes in a ring that wake the reader.
    watermark: u64,
    map: Arc<Mapped>,
}

/// How far the rings are written and read, for any thread.
pub(super) struct Levels {
    rings: Vec<Level>,
    _map: Arc<Mapped>,
}

impl Levels {
    /// Whether the reader has taken all records that are written by now.
    pub(super) fn are_taken(&self) -> bool {
        self.rings.iter().all(Level::is_taken)
    }
}

impl Rings {
    /// Maps a map of `count` rings of `bytes` bytes. Nothing else may read them.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn new(map: impl AsFd, count: u32, bytes: u32) -> io::Result<Self> {
        let (count, value) = (count as usize, value_len(bytes) as usize);
        let map = Mapped::new(map, count * value)?;
        let ring = |cpu| {
            let value = map.element(cpu, value)?.cast();
            // SAFETY: each CPU's value is one ring's, and stays mapped.
            Some(unsafe { Ring::new(value, bytes) })
        };
        Ok(Self {
            rings: (0..count).filter_map(ring).collect(),
            nexts: BinaryHeap::new(),
            until_ns: 0,
            watermark: WATERMARK_MAX.min(u64::from(bytes) / 4),
            map: Arc::new(map),
        })
    }

    /// How far they are written and read.
    pub(super) fn levels(&self) -> Levels {
        Levels {
            rings: self.rings.iter().map(Ring::level).collect(),
            _map: Arc::clone(&self.map),
        }
    }

    /// Reads how far the rings are written by now. [`Self::take`] then takes the records
    /// made until `until_ns`, a time before this call: all of them are here, except one
    /// that a program was writing at that moment.
    ///
    /// # Errors
    /// When a ring holds something else than records.
    pub(super) fn refresh(&mut self, until_ns: u64) -> io::Result<()> {
        self.until_ns = until_ns;
        self.nexts.clear();
        for (cpu, ring) in self.rings.iter_mut().enumerate() {
            ring.refresh();
            if let Some(begin) = ring.peek()? {
                self.nexts.push(Reverse((begin.ts_ns, cpu)));
            }
        }
        Ok(())
    }

    /// Moves records to `to`, the oldest first, until it has `limit` bytes or nothing is left;
    /// calls `on_begin` with the begin of each.
    ///
    /// # Errors
    /// When a ring holds something other than records.
    pub(super) fn take(
        &mut self,
        to: &mut BytesMut,
        limit: usize,
        mut on_begin: impl FnMut(&Begin),
    ) -> io::Result<()> {
        while to.len() < limit
            && let Some(Reverse((oldest_ns, cpu))) = self.nexts.pop()
            && oldest_ns <= self.until_ns
        {
            let next_ns = self.nexts.peek().map_or(u64::MAX, |next| next.0.0);
            let bound_ns = next_ns.min(self.until_ns);
            let ring = &mut self.rings[cpu];
            while let Some(begin) = ring.peek()? {
                if begin.ts_ns > bound_ns || to.len() + ring.uncopied() >= limit {
                    self.nexts.push(Reverse((begin.ts_ns, cpu)));
                    break;
                }
                on_begin(&begin);
                ring.advance(begin, to);
            }
            ring.copy(to);
        }
        Ok(())
    }

    /// Whether all rings are empty now.
    pub(super) fn are_empty(&self) -> bool {
        self.rings.iter().all(Ring::is_empty)
    }

    /// The number of packets lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.rings.iter().map(Ring::lost).sum()
    }

    /// Makes the kernel side wake the reader as soon as a ring has a record. Returns false if
    /// one has a record already, as then nothing may wake it.
    pub(super) fn wake_at_once(&self) -> bool {
        self.rings.iter().for_each(|ring| ring.wake_above(0));
        // Either we see the record, or its program, which updates the position before it reads
        // this, sees this.
        fence(Ordering::SeqCst);
        self.are_empty()
    }

    /// Makes the kernel side wake the reader when a ring fills.
    pub(super) fn wake_when_filled(&self) {
        let wake = |ring: &Ring| ring.wake_above(self.watermark);
        self.rings.iter().for_each(wake);
    }
}

#[cfg(test)]
mod tests;
