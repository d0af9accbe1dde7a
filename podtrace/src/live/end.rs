//! The end of a session.
use std::{io, time::Duration};

use anyhow::Context as _;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Ending, Tracer, attach::detach};
use crate::{
    clock::monotonic_ns,
    live::taps::{Missed, Taps},
    pipeline::Pipeline,
    session::progress::SharedProgress,
    signals::Signals,
    sink::{Sink, has_no_reader, print_at_once},
    text::count::counted,
    update::Update,
};

/// How long the end waits for a stalled reader once a signal came.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the end waits for a description of the nodes: of a short recording for the first, and
/// for the last where that may say why somebody did not answer.
const DESCRIPTION: Duration = Duration::from_secs(1);

/// Events and packets that a session did not deliver.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Missing {
    /// Events that were lost.
    pub(crate) events: u64,
    /// Events that are not in the recording.
    pub(crate) not_recorded: u64,
    /// Packets, events and notices that were not shown.
    pub(crate) not_shown: u64,
    /// Bytes of the output that the reader did not read.
    pub(crate) unread: usize,
    /// Interfaces that were not traced, or only in part.
    pub(crate) untraced: u64,
}

impl Missing {
    /// Whether anything is missing.
    pub(crate) fn is_any(&self) -> bool {
        let Self {
            events,
            not_recorded,
            not_shown,
            unread,
            untraced,
        } = self;
        events + not_recorded + not_shown + untraced > 0 || *unread > 0
    }
}

impl Tracer {
    /// Stops the taps, drains the rings, prints the summary, detaches, and waits for the
    /// reader of the output.
    pub(super) async fn end(mut self, followed: anyhow::Result<()>) -> anyhow::Result<Missing> {
        self.sink.set_status(String::new());
        let stopped = self.taps.probe.stop();
        if !matches!(stopped, Ok(true)) {
            detach(&mut self.taps, &mut self.signals, &self.sink).await;
        }
        self.reader.stop();
        while let Some(batch) = self.batches.recv().await {
            self.pipeline.push(&self.origin, &batch);
        }
        self.take_last_drops();
        let untold = self.report_untold();
        let named = self.take_last_names().await;
        // Only then is it known which sockets did not answer.
        self.pipeline.end_events();
        let looked = self.look_once_more().await;
        let untraced = self.report_untraced();
        let read = self.reader.join().context("failed to read the rings");
        // Consumers end in order, whatever has failed.
        let summed_up = sum_up(&mut self.taps, &mut self.pipeline, self.started_ns);
        let summed_up = read
            .and(followed)
            .and(stopped.map(|_| ()).map_err(Into::into))
            .and(untold.map_err(Into::into))
            .and(named)
            .and(looked)
            .and(summed_up);
        let flushed = self.pipeline.flush();
        if self.has_closer && self.taps.can_leave() {
            self.taps.leave();
        } else {
            detach(&mut self.taps, &mut self.signals, &self.sink).await;
        }
        self.sink.stop_taking();
        let unread = wait_for_reader(&mut self.sink, &mut self.signals, self.ending).await;
        let events = summed_up?;
        flushed?;
        let progress = self.progress.as_ref().map(SharedProgress::get);
        Ok(Missing {
            events,
            not_recorded: progress.map_or(0, |progress| progress.not_recorded),
            not_shown: self.pipeline.not_shown().total(),
            unread: unread?,
            untraced,
        })
    }

    /// Applies the names that have arrived meanwhile; all taps are stopped.
    async fn take_last_names(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + DESCRIPTION;
        while let Some(update) = self.last_update(deadline).await {
            let notices = self.receive(update)?;
            self.notify(notices);
        }
        let not_kept = self.not_kept();
        if not_kept > 0 {
            let notice = format!("{not_kept} reports of pods, nodes and Services found no room");
            self.notify(vec![notice]);
        }
        Ok(())
    }
}

impl Tracer {
    /// Reads the nodes once more if a socket did not answer: the kernel counts what it had no room
    /// for.
    async fn look_once_more(&mut self) -> anyhow::Result<()> {
        if !self.pipeline.has_unanswered_syns() {
            return Ok(());
        }
        let looking = tokio::spawn(self.look.clone().once());
        if let Ok(Ok(Some(update))) = timeout(DESCRIPTION, looking).await {
            let notices = self.receive(update)?;
            self.notify(notices);
        }
        Ok(())
    }

    /// The next update that has arrived meanwhile, or that is waited for until a time.
    async fn last_update(&mut self, deadline: Instant) -> Option<Update> {
        let updates = &mut self.sources.updates;
        match updates.try_recv() {
            Ok(update) => Some(update),
            Err(_) if self.lacks_description() => {
                let updates = &mut self.sources.updates;
                timeout_at(deadline, updates.recv()).await.ok().flatten()
            }
            Err(_) => None,
        }
    }

    /// Whether it records, and its nodes were not described yet: a replay could not say why a packet
    /// did not arrive.
    fn lacks_description(&self) -> bool {
        self.progress.is_some() && self.pipeline.world().facts.is_empty()
    }

    /// Reports again, beside the summary, how many interfaces were not traced, or only in
    /// part; returns how many.
    fn report_untraced(&mut self) -> u64 {
        let left = self.taps.left_of_start() as u64;
        let Missed {
            refused,
            partial,
            has_unopened,
        } = self.taps.missed();
        let counts = [
            (refused, "not traced"),
            (partial, "traced in part"),
            (left, "not attached to in time"),
        ];
        let parts = counts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !parts.is_empty() {
            self.notify(vec![format!("interfaces: {}", parts.join(", "))]);
        }
        refused + partial + left + u64::from(has_unopened)
    }
}

/// Writes the summary, given the final counters; returns how many events were lost.
fn sum_up(taps: &mut Taps, pipeline: &mut Pipeline, started_ns: u64) -> anyhow::Result<u64> {
    let counters = taps.probe.counters()?;
    let duration_ns = monotonic_ns()?.saturating_sub(started_ns);
    Ok(pipeline.finish(&counters, duration_ns).total().lost())
}

/// Waits until the rest of the output is written: a pager may take its time. After a signal,
/// it waits only while the reader makes progress, and a second signal ends the wait. Returns
/// how many bytes were not read.
async fn wait_for_reader(
    sink: &mut Sink,
    signals: &mut Signals,
    ending: Ending,
) -> io::Result<usize> {
    let mut left = sink.waiting();
    loop {
        tokio::select! {
            biased;
            () = sink.finished() => {
                sink.finish()?;
                return Ok(0);
            }
            () = signals.next() => break,
            () = sleep(PATIENCE), if matches!(ending, Ending::Asked) => {
                let before = std::mem::replace(&mut left, sink.waiting());
                if left == before {
                    break;
                }
            }
        }
    }
    let left = sink.waiting();
    // Who leaves has read what he wanted.
    if left > 0 && !has_no_reader() {
        let bytes = counted(left as u64, "byte");
        print_at_once(&format!("nobody read the last {bytes} of the output"));
    }
    Ok(left)
}
