//! Waits for the kernel to attach and to detach.
use std::time::Duration;

use tokio::time::{Instant, Interval, interval_at, sleep_until};

use super::{Ending, Tracer, options::Begin};
use crate::{live::taps::Taps, probe::attacher::Report, signals::Signals, sink::Sink};

/// How often the progress is shown; shorter work shows none.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// Shows the progress of long work on a terminal.
struct Wait {
    what: &'static str,
    all: usize,
    turns: Interval,
}

impl Wait {
    fn new(what: &'static str, all: usize) -> Self {
        Self {
            what,
            all,
            turns: interval_at(Instant::now() + SHOW_EVERY, SHOW_EVERY),
        }
    }

    fn show(&self, done: usize, sink: &Sink) {
        sink.set_status(format!("{} taps: {done} of {}", self.what, self.all));
    }
}

impl Tracer {
    /// Waits until the taps are attached with which the session begins, but not longer than it
    /// may. The interfaces that most packets pass come first; the rest follow while packets are
    /// shown. Returns false if a signal came first.
    pub(super) async fn attached(&mut self, begin: Begin) -> anyhow::Result<bool> {
        let ready = Instant::now() + begin.within;
        while self.taps.awaits_needed(begin.is_whole) {
            tokio::select! {
                biased;
                () = self.signals.next() => {
                    self.ending = Ending::Asked;
                    return Ok(false);
                }
                () = sleep_until(ready) => break,
                Some(report) = self.taps.report() => {
                    let notices = self.take_report(report)?;
                    self.notify(notices);
                }
            }
        }
        Ok(true)
    }

    /// Shows the progress of attaching on a terminal.
    pub(super) fn show_attaching(&self) {
        let (all, left) = self.taps.attaching();
        self.sink
            .set_status(format!("attaching taps: {} of {all}", all - left));
    }
}

/// Detaches all taps. If another signal comes, it leaves the rest to the kernel, which
/// detaches them when the process ends.
pub(super) async fn detach(taps: &mut Taps, signals: &mut Signals, sink: &Sink) {
    let mut wait = Wait::new("detaching", taps.detach_all());
    let mut done = 0;
    loop {
        tokio::select! {
            biased;
            () = signals.next() => break,
            _ = wait.turns.tick() => wait.show(done, sink),
            report = taps.report() => match report {
                Some(report) => done += usize::from(matches!(report, Report::Detached(_))),
                None => break,
            }
        }
    }
    sink.set_status(String::new());
}
