//! Waiting for the kernel, which takes its time to attach and to detach.
use std::time::Duration;

use tokio::time::{Instant, Interval, interval_at};

use super::{Ending, Session};
use crate::{
    command::{signals::Signals, sink::Sink, trace::taps::Taps},
    probe::attacher::Report,
};

/// How often a terminal is told how far it is; what takes less is not told.
const TELL: Duration = Duration::from_secs(1);

/// Tells a terminal how far something is that takes long.
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
            turns: interval_at(Instant::now() + TELL, TELL),
        }
    }

    fn tell(&self, done: usize, says: &Sink) {
        says.set_status(format!("{} taps: {done} of {}", self.what, self.all));
    }
}

impl Session {
    /// Waits until everything is attached to that is to be; false if a signal
    /// came before.
    pub(super) async fn attached(&mut self) -> anyhow::Result<bool> {
        let mut wait = Wait::new("attaching", self.taps.attaching().0);
        while let (all, left @ 1..) = self.taps.attaching() {
            tokio::select! {
                biased;
                () = self.signals.next() => {
                    self.ending = Ending::Asked;
                    return Ok(false);
                }
                _ = wait.turns.tick() => wait.tell(all - left, &self.says),
                Some(report) = self.taps.report() => {
                    let notices = self.take_report(report)?;
                    self.say(notices);
                }
            }
        }
        self.says.set_status(String::new());
        Ok(true)
    }
}

/// Detaches from everything, or leaves that to the kernel when another signal
/// comes: it does so when the process ends.
pub(super) async fn detach(taps: &mut Taps, signals: &mut Signals, says: &Sink) {
    let mut wait = Wait::new("detaching", taps.detach_all());
    let mut done = 0;
    loop {
        tokio::select! {
            biased;
            () = signals.next() => break,
            _ = wait.turns.tick() => wait.tell(done, says),
            report = taps.report() => match report {
                Some(report) => done += usize::from(matches!(report, Report::Detached(_))),
                None => break,
            }
        }
    }
    says.set_status(String::new());
}
