//! The speed of a replay.
use std::time::{Duration, Instant};

/// Replays at the original speed.
pub(super) struct Pace {
    factor: f64,
    begin: Option<(u64, Instant)>,
}

impl Pace {
    pub(super) fn new(factor: f64) -> Self {
        Self {
            factor,
            begin: None,
        }
    }

    /// The time to wait for an event.
    pub(super) fn pause(&mut self, ns: u64) -> Option<Duration> {
        if ns == 0 {
            return None;
        }
        let (first_ns, begin) = *self.begin.get_or_insert((ns, Instant::now()));
        let since = Duration::from_nanos(ns.saturating_sub(first_ns));
        let due = begin
            .checked_add(Duration::try_from_secs_f64(since.as_secs_f64() / self.factor).ok()?)?;
        let pause = due.saturating_duration_since(Instant::now());
        (pause >= Duration::from_millis(1)).then_some(pause)
    }
}
