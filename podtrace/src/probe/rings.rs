//! The rings of all CPUs, read in order of time.
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    os::fd::AsFd,
    sync::atomic::{Ordering, fence},
};

use aya::util::online_cpus;
use bytes::BytesMut;
use podtrace_ebpf::{
    record::Begin,
    ring::{RING_MAX, RING_MIN, value_len},
};

use super::{mapped::Mapped, ring::Ring};

/// How many rings it takes for each CPU to have one under its number. One that
/// comes later has none: what it sees is counted as lost.
///
/// # Errors
/// When the CPUs cannot be read, with what was to be read.
pub(super) fn ring_count() -> Result<u32, (&'static str, io::Error)> {
    Ok(online_cpus()?.into_iter().max().unwrap_or(0) + 1)
}

/// How many bytes each of so many rings has, when all have so many together: a power
/// of two.
#[must_use]
pub(super) fn ring_bytes(all: u32, rings: u32) -> u32 {
    let each = (all / rings.max(1)).clamp(RING_MIN, RING_MAX);
    1 << each.ilog2()
}

/// The largest ring that fits into 4 MiB with what is around it: kernels before 5.16
/// take no longer values.
pub(super) const RING_SMALL: u32 = 2 << 20;

/// Bytes at which a ring is read at the latest, however large it is.
const WATERMARK_MAX: u64 = 1 << 20;

/// The rings of all CPUs.
pub(super) struct Rings {
    rings: Vec<Ring>,
    /// Time of the next record of each ring, and its number.
    nexts: BinaryHeap<Reverse<(u64, usize)>>,
    /// Later ones are left for the next look.
    until_ns: u64,
    /// Bytes in a ring at which it is time to read it.
    watermark: u64,
    _map: Mapped,
}

impl Rings {
    /// Maps the map of so many rings of so many bytes. Nothing else may read them.
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
            _map: map,
        })
    }

    /// Looks what there is by now. Of that, [`Self::take`] takes what was made until
    /// `until_ns`, a time before the look: then all of that time is here, but for what
    /// a program was writing at that moment.
    ///
    /// # Errors
    /// When a ring holds something else than records.
    pub(super) fn look(&mut self, until_ns: u64) -> io::Result<()> {
        self.until_ns = until_ns;
        self.nexts.clear();
        for (cpu, ring) in self.rings.iter_mut().enumerate() {
            ring.look();
            if let Some(begin) = ring.peek()? {
                self.nexts.push(Reverse((begin.ts_ns, cpu)));
            }
        }
        Ok(())
    }

    /// Moves records to `to`, the oldest first, until it has `limit` bytes or nothing
    /// is left; `note` gets how each begins.
    ///
    /// # Errors
    /// When a ring holds something else than records.
    pub(super) fn take(
        &mut self,
        to: &mut BytesMut,
        limit: usize,
        mut note: impl FnMut(&Begin),
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
                note(&begin);
                ring.advance(begin, to);
            }
            ring.copy(to);
        }
        Ok(())
    }

    /// Whether nothing is left by now.
    pub(super) fn are_empty(&self) -> bool {
        self.rings.iter().all(Ring::is_empty)
    }

    /// How many packets have found no room by now.
    pub(super) fn lost(&self) -> u64 {
        self.rings.iter().map(Ring::lost).sum()
    }

    /// Has the kernel side wake the reader as soon as a ring has a record.
    /// Whether none has one yet: else nothing may come that wakes.
    pub(super) fn wake_at_once(&self) -> bool {
        self.rings.iter().for_each(|ring| ring.wake_above(0));
        // Either we see the record, or its program, which exchanges the position
        // before it looks, sees this.
        fence(Ordering::SeqCst);
        self.are_empty()
    }

    /// Has the kernel side wake the reader when a ring fills.
    pub(super) fn wake_when_filled(&self) {
        let wake = |ring: &Ring| ring.wake_above(self.watermark);
        self.rings.iter().for_each(wake);
    }
}

#[cfg(test)]
mod tests;
