//! Starts the recording of a session.
use std::time::Duration;

use anyhow::Context as _;

use super::topology::Show;
use crate::{
    clock::monotonic_ns,
    session::{
        files::{Replacement, SessionFiles},
        progress::SharedProgress,
        recorder::{Recorder, RecorderOptions},
    },
};

/// A recording that is about to begin: its first file exists.
pub(crate) struct Recording {
    /// None once it has begun.
    files: Option<SessionFiles>,
    options: RecorderOptions,
    progress: SharedProgress,
    /// Formats the topology for it.
    pub(super) show: Show,
}

/// How long to wait for the thread of files that are not needed.
const PATIENCE: Duration = Duration::from_secs(1);

impl Drop for Recording {
    /// Removes a recording that did not begin.
    fn drop(&mut self) {
        if let Some(files) = self.files.take() {
            // An empty file may stay; another notice says why nothing is recorded.
            let _ = files.close(PATIENCE);
        }
    }
}

impl Recording {
    /// Prepares a recording whose first file exists.
    pub(crate) fn new(files: SessionFiles, options: RecorderOptions, show: Show) -> Self {
        Self {
            files: Some(files),
            options,
            progress: SharedProgress::default(),
            show,
        }
    }

    /// The earlier file that it is to replace, if there is one.
    pub(crate) fn replacement(&mut self) -> Option<Replacement> {
        self.files.as_mut()?.replacement()
    }

    /// Its progress, once it has begun.
    pub(crate) fn progress(&self) -> SharedProgress {
        self.progress.clone()
    }

    /// Begins the recording.
    pub(crate) fn start(mut self) -> anyhow::Result<Recorder> {
        let now_ns = monotonic_ns()?;
        let files = self.files.take().context("it has begun already")?;
        let recorder = Recorder::new(self.options.clone(), files, now_ns);
        Ok(recorder.shown_by(self.progress.clone()))
    }
}
