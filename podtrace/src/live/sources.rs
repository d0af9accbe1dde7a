//! The sources of updates while a session runs: scans of the nodes, and names.
//!
//! Each source has a task of its own, so that no source delays the reading of packets or
//! another source.
use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use super::{
    cluster,
    runtimes::{self, RuntimeSource, Sockets},
    translations,
};
use crate::{
    identity::kubernetes::ClusterConfig,
    node::{
        discover::{Scan, ScanError, Scanner},
        target::Node,
        watch::{Changes, watch},
    },
    update::Update,
};

/// Shortest time between two scans.
const SCAN_PAUSE: Duration = Duration::from_millis(5);
/// The pause while irrelevant changes continue: this many times the duration of the scan, up
/// to a maximum.
const PAUSES: u32 = 4;
const SCAN_PAUSE_MAX: Duration = Duration::from_millis(500);
/// How many scans in a row must show nothing new before the pause grows.
const IN_VAIN: u32 = 20;
/// After this time without a scan, the count starts again.
const QUIET: Duration = Duration::from_secs(1);
/// When to scan again if something was too new to be certain.
const SETTLE: Duration = Duration::from_secs(2);
/// Upper bound of the updates that wait for the session.
const QUEUE: usize = 16;

/// The sources of names.
pub(crate) struct SourceOptions {
    /// Container runtimes.
    pub(crate) sockets: Sockets,
    /// The Kubernetes API.
    pub(crate) cluster: Option<ClusterConfig>,
}

/// The receiving end of all sources.
pub(super) struct Sources {
    /// Scans of the nodes.
    pub(super) scans: mpsc::Receiver<Result<Scan, ScanError>>,
    pub(super) updates: mpsc::Receiver<Update>,
    /// Changes of the nodes that scans have shown or will show.
    pub(super) changes: Changes,
    /// Why the connection tracking of nodes is not read.
    pub(super) untracked: Vec<String>,
    ask: mpsc::Sender<()>,
    /// Sends the updates of other sources.
    pub(super) sender: mpsc::Sender<Update>,
}

impl Sources {
    /// Starts all sources: scans the nodes, asks the runtimes, and keeps doing both.
    /// Returns the first scan and the first updates. `check`: fails if the scan lacks a
    /// requested interface.
    pub(super) async fn start(
        nodes: &[Node],
        mut scanner: Scanner,
        options: SourceOptions,
        check: impl FnOnce(&Scan) -> anyhow::Result<()>,
    ) -> anyhow::Result<(Self, Scan, Vec<Update>)> {
        let (changed, changes) = mpsc::channel(1);
        for node in nodes {
            watch(&node.netns, scanner.changes(), changed.clone())?;
        }
        let counted = scanner.changes();
        let (sender, updates) = mpsc::channel(QUEUE);
        let untracked = translations::follow(nodes, &sender);
        let (scans_sender, scans_receiver) = mpsc::channel(1);
        let (ask, asked) = mpsc::channel(1);
        let is_unnamed = matches!(options.sockets, Sockets::Elsewhere);
        let first_scan = async {
            let scan = scanner.scan().await?;
            check(&scan)?;
            anyhow::Ok(scan)
        };
        // A failed scan is reported before waiting for other sources.
        let (scan, mut runtimes, cluster) = tokio::try_join!(
            first_scan,
            async { Ok(runtimes::connect(nodes, options.sockets).await) },
            async { Ok(cluster::connect(options.cluster, sender.clone()).await) },
        )?;
        let first = runtimes.iter_mut().flat_map(RuntimeSource::first);
        let notice = "names of pods and containers unknown: no container runtime was asked (--cri-socket names one)";
        let notice = is_unnamed.then(|| Update::Notice {
            text: notice.into(),
        });
        let first = first.chain(cluster).chain(notice).collect();
        let prompts = runtimes.iter().map(|feed| feed.prompt.clone()).collect();
        for feed in runtimes {
            tokio::spawn(RuntimeSource::run(feed, sender.clone()));
        }
        let scans = Scans {
            scanner,
            changes,
            asked,
            prompts,
            scans: scans_sender,
        };
        tokio::spawn(scans.run(scan.unsettled));
        let sources = Self {
            scans: scans_receiver,
            updates,
            changes: counted,
            untracked,
            ask,
            sender,
        };
        // The first scan may be as old as the slowest answer.
        sources.ask_for_scan();
        Ok((sources, scan, first))
    }

