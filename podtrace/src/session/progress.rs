//! The progress of a recording.
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// The progress of a recording.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Events recorded, or queued for that.
    pub events: u64,
    /// Events not recorded.
    pub not_recorded: u64,
    /// Bytes written to all of its files.
    pub bytes: u64,
    /// Files begun.
    pub files: u64,
    /// Old files deleted, because of a limit or a full disk.
    pub deleted: u64,
    /// The file being written.
    pub file: Option<PathBuf>,
}

/// The progress as of the recorder's last tick, shared with others.
#[derive(Clone, Debug, Default)]
pub struct SharedProgress(Arc<Mutex<Progress>>);

impl SharedProgress {
    /// The last known progress.
    #[must_use]
    pub fn get(&self) -> Progress {
        let progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        progress.clone()
    }

    pub(super) fn set(&self, progress: Progress) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}
