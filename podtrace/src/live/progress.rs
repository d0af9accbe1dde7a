//! How far a recording is, in one line on a terminal.
use std::time::Duration;

use tokio::time::Instant;

use crate::{
    pipeline::Pipeline,
    text::{sanitize::sanitize, size::bytes},
};

/// How often it is told.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Tells once in a while.
pub(super) struct Progress {
    told: Instant,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            told: Instant::now(),
        }
    }

    /// The line, if it is time.
    pub(super) fn due(&mut self, pipeline: &mut Pipeline) -> Option<String> {
        if self.told.elapsed() < EVERY {
            return None;
        }
        self.told = Instant::now();
        let (packets, lost) = (pipeline.newest_packet(), pipeline.lost());
        let progress = pipeline.recorder()?.progress();
        let file = progress
            .file
            .map_or_else(String::new, |path| format!(" · {}", path.display()));
        let line = format!(
            "{} events · {packets} packets · {} written · {lost} lost · {} not recorded{file}",
            progress.events,
            bytes(progress.bytes),
            progress.not_recorded,
        );
        Some(sanitize(&line))
    }
}
