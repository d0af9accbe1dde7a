//! What goes on, in one line below all text on a terminal.
use std::time::Duration;

use tokio::time::Instant;

use crate::{
    model::tap::TapCount,
    pipeline::Pipeline,
    session::progress::{Progress, SharedProgress},
    text::{count::counted, escape::shown, sanitize::sanitize, size::bytes},
};

/// What the line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foot {
    /// How far a recording is.
    Recording,
    /// How much is traced.
    Rates,
}

impl Foot {
    /// How often it is shown.
    fn every(self) -> Duration {
        match self {
            Self::Recording => Duration::from_secs(1),
            Self::Rates => Duration::from_millis(500),
        }
    }
}

/// Formats the line at intervals.
pub(super) struct Status {
    foot: Foot,
    shown: Instant,
    /// Packets and events so far when it was last shown.
    before: (u64, u64),
}

impl Status {
    pub(super) fn new(foot: Foot) -> Self {
        Self {
            foot,
            shown: Instant::now(),
            before: (0, 0),
        }
    }

    /// How often it is shown.
    pub(super) fn every(&self) -> Duration {
        self.foot.every()
    }

    /// The line, if it is time. `progress`: that of a recording.
    pub(super) fn due(
        &mut self,
        progress: Option<&SharedProgress>,
        pipeline: &Pipeline,
    ) -> Option<String> {
        let elapsed = self.shown.elapsed();
        if elapsed < self.every() {
            return None;
        }
        self.shown = Instant::now();
        match self.foot {
            Foot::Recording => Some(recording(&progress?.get(), pipeline)),
            Foot::Rates => {
                let total = pipeline.total();
                let now = (pipeline.newest_packet(), total.emitted);
                let before = std::mem::replace(&mut self.before, now);
                Some(rates(before, now, elapsed, &total))
            }
        }
    }
}

fn recording(progress: &Progress, pipeline: &Pipeline) -> String {
    let (packets, lost) = (pipeline.newest_packet(), pipeline.lost());
    let Progress {
        events,
        not_recorded,
        bytes: written,
        file,
        ..
    } = progress;
    let file = file
        .as_ref()
        .map_or_else(String::new, |path| format!(" · {}", shown(path)));
    let line = format!(
        "{} · {} · {} written · {lost} lost · {not_recorded} not recorded{file}",
        counted(*events, "event"),
        counted(packets, "packet"),
        bytes(*written),
    );
    sanitize(&line)
}

/// `120 packets/s · 960 events/s · 0 filtered · 0 lost`. `before`, `now`: packets and events.
fn rates(before: (u64, u64), now: (u64, u64), elapsed: Duration, total: &TapCount) -> String {
    let rate = |before: u64, now: u64| {
        let more = now.saturating_sub(before);
        (more as f64 / elapsed.as_secs_f64().max(0.001)) as u64
    };
    format!(
        "{} packets/s · {} events/s · {} filtered · {} lost",
        rate(before.0, now.0),
        rate(before.1, now.1),
        total.filtered,
        total.lost()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_since_the_line_before() {
        let total = TapCount {
            filtered: 7,
            lost_ring: 2,
            ..TapCount::default()
        };
        let line = rates((10, 100), (70, 580), Duration::from_millis(500), &total);
        assert_eq!(line, "120 packets/s · 960 events/s · 7 filtered · 2 lost");
        let line = rates((10, 100), (10, 100), Duration::ZERO, &total);
        assert_eq!(line, "0 packets/s · 0 events/s · 7 filtered · 2 lost");
    }
}
