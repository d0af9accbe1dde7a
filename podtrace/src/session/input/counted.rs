//! Counts what is read, for the whole process: a command reads one set of files.
use std::{
    io::{self, Read},
    sync::atomic::{AtomicU64, Ordering},
};

use super::Source;

static BYTES: AtomicU64 = AtomicU64::new(0);
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// How many bytes were read from inputs so far, as they are on disk.
pub(crate) fn bytes_read() -> u64 {
    BYTES.load(Ordering::Relaxed)
}

/// How many events were read from inputs so far.
pub(crate) fn events_read() -> u64 {
    EVENTS.load(Ordering::Relaxed)
}

/// Notes one more event. Only the thread that takes them calls it.
pub(in crate::session) fn count_event() {
    EVENTS.store(events_read() + 1, Ordering::Relaxed);
}

/// A source whose bytes count.
pub(super) struct Counted<R>(pub(super) R);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        BYTES.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<R: Read + Send> Source for Counted<R> {}
