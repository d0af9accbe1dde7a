//! Inputs of more than one part, and files that are nowhere on disk.
use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::AsRawFd as _,
    path::PathBuf,
};

use nix::sys::memfd::{MFdFlags, memfd_create};

/// The parts of an input: each has its length before it, in two bytes, the low one first.
/// The last may be shorter.
pub(crate) fn parts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (len, behind) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_le_bytes(*len)).min(behind.len());
        let (part, behind) = behind.split_at(len);
        rest = behind;
        Some(part)
    })
}

/// A file in memory.
pub(crate) struct MemoryFile(File);

impl MemoryFile {
    /// A file with these bytes.
    pub(crate) fn new(bytes: &[u8]) -> io::Result<Self> {
        let mut file = File::from(memfd_create(c"input", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(bytes)?;
        Ok(Self(file))
    }

    /// Lets it grow.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Where it can be opened as long as it is kept.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}
