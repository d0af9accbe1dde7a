//! A live session: taps kept in step with the interfaces, records turned into output.
use std::{
    collections::HashSet,
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use aya_log::EbpfLogger;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    check::check_names,
    cluster,
    diagnostics::Diagnostics,
    feeds::{Feeds, Sources, Update},
    taps::Taps,
};
use crate::{
    clock::{epoch_ns, monotonic_ns},
    identity::{
        cgroupfs::{CgroupFs, CgroupPath},
        cri::PodList,
        runtime::RuntimeState,
        table::PodTable,
    },
    node::{
        discover::{LookError, Looker, Snapshot},
        place::Node,
    },
    output::{Output, Start, sanitize::sanitize},
    packet::DecodeOptions,
    pipeline::{Pipeline, TICK_LAG_NS, key_payload},
    probe::{
        Probe, ProbeOptions,
        ring::{Batch, QUEUE_BATCHES, Reader},
    },
};

/// How often open paths are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How often the counters are looked at while no packet is under way.
const TICK_IDLE: Duration = Duration::from_secs(2);
/// flannel's port, where no VXLAN interface tells another.
const FLANNEL_PORT: u16 = 8472;

/// How to trace.
pub(crate) struct SessionOptions {
    pub(crate) interfaces: Vec<String>,
    pub(crate) table: PodTable,
    pub(crate) sources: Sources,
    pub(crate) count: Option<u64>,
    pub(crate) duration: Option<Duration>,
    pub(crate) snaplen: u32,
    pub(crate) hop_timeout: Duration,
    pub(crate) ring_bytes: u32,
    pub(crate) diagnostics: bool,
    pub(crate) output: Box<dyn Output>,
}

/// A running session.
pub(crate) struct Session {
    duration: Option<Duration>,
    taps: Taps,
    reader: Reader,
    batches: mpsc::Receiver<Batch>,
    feeds: Feeds,
    pipeline: Pipeline,
    started_ns: u64,
    ticked: Instant,
    /// What the runtime's last list lacks, in words.
    left_out: String,
    /// The kernel side's log, when it is wanted.
    diagnostics: Option<EbpfLogger<Diagnostics>>,
}

impl Session {
    /// Loads the programs and attaches to everything there is.
    pub(crate) async fn start(nodes: Vec<Node>, options: SessionOptions) -> anyhow::Result<Self> {
        raise_file_limit();
        let looker = Looker::new(nodes.clone(), options.interfaces.clone(), options.table);
        let asks_cluster = options.sources.cluster.is_some();
        let (feeds, snapshot, first) = Feeds::start(&nodes, looker, options.sources, |snapshot| {
            check_names(&options.interfaces, snapshot)
        })
        .await?;
        let (mut probe, channel) = Probe::load(&ProbeOptions {
            snaplen: options.snaplen,
            ring_bytes: options.ring_bytes,
            max_interfaces: max_interfaces(snapshot.targets.len()),
            diagnostics: options.diagnostics,
        })?;
        let diagnostics = options
            .diagnostics
            .then(|| EbpfLogger::init_with_logger(probe.object(), Diagnostics))
            .transpose()
            .context("failed to open the kernel side's log")?;
        let cgroup_fs = CgroupFs::open().ok().map(Arc::new);
        let by_id = cgroup_fs.clone();
        let look_up = Box::new(move |id| match &by_id {
            Some(cgroup_fs) => cgroup_fs.path_of(id),
            None => CgroupPath::Unknown,
        });
        let (reader, batches) =
            Reader::spawn(channel, look_up).context("failed to start the reader")?;
        let timeout_ns = u64::try_from(options.hop_timeout.as_nanos()).unwrap_or(u64::MAX);
        let decode = DecodeOptions {
            vxlan_ports: vec![FLANNEL_PORT],
            key_payload: key_payload(options.snaplen),
        };
        let mut pipeline = Pipeline::new(decode, timeout_ns, options.count, options.output);
        pipeline.world().nodes = nodes.iter().map(|node| node.name.clone()).collect();
        if asks_cluster {
            pipeline.world().directory.use_cluster(epoch_ns()?);
        }
        let mut session = Self {
            duration: options.duration,
            taps: Taps::new(probe, cgroup_fs),
            reader,
            batches,
            feeds,
            pipeline,
            started_ns: monotonic_ns()?,
            diagnostics,
            ticked: Instant::now(),
            left_out: String::new(),
        };
        let mut notices = session.apply(snapshot)?;
        for update in first {
            notices.extend(session.take(update)?);
        }
        session.taps.probe.start()?;
        session.announce();
        session.say(notices);
        session.flush()?;
        Ok(session)
    }

