//! A live session: keeps taps in step with the interfaces and turns records into output.
mod attach;
pub(crate) mod check;
pub(crate) mod children;
pub(crate) mod closer;
mod cluster;
mod diagnostics;
mod dropped;
mod end;
pub(crate) mod firewalls;
mod flow_states;
mod follow;
mod names;
mod options;
mod progress;
pub(crate) mod recording;
pub(crate) mod runtimes;
pub(crate) mod sampling;
pub(crate) mod sources;
mod start;
mod taps;
pub(crate) mod topology;
mod translations;
pub(crate) mod workload;

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use anyhow::bail;
use aya_log::EbpfLogger;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    clock::monotonic_ns,
    model::{origin::Origin, start::Start},
    node::discover::{Scan, ScanError},
    pipeline::Pipeline,
    probe::{
        Change, ProbeError,
        attacher::Report,
        batch::Batch,
        drops::Drops,
        reader::{QUEUE_BATCHES, RingReader},
    },
    session::progress::SharedProgress,
    signals::Signals,
    sink::Sink,
    text::{sanitize::sanitize, system_error::without_numbers},
    update::Update,
};
use diagnostics::Diagnostics;
use dropped::Halves;
pub(crate) use end::Missing;
use firewalls::Firewalls;
use flow_states::FlowStates;
use names::Awaited;
pub(crate) use options::{Begin, Outlets, TraceOptions};
pub(crate) use progress::Foot;
use progress::Status;
use sampling::Sampling;
use sources::Sources;
use taps::{Missed, Reporter, Taps};
use topology::Look;

/// Why a session ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// Everything requested is done.
    Natural,
    /// A signal arrived.
    Asked,
}

/// Interfaces without taps.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unwatched {
    /// How many still wait for their taps.
    left: u64,
    /// How many refused their taps, or do not show all packets.
    missed: Missed,
    /// The pods that all of them are of or lead to; none if others are among them.
    pods: Option<BTreeSet<u64>>,
    /// Since when there have been any; none if since the beginning of the session.
    since_ns: Option<u64>,
}

/// Upper bound of the pods whose interfaces are told to be unwatched.
const PODS_MAX: usize = 256;

impl Unwatched {
    /// Whether what was told holds of these pods, too.
    fn has_told(&self, pods: impl FnOnce() -> Option<BTreeSet<u64>>) -> bool {
        let Some(told) = &self.pods else {
            return true;
        };
        pods().is_some_and(|pods| pods.is_subset(told))
    }

    /// The pods that were told and these, as packets under way may concern all.
    fn pods_with(&self, pods: impl FnOnce() -> Option<BTreeSet<u64>>) -> Option<BTreeSet<u64>> {
        let all: BTreeSet<_> = self.pods.as_ref()?.union(&pods()?).copied().collect();
        (all.len() <= PODS_MAX).then_some(all)
    }
}

/// A running session.
pub(crate) struct Tracer {
    duration: Option<Duration>,
    taps: Taps,
    reader: RingReader,
    batches: mpsc::Receiver<Batch>,
    /// What the kernel drops, if it tells.
    drops: Option<Drops>,
    /// The rules by which firewalls drop.
    firewalls: Firewalls,
    /// What is known of the flows of what they drop.
    flow_states: FlowStates,
    /// Drops and rules that belong together.
    halves: Halves,
    sources: Sources,
    /// How the nodes are read.
    look: Look,
    sampling: Sampling,
    pipeline: Pipeline,
    /// Names that a selector asks for.
    awaited: Awaited,
    /// Receives the text output.
    sink: Sink,
    /// Progress of the recording.
    progress: Option<SharedProgress>,
    /// Shows the progress on a terminal.
    status: Option<Status>,
    signals: Signals,
    ending: Ending,
    origin: Origin,
    started_ns: u64,
    ticked: Instant,
    counted: Instant,
    /// How many changes of the nodes the pipeline knows of.
    changes: u64,
    /// Whether another process closes the taps' links.
    has_closer: bool,
    /// Whether interfaces present at the start still wait for their taps.
    is_attaching: bool,
    /// The interfaces that packets pass unseen, as last reported.
    unwatched: Option<Unwatched>,
    /// Limit in percent of one processor; none once a notice says that it slows the reader.
    cpu_limit: Option<u32>,
    /// The kernel side's log, if enabled.
    diagnostics: Option<EbpfLogger<Diagnostics>>,
}

