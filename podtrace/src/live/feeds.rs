//! What a session is told while it runs: looks at the nodes and names.
//!
//! Each source has a task of its own, so that none of them holds up the reading
//! of packets, and none another.
use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use super::{
    cluster,
    runtimes::{self, RuntimeFeed, Sockets},
};
use crate::{
    identity::kubernetes::ClusterConfig,
    node::{
        discover::{LookError, Looker, Snapshot},
        target::Node,
        watch::{Changes, watch},
    },
    update::Update,
};

/// Shortest time between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// The same while changes that tell nothing new do not end: so many times what
/// the look took, up to the longest.
const PAUSES: u32 = 4;
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(500);
/// How many looks in a row are to show nothing new for that.
const IN_VAIN: u32 = 20;
/// After so long without a look the next ones are in a row anew.
const QUIET: Duration = Duration::from_secs(1);
/// When to look again at what is too new to be settled.
const SETTLE: Duration = Duration::from_secs(2);
/// Updates that wait for the session at most.
const QUEUE: usize = 16;

/// Where names come from.
pub(crate) struct Sources {
    /// Container runtimes.
    pub(crate) sockets: Sockets,
    /// The Kubernetes API.
    pub(crate) cluster: Option<ClusterConfig>,
}

/// The receiving end of all sources.
pub(super) struct Feeds {
    /// Looks at the nodes.
    pub(super) looks: mpsc::Receiver<Result<Snapshot, LookError>>,
    pub(super) updates: mpsc::Receiver<Update>,
    /// Changes of the nodes that looks have taken up or will.
    pub(super) changes: Changes,
    look: mpsc::Sender<()>,
    /// For what other sources tell.
    pub(super) sender: mpsc::Sender<Update>,
}

impl Feeds {
    /// Looks for the first time, hears of the runtimes, and goes on doing so.
    /// Returns the first look and what the runtimes told. `check`: fails if
    /// the look does not show what is wanted.
    pub(super) async fn start(
        nodes: &[Node],
        mut looker: Looker,
        sources: Sources,
        check: impl FnOnce(&Snapshot) -> anyhow::Result<()>,
    ) -> anyhow::Result<(Self, Snapshot, Vec<Update>)> {
        let (changed, changes) = mpsc::channel(1);
        for node in nodes {
            watch(&node.netns, looker.changes(), changed.clone())?;
        }
        let counted = looker.changes();
        let (sender, updates) = mpsc::channel(QUEUE);
        let (looks_sender, looks_receiver) = mpsc::channel(1);
        let (look, asked) = mpsc::channel(1);
        let is_unnamed = matches!(sources.sockets, Sockets::Elsewhere);
        let first_look = async {
            let snapshot = looker.look().await?;
            check(&snapshot)?;
            anyhow::Ok(snapshot)
        };
        // What is wrong with the look is said before anybody is waited for.
        let (snapshot, mut runtimes, cluster) = tokio::try_join!(
            first_look,
            async { Ok(runtimes::connect(nodes, sources.sockets).await) },
            async { Ok(cluster::connect(sources.cluster, sender.clone()).await) },
        )?;
        let first = runtimes.iter_mut().flat_map(RuntimeFeed::first);
        let notice = "names of pods and containers unknown: no container runtime was asked (--cri-socket names one)";
        let notice = is_unnamed.then(|| Update::Notice {
            text: notice.into(),
        });
        let first = first.chain(cluster).chain(notice).collect();
        let prompts = runtimes.iter().map(|feed| feed.prompt.clone()).collect();
        for feed in runtimes {
            tokio::spawn(RuntimeFeed::run(feed, sender.clone()));
        }
        let looks = Looks {
            looker,
            changes,
            asked,
            prompts,
            looks: looks_sender,
        };
        tokio::spawn(looks.run(snapshot.unsettled));
        let feeds = Self {
            looks: looks_receiver,
            updates,
            changes: counted,
            look,
            sender,
        };
        // The first look may be as old as the slowest answer.
        feeds.ask_for_look();
        Ok((feeds, snapshot, first))
    }

    /// Asks for a look: something that netlink does not tell has changed.
    pub(super) fn ask_for_look(&self) {
        // One that is asked for already serves.
        let _ = self.look.try_send(());
    }
}

/// How often it is looked: at once while there is something new to tap, less
/// often when changes that tell nothing new (routes, neighbours' links) do not
/// end.
#[derive(Default)]
struct Pace {
    /// Looks in a row that showed nothing new.
    in_vain: u32,
    last: Option<Instant>,
}

impl Pace {
    /// How long to wait after a look that began then and took so long.
    fn pause(&mut self, begun: Instant, took: Duration, is_new: bool) -> Duration {
        let was_quiet = self.last.is_none_or(|last| begun - last >= QUIET);
        self.last = Some(begun);
        if is_new || was_quiet {
            self.in_vain = 0;
        } else {
            self.in_vain = self.in_vain.saturating_add(1);
        }
        if self.in_vain < IN_VAIN {
            LOOK_PAUSE
        } else {
            (took * PAUSES).clamp(LOOK_PAUSE, LOOK_PAUSE_MAX)
        }
    }
}

/// The task that looks at the nodes.
struct Looks {
    looker: Looker,
    changes: mpsc::Receiver<()>,
    asked: mpsc::Receiver<()>,
    /// Runtimes that tell nothing by themselves are asked when something changes.
    prompts: Vec<mpsc::Sender<()>>,
    looks: mpsc::Sender<Result<Snapshot, LookError>>,
}

impl Looks {
    async fn run(mut self, mut unsettled: bool) {
        let mut pace = Pace::default();
        while self.wait(unsettled).await {
            // The last one is taken over by now: to attach may take longer than
            // to look, and an old look is of no use.
            let Ok(room) = self.looks.reserve().await else {
                return;
            };
            let begun = Instant::now();
            let look = self.looker.look().await;
            let is_new = look.as_ref().is_ok_and(Snapshot::has_new_targets);
            let pause = pace.pause(begun, begun.elapsed(), is_new);
            // One that failed is worth another.
            unsettled = look.as_ref().map_or(true, |snapshot| snapshot.unsettled);
            room.send(look);
            sleep(pause).await;
        }
    }

    /// Waits for a reason to look; false at the end of the session.
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
    fn changes_without_news_are_looked_at_less_often_until_there_is_news_or_quiet() {
        let mut pace = Pace::default();
        let took = Duration::from_millis(20);
        let mut now = Instant::now();
        let mut look = |is_new, after| {
            now += after;
            pace.pause(now, took, is_new)
        };
        for _ in 0..IN_VAIN {
            assert_eq!(look(false, LOOK_PAUSE), LOOK_PAUSE);
        }
        assert_eq!(look(false, LOOK_PAUSE), took * PAUSES);
        assert_eq!(look(true, LOOK_PAUSE), LOOK_PAUSE);
        for _ in 0..IN_VAIN {
            look(false, LOOK_PAUSE);
        }
        assert_eq!(look(false, LOOK_PAUSE), took * PAUSES);
        assert_eq!(look(false, QUIET), LOOK_PAUSE);
    }
}
