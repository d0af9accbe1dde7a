//! The progress of a recording, in one line on a terminal.
use std::time::Duration;

use tokio::time::Instant;

use crate::{
    pipeline::Pipeline,
    session::progress::{Progress, SharedProgress},
    text::{count::counted, escape::shown, sanitize::sanitize, size::bytes},
};

/// How often it is shown.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Formats the line at intervals.
pub(super) struct Status {
    shown: Instant,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            shown: Instant::now(),
        }
    }

    /// The line, if it is time.
    pub(super) fn due(&mut self, progress: &SharedProgress, pipeline: &Pipeline) -> Option<String> {
        if self.shown.elapsed() < EVERY {
            return None;
        }
        self.shown = Instant::now();
        let (packets, lost) = (pipeline.newest_packet(), pipeline.lost());
        let Progress {
            events,
            not_recorded,
            bytes: written,
            file,
        } = progress.get();
        let file = file.map_or_else(String::new, |path| format!(" · {}", shown(path)));
        let line = format!(
            "{} · {} · {} written · {lost} lost · {not_recorded} not recorded{file}",
            counted(events, "event"),
            counted(packets, "packet"),
            bytes(written),
        );
        Some(sanitize(&line))
    }
}
