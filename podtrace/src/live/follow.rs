//! The main loop of a session.
use std::{collections::BTreeMap, time::Duration};

use anyhow::bail;
use podtrace_ebpf::config::TapCounters;
use tokio::time::{Instant, sleep_until};

use super::{Ending, Tracer, progress::Status};
use crate::{clock::monotonic_ns, pipeline::TICK_LAG_NS, update::Update};

/// How often open paths are checked for timeouts.
const TICK: Duration = Duration::from_millis(50);
/// How often the taps' counters are read: each takes a system call. Each batch brings the
/// total of the losses.
const COUNT: Duration = Duration::from_millis(250);
/// How often the counters are read while no packets arrive.
const TICK_IDLE: Duration = Duration::from_secs(2);

impl Tracer {
    /// Follows packets until asked to stop, until there are as many as requested, or until the
    /// reader of the output ends.
    pub(super) async fn follow(&mut self, work: impl Future<Output = ()>) -> anyhow::Result<()> {
        let deadline = self.duration.map(|duration| Instant::now() + duration);
        tokio::pin!(work);
        while !self.pipeline.is_done() {
            let next_tick = self.next_tick();
            // In order of urgency; packets come last, as they may never end.
            tokio::select! {
                biased;
                () = self.signals.next() => {
                    self.ending = Ending::Asked;
                    break;
                }
                () = self.sink.finished() => break,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
                () = &mut work => break,
                () = sleep_until(next_tick) => self.tick()?,
                Some(update) = self.sources.updates.recv() => {
                    self.catch_up();
                    let notices = self.receive(update)?;
                    self.notify(notices);
                }
                Some(report) = self.taps.report() => {
                    self.catch_up();
                    let notices = self.take_report(report)?;
                    self.notify(notices);
                }
                scan = self.sources.scans.recv() => match scan {
                    Some(scan) => {
                        self.catch_up();
                        let notices = self.take_scan(scan)?;
                        self.notify(notices);
                    }
                    None => bail!("the task that scans the nodes ended early"),
                },
                batch = self.batches.recv() => match batch {
                    Some(batch) => self.push(&batch),
                    None => bail!("the ring reader ended early"),
                },
            }
            self.pipeline.flush()?;
        }
        Ok(())
    }

    /// The time of the next tick; the kernel side's log has no other wake-up.
    fn next_tick(&self) -> Instant {
        let is_idle =
            !self.pipeline.is_waiting() && self.diagnostics.is_none() && !self.is_attaching;
        let idle = self.status.as_ref().map_or(TICK_IDLE, Status::every);
        self.ticked + if is_idle { idle } else { TICK }
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        self.ticked = Instant::now();
        if let Some(log) = &mut self.diagnostics {
            log.flush();
        }
        // While batches or records wait, only their own time is known to have passed. The
        // order of the checks matters: the reader hands on before it says so.
        let read_ns = self.reader.handed_on_ns(monotonic_ns()?);
        let newest_ns = self.pipeline.newest_ns();
        let now_ns = match self.batches.is_empty() {
            true => read_ns.max(newest_ns),
            false => newest_ns,
        };
        // No event is older than the trace, whatever else is known.
        let now_ns = now_ns.saturating_sub(TICK_LAG_NS).max(self.started_ns);
        if self.counted.elapsed() >= COUNT || self.sampling.has_limit() {
            self.count()?;
        }
        self.report_changes();
        self.report_limit();
        self.take_drops();
        self.pipeline.tick(now_ns);
        if self.is_attaching {
            self.show_attaching();
        } else if let Some(status) = &mut self.status
            && let Some(line) = status.due(self.progress.as_ref(), &self.pipeline)
        {
            self.sink.set_status(line);
        }
        Ok(())
    }

    /// Reports once that the CPU limit makes the reader wait.
    fn report_limit(&mut self) {
        if let Some(percent) = self.cpu_limit
            && self.reader.has_paused()
        {
            self.cpu_limit = None;
            self.notify(vec![format!(
                "--cpu-limit {percent} holds podtrace back: packets that find no room in the rings are lost"
            )]);
        }
    }

    /// Takes over the taps' counters.
    fn count(&mut self) -> anyhow::Result<()> {
        self.counted = Instant::now();
        let counters = self.taps.probe.counters()?;
        self.pipeline.count(&counters);
        if self.sampling.adjust(taken(&counters), monotonic_ns()?) {
            let since_ns = monotonic_ns()?;
            self.taps.probe.sample(self.sampling.digest_max())?;
            self.report_share(Some(since_ns))?;
        }
        Ok(())
    }

    /// Reports which share of the packets is taken from now on. `since_ns`: since when some may have
    /// been, if not from the beginning.
    pub(super) fn report_share(&mut self, since_ns: Option<u64>) -> anyhow::Result<()> {
        self.update(&Update::Sampling {
            share: self.sampling.share(),
            since_ns,
            ts_ns: monotonic_ns()?,
        });
        Ok(())
    }
}

/// Packets that no filter refused: captured, or lost.
fn taken(counters: &BTreeMap<u32, TapCounters>) -> u64 {
    let counters = counters.values().flatten();
    let taken = counters.map(|tap| tap.seen.saturating_sub(tap.filtered));
    taken.sum()
}
