//! Waits for room on a disk that is full.
use std::{
    io, mem,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{backoff::Backoff, signals::Stop, sink, text::escape::shown};

/// The waits between two attempts: the first, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The room in a directory, for all buckets that are written there.
#[derive(Clone)]
pub(super) struct Room {
    folder: Arc<Path>,
    /// How many buckets wait for room.
    waiting: Arc<Mutex<usize>>,
}

impl Room {
    pub(super) fn of(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
            waiting: Arc::default(),
        }
    }

    /// The directory.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Tries until there is room, or until it is to stop. What else fails is told at once.
    pub(super) fn wait_for(
        &self,
        stop: &Stop,
        mut attempt: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut pauses = Backoff::new(FIRST, LONGEST);
        let mut is_waiting = false;
        loop {
            match attempt() {
                Err(error) if is_full(&error) && !stop.is_set() => {
                    if !mem::replace(&mut is_waiting, true) {
                        self.begin();
                    }
                }
                tried => {
                    if is_waiting {
                        self.end(tried.is_ok());
                    }
                    return tried;
                }
            }
            stop.sleep(pauses.next().unwrap_or(LONGEST))?;
        }
    }

    /// A bucket waits; the first one says so.
    fn begin(&self) {
        self.change(|waiting| {
            if *waiting == 0 {
                sink::tell(&format!(
                    "no space in {}: paths wait for it, and what comes meanwhile stays in the queue",
                    shown(&*self.folder)
                ));
            }
            *waiting += 1;
        });
    }

    /// A bucket waits no longer; the last one says so if it is written.
    fn end(&self, is_written: bool) {
        self.change(|waiting| {
            *waiting -= 1;
            if *waiting == 0 && is_written {
                sink::tell(&format!(
                    "there is space in {} again: what has waited is written",
                    shown(&*self.folder)
                ));
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut usize)) {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Whether a disk is full, or what a user may have of it.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
