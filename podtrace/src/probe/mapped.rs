//! A BPF map that is mapped into the process's memory.
use std::{io, num::NonZeroUsize, os::fd::AsFd, ptr::NonNull};

use nix::{
    libc::c_void,
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
};

/// A mapping of a map, unmapped when dropped.
pub(super) struct Mapped {
    begin: NonNull<c_void>,
    bytes: NonZeroUsize,
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for Mapped {}
// SAFETY: it reads and writes nothing itself; its elements' users agree among themselves.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the first bytes of the map.
    ///
    /// # Errors
    /// When the kernel refuses, for example because the map is shorter.
    pub(super) fn new(map: impl AsFd, bytes: usize) -> io::Result<Self> {
        let bytes = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses a place where nothing else is.
        let begin = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, map, 0) }?;
        Ok(Self { begin, bytes })
    }

    /// The begin of the element of that number, if all of it is mapped.
    pub(super) fn element(&self, number: usize, bytes: usize) -> Option<NonNull<u8>> {
        let begin = number.checked_mul(bytes)?;
        let end = begin.checked_add(bytes)?;
        // SAFETY: within the mapping.
        (end <= self.bytes.get()).then(|| unsafe { self.begin.cast::<u8>().add(begin) })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: it was mapped as such, and no pointer into it is left.
        // Cannot fail for a whole mapping.
        let _ = unsafe { munmap(self.begin, self.bytes.get()) };
    }
}
