//! The state that the thread and its caller share, apart from the queue.
use std::{
    mem,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{EventCounts, FilesError, QUEUE};

/// Buffers larger than this, which a long update needed, are not kept.
const SPARE_BYTES: usize = 512 << 10;

/// An event of the files.
#[derive(Debug)]
pub enum Report {
    /// The first chunk was written to a file.
    Opened {
        /// Its name.
        path: PathBuf,
    },
    /// An old file was deleted because of a limit or a full disk.
    Deleted {
        /// Its name.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
    },
    /// An old file could not be deleted. Reported once for each file.
    NotDeleted(FilesError),
    /// Nothing is written until a chunk that begins a section succeeds. Reported again only
    /// if the reason changes.
    Failed(FilesError),
    /// Writing has resumed.
    Resumed {
        /// The file.
        path: PathBuf,
    },
    /// Events not written since the last such report.
    NotWritten(EventCounts),
}

/// Shared by the thread and its caller; each holds the lock for moments only.
#[derive(Debug, Default)]
pub(super) struct Status {
    has_reports: AtomicBool,
    is_failing: AtomicBool,
    waiting: AtomicUsize,
    /// Bytes written.
    written: AtomicU64,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    reports: Vec<Report>,
    /// Events queued or being written.
    pending: EventCounts,
    /// Empty buffers.
    spare: Vec<Vec<u8>>,
    /// Whether the caller has given up.
    is_abandoned: bool,
}

impl Status {
    // The caller's side.

    pub(super) fn queued(&self, events: &EventCounts) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.lock().pending.add_all(events);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn buffer(&self) -> Vec<u8> {
        self.lock().spare.pop().unwrap_or_default()
    }

    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire)
    }

    pub(super) fn reports(&self) -> Vec<Report> {
        if !self.has_reports.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        mem::take(&mut self.lock().reports)
    }

    /// Gives up; returns the events that were not written.
    pub(super) fn abandon(&self) -> EventCounts {
        let mut shared = self.lock();
        shared.is_abandoned = true;
        mem::take(&mut shared.pending)
    }

    // The thread's side.

    /// A chunk left the queue.
    pub(super) fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn set_written(&self, bytes: u64) {
        self.written.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().is_abandoned
    }

    /// Removes the events of a chunk from the pending ones.
    pub(super) fn handled(&self, events: &EventCounts) {
        self.lock().pending.remove_all(events);
    }

    /// Counts the events of a chunk that will never be written.
    pub(super) fn not_written(&self, events: &EventCounts) {
        let mut shared = self.lock();
        // The caller counted them when it gave up.
        if shared.is_abandoned || events.is_empty() {
            return;
        }
        shared.pending.remove_all(events);
        match shared.reports.last_mut() {
            Some(Report::NotWritten(counts)) => counts.add_all(events),
            _ => shared.reports.push(Report::NotWritten(events.clone())),
        }
        drop(shared);
        self.has_reports.store(true, Ordering::Release);
    }

    pub(super) fn recycle(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut shared = self.lock();
        if shared.spare.len() <= QUEUE && buffer.capacity() <= SPARE_BYTES {
            shared.spare.push(buffer);
        }
    }

    pub(super) fn set_failing(&self, is_failing: bool) {
        self.is_failing.store(is_failing, Ordering::Release);
    }

    pub(super) fn report(&self, report: Report) {
        self.lock().reports.push(report);
        self.has_reports.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