impl Tracer {
    /// Announces that the taps take packets since `begun_ns`.
    fn announce(&mut self, begun_ns: u64) {
        let left = self.taps.left_of_start();
        let namespaces: HashSet<_> = self.taps.tap_points().map(|p| p.netns_id).collect();
        let pods: HashSet<_> = self
            .taps
            .tap_points()
            .filter_map(|p| p.pod_netns())
            .collect();
        let nodes = self.pipeline.world().nodes.iter();
        let start = Start {
            nodes: nodes.map(ToString::to_string).collect(),
            interfaces: self.taps.tap_points().count(),
            attaching: (left > 0).then_some(left),
            pods: pods.len(),
            namespaces: namespaces.len(),
            attach: Some(self.taps.method().as_str().into()),
            begun_ns: Some(begun_ns),
            source: None,
            agents: None,
        };
        self.update(&Update::Start(start));
    }

    /// Whether packets are followed, as they are not where a signal came before.
    pub(crate) fn has_begun(&self) -> bool {
        self.taps.have_started()
    }

    /// Applies an update from a source; returns the notices about it.
    fn receive(&mut self, mut update: Update) -> anyhow::Result<Vec<String>> {
        // Names depend on the changes that no scan has shown yet.
        self.report_changes();
        match &mut update {
            Update::Notice { text } => return Ok(vec![std::mem::take(text)]),
            Update::Pods { ts_ns, .. }
            | Update::Cluster { ts_ns, .. }
            | Update::Translations { ts_ns, .. } => *ts_ns = monotonic_ns()?,
            _ => {}
        }
        let before = self.not_kept();
        self.update(&update);
        if matches!(update, Update::Pods { .. }) {
            // The pods' processes and cgroups exist by now.
            self.sources.ask_for_scan();
        }
        let is_full = before == 0 && self.not_kept() > 0;
        let full = is_full.then(|| cluster::FULL.to_owned());
        Ok(full
            .into_iter()
            .chain(self.awaited.learn(&update))
            .collect())
    }

    /// How many reports of remote pods, of nodes and of Services exceeded the room.
    fn not_kept(&self) -> u64 {
        self.pipeline.world().identities.not_kept()
    }

    fn take_scan(&mut self, scan: Result<Scan, ScanError>) -> anyhow::Result<Vec<String>> {
        self.report_changes();
        match scan {
            Ok(scan) => self.apply(scan),
            Err(error) => Ok(vec![not_scanned(error)]),
        }
    }

    fn push(&mut self, batch: &Batch) {
        self.report_changes();
        self.pipeline.push(&self.origin, batch);
    }

    /// Processes the waiting batches, so that a series of updates does not delay them.
    fn catch_up(&mut self) {
        for _ in 0..QUEUE_BATCHES {
            let Ok(batch) = self.batches.try_recv() else {
                return;
            };
            self.push(&batch);
        }
    }

    /// Records changes that netlink has reported and no scan has shown yet.
    fn report_changes(&mut self) {
        let count = self.sources.changes.count();
        if count != self.changes {
            self.changes = count;
            self.update(&Update::Changes { count });
        }
    }

    /// Brings taps and names in step with a scan; returns the notices about it.
    fn apply(&mut self, scan: Scan) -> anyhow::Result<Vec<String>> {
        let since_ns = scan.snapshot.time.steady_until_ns;
        let found = scan.targets.iter();
        for netns in found.filter_map(|target| target.netns.as_ref()) {
            self.firewalls.add(netns, false);
            if let Some(drops) = &mut self.drops {
                drops.watch(netns.id, || self.taps.probe.namespaces())?;
            }
        }
        let found = self.awaited.learn_snapshot(&scan.snapshot);
        let mut notices = self.change_taps(|taps, reporter| taps.apply(scan, reporter))?;
        notices.extend(found);
        self.report_unwatched(Some(since_ns))?;
        Ok(notices)
    }