    /// Asks for a scan: something has changed that netlink does not report.
    pub(super) fn ask_for_scan(&self) {
        // A pending request serves as well.
        let _ = self.ask.try_send(());
    }
}

/// How often the nodes are scanned: at once while there is something new to tap, less often
/// while irrelevant changes (routes, neighbours' links) go on.
#[derive(Default)]
struct Pace {
    /// Scans in a row that showed nothing new.
    in_vain: u32,
    last: Option<Instant>,
}

impl Pace {
    /// How long to wait after a scan that began at `started` and took `took`.
    fn pause(&mut self, started: Instant, took: Duration, is_new: bool) -> Duration {
        let was_quiet = self.last.is_none_or(|last| started - last >= QUIET);
        self.last = Some(started);
        if is_new || was_quiet {
            self.in_vain = 0;
        } else {
            self.in_vain = self.in_vain.saturating_add(1);
        }
        if self.in_vain < IN_VAIN {
            SCAN_PAUSE
        } else {
            (took * PAUSES).clamp(SCAN_PAUSE, SCAN_PAUSE_MAX)
        }
    }
}

/// The task that scans the nodes.
struct Scans {
    scanner: Scanner,
    changes: mpsc::Receiver<()>,
    asked: mpsc::Receiver<()>,
    /// Prompts for runtimes that send no events: they are asked when something changes.
    prompts: Vec<mpsc::Sender<()>>,
    scans: mpsc::Sender<Result<Scan, ScanError>>,
}

impl Scans {
    async fn run(mut self, mut unsettled: bool) {
        let mut pace = Pace::default();
        while self.wait(unsettled).await {
            // The session has processed the last scan by now: attaching may take longer
            // than scanning, and an old scan is of no use.
            let Ok(room) = self.scans.reserve().await else {
                return;
            };
            let started = Instant::now();
            let scan = self.scanner.scan().await;
            let is_new = scan.as_ref().is_ok_and(Scan::has_new_targets);
            let pause = pace.pause(started, started.elapsed(), is_new);
            // A failed scan is repeated.
            unsettled = scan.as_ref().map_or(true, |scan| scan.unsettled);
            room.send(scan);
            sleep(pause).await;
        }
    }

    /// Waits for a reason to scan; false at the end of the session.
    async fn wait(&mut self, unsettled: bool) -> bool {
        let wake = async {
            tokio::select! {
                change = self.changes.recv() => {
                    for prompt in &self.prompts {
                        let _ = prompt.try_send(());
                    }
                    change
                }
                ask = self.asked.recv() => ask,
            }
        };
        if unsettled {
            timeout(SETTLE, wake).await.unwrap_or(Some(())).is_some()
        } else {
            wake.await.is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn irrelevant_changes_slow_scans_until_a_relevant_one_or_quiet() {
        let mut pace = Pace::default();
        let took = Duration::from_millis(20);
        let mut now = Instant::now();
        let mut scan = |is_new, after| {
            now += after;
            pace.pause(now, took, is_new)
        };
        for _ in 0..IN_VAIN {
            assert_eq!(scan(false, SCAN_PAUSE), SCAN_PAUSE);
        }
        assert_eq!(scan(false, SCAN_PAUSE), took * PAUSES);
        assert_eq!(scan(true, SCAN_PAUSE), SCAN_PAUSE);
        for _ in 0..IN_VAIN {
            scan(false, SCAN_PAUSE);
        }
        assert_eq!(scan(false, SCAN_PAUSE), took * PAUSES);
        assert_eq!(scan(false, QUIET), SCAN_PAUSE);
    }
}