    fn announce(&mut self) {
        let namespaces: HashSet<_> = self.taps.places().map(|p| p.netns_cookie).collect();
        let pods: HashSet<_> = self.taps.places().filter_map(|p| p.pod_netns()).collect();
        let world = self.pipeline.world();
        let start = Start {
            nodes: world.nodes.iter().map(ToString::to_string).collect(),
            interfaces: self.taps.places().count(),
            pods: pods.len(),
            namespaces: namespaces.len(),
        };
        let (output, text, _) = self.pipeline.output();
        output.start(text, &start);
    }

    /// Takes over something new; returns what is to be said of it.
    fn take(&mut self, update: Update) -> anyhow::Result<Vec<String>> {
        let notices = match update {
            Update::Pods(runtime, list) => {
                let now_ns = monotonic_ns()?;
                let directory = &mut self.pipeline.world().directory;
                directory.set_pods(runtime, &list.pods, now_ns);
                // Their processes are there now, and their cgroups.
                self.feeds.ask_for_look();
                self.left_out(&list).into_iter().collect()
            }
            Update::Runtime {
                runtime,
                node,
                state,
            } => vec![self.runtime(runtime, node, state)],
            Update::Cluster(update) => {
                let notice = cluster::notice(&update);
                let directory = &mut self.pipeline.world().directory;
                directory.update_cluster(update, monotonic_ns()?);
                // What it names does not wait.
                return Ok(notice.into_iter().collect());
            }
            Update::Notice(notice) => vec![notice],
        };
        self.note_changes();
        self.pipeline.release();
        Ok(notices)
    }

    fn take_look(&mut self, look: Result<Snapshot, LookError>) -> anyhow::Result<Vec<String>> {
        let notices = match look {
            Ok(snapshot) => self.apply(snapshot)?,
            Err(error) => vec![not_looked(error)],
        };
        self.note_changes();
        self.pipeline.release();
        Ok(notices)
    }

    fn push(&mut self, batch: &Batch) {
        self.note_changes();
        self.pipeline.push(batch);
    }

    /// Takes the batches that wait, that news in a row do not hold them up.
    fn catch_up(&mut self) {
        for _ in 0..QUEUE_BATCHES {
            let Ok(batch) = self.batches.try_recv() else {
                return;
            };
            self.push(&batch);
        }
    }

    /// What a runtime's list lacks, when that has changed.
    fn left_out(&mut self, list: &PodList) -> Option<String> {
        let now = list.left_out().join(", ");
        let before = std::mem::replace(&mut self.left_out, now.clone());
        (before != now && !now.is_empty()).then(|| format!("not known: {now}"))
    }

    /// What netlink has told of, and no look has shown yet.
    fn note_changes(&mut self) {
        let changes = self.feeds.changes.count();
        self.pipeline.world().directory.note_changes(changes);
    }

    fn runtime(&mut self, runtime: usize, node: usize, state: RuntimeState) -> String {
        let directory = &mut self.pipeline.world().directory;
        match state {
            RuntimeState::Connected(about) => {
                directory.runtime_answers(runtime, node);
                format!("pods and containers named by {about}")
            }
            RuntimeState::Lost { reason } => {
                directory.runtime_is_lost(runtime);
                format!("new pods and containers stay unnamed: {reason}")
            }
        }
    }

    /// Brings taps and names in step with what there is now; returns what is
    /// to be said of it.
    fn apply(&mut self, snapshot: Snapshot) -> anyhow::Result<Vec<String>> {
        if !snapshot.vxlan_ports.is_empty() {
            self.pipeline.set_vxlan_ports(snapshot.vxlan_ports.clone());
        }
        let mut notices = Vec::new();
        self.taps
            .apply(snapshot, self.pipeline.world(), &mut notices)?;
        Ok(notices)
    }

