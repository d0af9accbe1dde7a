//! Counts the input of the whole process: a command reads one set of files.
use std::{
    io::{self, Read},
    sync::atomic::{AtomicU64, Ordering},
};

use super::Source;

static BYTES: AtomicU64 = AtomicU64::new(0);
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// Bytes read from inputs so far, before decompression.
pub(crate) fn bytes_read() -> u64 {
    BYTES.load(Ordering::Relaxed)
}

/// Events read from inputs so far.
pub(crate) fn events_read() -> u64 {
    EVENTS.load(Ordering::Relaxed)
}

/// Counts so many more events. Only the consuming thread may call it.
pub(in crate::session) fn count_events(more: u64) {
    EVENTS.store(events_read() + more, Ordering::Relaxed);
}

/// A source whose bytes are counted.
pub(super) struct Counted<R>(pub(super) R);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        BYTES.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<R: Read + Send> Source for Counted<R> {}
