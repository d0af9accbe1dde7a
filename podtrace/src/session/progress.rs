//! How far a recording is.
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// How far a recording is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Events that are, or are about to be, in it.
    pub events: u64,
    /// Events that are not.
    pub not_recorded: u64,
    /// Bytes written, to all its files.
    pub bytes: u64,
    /// The file under way.
    pub file: Option<PathBuf>,
}

/// The same for others than the recorder, as it was at its last tick.
#[derive(Clone, Debug, Default)]
pub struct SharedProgress(Arc<Mutex<Progress>>);

impl SharedProgress {
    /// The last one.
    #[must_use]
    pub fn get(&self) -> Progress {
        let progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        progress.clone()
    }

    pub(super) fn set(&self, progress: Progress) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}