    fn say(&mut self, notices: Vec<String>) {
        let (output, text, _) = self.pipeline.output();
        for notice in notices {
            output.notice(text, &notice);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        print(&self.pipeline.take_text())
    }

    /// Follows packets until told to stop; returns how many events were lost.
    pub(crate) async fn run(self) -> anyhow::Result<u64> {
        self.run_during(std::future::pending()).await
    }

    /// Follows packets until the work is done and its packets have come in.
    pub(crate) async fn run_during(
        mut self,
        work: impl Future<Output = ()>,
    ) -> anyhow::Result<u64> {
        let followed = self.follow(work).await;
        self.end(followed).await
    }

    async fn follow(&mut self, work: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let deadline = self.duration.map(|duration| Instant::now() + duration);
        tokio::pin!(work);
        while !self.pipeline.is_done() {
            // In order of urgency; packets come last, as they may never end. What
            // names pods takes no time, to attach to a pod that is new does.
            tokio::select! {
                biased;
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
                () = &mut work => break,
                () = sleep_until(self.next_tick()) => self.tick()?,
                Some(update) = self.feeds.updates.recv() => {
                    self.catch_up();
                    let notices = self.take(update)?;
                    self.say(notices);
                }
                look = self.feeds.looks.recv() => match look {
                    Some(look) => {
                        self.catch_up();
                        let notices = self.take_look(look)?;
                        self.say(notices);
                    }
                    None => bail!("the task that looks at the nodes ended early"),
                },
                batch = self.batches.recv() => match batch {
                    Some(batch) => self.push(&batch),
                    None => bail!("the ring reader ended early"),
                },
            }
            self.flush()?;
        }
        Ok(())
    }

    /// The kernel side's log has no other wake-up.
    fn next_tick(&self) -> Instant {
        let is_idle = !self.pipeline.is_waiting() && self.diagnostics.is_none();
        self.ticked + if is_idle { TICK_IDLE } else { TICK }
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        self.ticked = Instant::now();
        if let Some(log) = &mut self.diagnostics {
            log.flush();
        }
        // While batches wait, only their own time is known to have passed.
        let now_ns = if self.batches.is_empty() {
            monotonic_ns()?
        } else {
            self.pipeline.newest_ns()
        };
        let now_ns = now_ns.saturating_sub(TICK_LAG_NS);
        let counters = self.taps.probe.counters()?;
        self.note_changes();
        self.pipeline.tick(now_ns, &counters);
        Ok(())
    }

    /// Takes over names that have come meanwhile; nothing is tapped any more.
    fn take_last_names(&mut self) -> anyhow::Result<()> {
        while let Ok(update) = self.feeds.updates.try_recv() {
            let notices = self.take(update)?;
            self.say(notices);
        }
        Ok(())
    }

    /// Detaches, drains, and closes with the summary.
    async fn end(mut self, followed: anyhow::Result<()>) -> anyhow::Result<u64> {
        let stopped = self.taps.probe.detach();
        self.reader.stop();
        while let Some(batch) = self.batches.recv().await {
            self.pipeline.push(&batch);
        }
        let named = self.take_last_names();
        self.reader.join().context("failed to read the ring")?;
        followed?;
        stopped?;
        named?;
        let counters = self.taps.probe.counters()?;
        let duration_ns = monotonic_ns()?.saturating_sub(self.started_ns);
        let lost = self.pipeline.finish(&counters, duration_ns).total().lost();
        print(&self.pipeline.take_text())?;
        Ok(lost)
    }
}

/// A dump can fail while interfaces come and go; the taps that are there go
/// on, and the next change brings the next look.
fn not_looked(error: LookError) -> String {
    let error = anyhow::Error::from(error);
    format!(
        "interfaces not looked at: {}",
        sanitize(&format!("{error:#}"))
    )
}

/// Writes to standard output at once; nothing at all when there is nothing.
fn print(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// A tap takes a descriptor for each direction: as many as may be had.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it stays low, attaching says which interface had no room.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Room for as many interfaces again and again: the map cannot grow.
fn max_interfaces(now: usize) -> u32 {
    u32::try_from(now.saturating_mul(4)).map_or(u32::MAX / 64, |n| n.clamp(1024, 65_536))
}