    /// Applies a report of attaching or detaching; returns the notices about it.
    fn take_report(&mut self, report: Report) -> anyhow::Result<Vec<String>> {
        if let Report::Changed(_, Change::Restored { since_ns }) = report {
            self.report_gap(since_ns)?;
        }
        let since_ns = match report {
            Report::Changed(
                _,
                Change::Removed { since_ns, .. } | Change::Order { since_ns, .. },
            ) => since_ns,
            _ => monotonic_ns()?,
        };
        let notices = self.change_taps(|taps, reporter| taps.apply_report(report, reporter))?;
        if let Some(reason) = self.taps.refusal() {
            bail!("no interface can be traced: {reason}");
        }
        self.report_unwatched(Some(since_ns))?;
        if self.is_attaching && self.taps.left_of_start() == 0 {
            self.is_attaching = false;
            self.sink.set_status(String::new());
        }
        Ok(notices)
    }

    /// Reports how many interfaces packets pass unseen, if that has changed. `since_ns`: the
    /// begin of that, if there were none before.
    fn report_unwatched(&mut self, since_ns: Option<u64>) -> anyhow::Result<()> {
        let (left, missed) = self.taps.unwatched();
        let is_any = left > 0 || missed != Missed::default();
        // Found where it decides: each of many interfaces reports when it has its taps.
        let pods = || match missed == Missed::default() {
            true => self.taps.waiting_pods(),
            false => None,
        };
        let since_ns = match &self.unwatched {
            None if !is_any || !self.taps.have_started() => return Ok(()),
            None => since_ns,
            // Nothing to report while interfaces get their taps one after the other.
            Some(reported)
                if left > 0
                    && reported.left > 0
                    && reported.missed == missed
                    && reported.has_told(pods) =>
            {
                return Ok(());
            }
            Some(reported) => reported.since_ns,
        };
        let unwatched = Unwatched {
            left,
            missed,
            pods: match &self.unwatched {
                None => pods(),
                Some(reported) => reported.pods_with(pods),
            },
            since_ns,
        };
        if self.unwatched.as_ref() != Some(&unwatched) {
            let pods = unwatched.pods.iter().flatten().copied().collect();
            self.unwatched = is_any.then_some(unwatched);
            self.update(&Update::Attaching {
                left,
                // A pod that could not be opened counts as at least one.
                refused: missed.refused + u64::from(missed.has_unopened),
                partial: missed.partial,
                pods,
                since_ns,
                begun_ns: None,
                ts_ns: monotonic_ns()?,
            });
        }
        Ok(())
    }

    /// Reports that an interface had no taps for a while.
    fn report_gap(&mut self, since_ns: u64) -> anyhow::Result<()> {
        // Otherwise the last report still holds.
        if self.unwatched.is_none() && self.taps.have_started() {
            for left in [1, 0] {
                self.update(&Update::Attaching {
                    left,
                    refused: 0,
                    partial: 0,
                    pods: Vec::new(),
                    since_ns: Some(since_ns),
                    begun_ns: None,
                    ts_ns: monotonic_ns()?,
                });
            }
        }
        Ok(())
    }

    fn change_taps(
        &mut self,
        change: impl FnOnce(&mut Taps, &mut Reporter<'_>) -> Result<(), ProbeError>,
    ) -> anyhow::Result<Vec<String>> {
        let mut notices = Vec::new();
        let mut reporter = Reporter {
            pipeline: &mut self.pipeline,
            origin: &self.origin,
            notices: &mut notices,
        };
        change(&mut self.taps, &mut reporter)?;
        Ok(notices)
    }

    fn notify(&mut self, notices: Vec<String>) {
        for notice in notices {
            let text = without_numbers(&notice);
            self.update(&Update::Notice { text });
        }
    }

    fn update(&mut self, update: &Update) {
        self.pipeline.apply(&self.origin, update);
    }

    /// Follows packets until asked to stop, or until the work is done and its packets have
    /// arrived; returns what it did not deliver.
    ///
    /// # Errors
    /// When the kernel side fails, or when the reader of the output ends.
    pub(crate) async fn run_during(
        mut self,
        work: impl Future<Output = ()>,
    ) -> anyhow::Result<Missing> {
        // A signal may have arrived during the start.
        let followed = match self.ending {
            Ending::Natural => self.follow(work).await,
            Ending::Asked => Ok(()),
        };
        self.end(followed).await
    }
}

/// A netlink dump can fail while interfaces come and go. The existing taps go on, and the
/// next change starts the next scan.
fn not_scanned(error: ScanError) -> String {
    let error = anyhow::Error::from(error);
    format!(
        "interfaces could not be listed: {}",
        sanitize(&format!("{error:#}"))
    )
}
