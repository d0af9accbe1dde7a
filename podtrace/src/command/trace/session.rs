//! A live session: taps kept in step with the interfaces, records turned into output.
use std::{
    collections::{BTreeMap, HashSet},
    io,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use aya_log::EbpfLogger;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use podtrace_ebpf::config::TapCounters;
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
    recording::Recording,
    sampling::Sampling,
    taps::Taps,
    topology,
};
use crate::{
    clock::{monotonic_ns, nanos},
    identity::{
        cgroupfs::{CgroupFs, CgroupPath},
        cri::PodList,
        runtime::RuntimeState,
        table::PodTable,
    },
    news::{News, Origin},
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
    pub(crate) headers_only: bool,
    pub(crate) sampling: Sampling,
    pub(crate) diagnostics: bool,
    pub(crate) output: Box<dyn Output>,
    /// Where the output goes.
    pub(crate) says: Box<dyn io::Write + Send>,
    /// UTC nanoseconds at CLOCK_MONOTONIC zero.
    pub(crate) epoch_ns: i128,
    /// Where to record it.
    pub(crate) recording: Option<Recording>,
}

/// A running session.
pub(crate) struct Session {
    duration: Option<Duration>,
    taps: Taps,
    reader: Reader,
    batches: mpsc::Receiver<Batch>,
    feeds: Feeds,
    sampling: Sampling,
    pipeline: Pipeline,
    /// Where its output goes.
    says: Box<dyn io::Write + Send>,
    origin: Origin,
    started_ns: u64,
    ticked: Instant,
    /// What the runtime's last list lacks, in words.
    left_out: String,
    /// How many changes of the nodes the pipeline was told of.
    changes: u64,
    /// The kernel side's log, when it is wanted.
    diagnostics: Option<EbpfLogger<Diagnostics>>,
}

impl Session {
    /// Loads the programs and attaches to everything there is.
    pub(crate) async fn start(nodes: Vec<Node>, options: SessionOptions) -> anyhow::Result<Self> {
        raise_file_limit();
        let (table, sockets) = (options.table.clone(), options.sources.sockets.clone());
        let looker = Looker::new(nodes.clone(), options.interfaces.clone(), options.table);
        let (feeds, snapshot, first) = Feeds::start(&nodes, looker, options.sources, |snapshot| {
            check_names(&options.interfaces, snapshot)
        })
        .await?;
        let (mut probe, channel) = Probe::load(&ProbeOptions {
            snaplen: options.snaplen,
            ring_bytes: options.ring_bytes,
            max_interfaces: max_interfaces(snapshot.targets.len()),
            headers_only: options.headers_only,
            diagnostics: options.diagnostics,
        })?;
        probe.set_vxlan_ports(&[FLANNEL_PORT])?;
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
        let timeout_ns = nanos(options.hop_timeout);
        let decode = DecodeOptions {
            vxlan_ports: vec![FLANNEL_PORT],
            key_payload: key_payload(options.snaplen),
        };
        let mut pipeline = Pipeline::new(decode, timeout_ns, options.count, options.output);
        if !options.interfaces.is_empty() {
            pipeline.see_part();
        }
        let world = pipeline.world_mut();
        world.nodes = nodes.iter().map(|node| node.name.clone()).collect();
        world.epoch_ns = options.epoch_ns;
        let origin = Origin {
            session: 0,
            nodes: 0..nodes.len(),
        };
        if let Some(recording) = options.recording {
            pipeline.record(recording.start()?);
            let looks = topology::keep_looking(nodes.clone(), sockets, table, feeds.sender.clone());
            tokio::spawn(looks);
        }
        let mut session = Self {
            duration: options.duration,
            taps: Taps::new(probe, cgroup_fs),
            reader,
            batches,
            feeds,
            sampling: options.sampling,
            pipeline,
            says: options.says,
            origin,
            started_ns: monotonic_ns()?,
            diagnostics,
            ticked: Instant::now(),
            left_out: String::new(),
            changes: 0,
        };
        let mut notices = session.apply(snapshot)?;
        for update in first {
            notices.extend(session.take(update)?);
        }
        session.taps.probe.sample(session.sampling.digest_max())?;
        session.taps.probe.start()?;
        session.announce();
        if session.sampling.share() > 1 {
            session.note_sampling()?;
        }
        session.say(notices);
        session.flush()?;
        Ok(session)
    }

    fn announce(&mut self) {
        let namespaces: HashSet<_> = self.taps.places().map(|p| p.netns_cookie).collect();
        let pods: HashSet<_> = self.taps.places().filter_map(|p| p.pod_netns()).collect();
        let nodes = self.pipeline.world().nodes.iter();
        let start = Start {
            nodes: nodes.map(ToString::to_string).collect(),
            interfaces: self.taps.places().count(),
            pods: pods.len(),
            namespaces: namespaces.len(),
            source: None,
        };
        self.tell(&News::Start(start));
    }

    /// Takes over something new; returns what is to be said of it.
    fn take(&mut self, update: Update) -> anyhow::Result<Vec<String>> {
        // Names are given by what is in doubt now.
        self.note_changes();
        let notices = match update {
            Update::Pods(runtime, list) => {
                let news = News::Pods {
                    runtime,
                    pods: list.pods.clone(),
                    ts_ns: monotonic_ns()?,
                };
                self.tell(&news);
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
                let ts_ns = monotonic_ns()?;
                self.tell(&News::Cluster { update, ts_ns });
                notice.into_iter().collect()
            }
            Update::Notice(notice) => vec![notice],
            Update::Topology(topology) => {
                if let Some(recorder) = self.pipeline.recorder() {
                    recorder.topology(*topology);
                }
                Vec::new()
            }
        };
        Ok(notices)
    }

    fn take_look(&mut self, look: Result<Snapshot, LookError>) -> anyhow::Result<Vec<String>> {
        self.note_changes();
        match look {
            Ok(snapshot) => self.apply(snapshot),
            Err(error) => Ok(vec![not_looked(error)]),
        }
    }

    fn push(&mut self, batch: &Batch) {
        self.note_changes();
        self.pipeline.push(&self.origin, batch);
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
        let count = self.feeds.changes.count();
        if count != self.changes {
            self.changes = count;
            self.tell(&News::Changes { count });
        }
    }

    fn runtime(&mut self, runtime: usize, node: usize, state: RuntimeState) -> String {
        let answers = matches!(state, RuntimeState::Connected(_));
        let node = answers.then_some(node);
        self.tell(&News::Runtime { runtime, node });
        match state {
            RuntimeState::Connected(about) => {
                format!("pods and containers named by {about}")
            }
            RuntimeState::Lost { reason } => {
                format!("new pods and containers stay unnamed: {reason}")
            }
        }
    }

    /// Brings taps and names in step with what there is now; returns what is
    /// to be said of it.
    fn apply(&mut self, snapshot: Snapshot) -> anyhow::Result<Vec<String>> {
        let mut notices = Vec::new();
        self.taps
            .apply(snapshot, &mut self.pipeline, &self.origin, &mut notices)?;
        Ok(notices)
    }

    fn say(&mut self, notices: Vec<String>) {
        for text in notices {
            self.tell(&News::Notice { text });
        }
    }

    fn tell(&mut self, news: &News) {
        self.pipeline.tell(&self.origin, news);
    }

    fn flush(&mut self) -> io::Result<()> {
        write_text(&mut self.pipeline, &mut *self.says)
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
        let read_ns = monotonic_ns()?;
        self.note_changes();
        self.pipeline.tick(now_ns, read_ns, &counters);
        if self.sampling.adjust(taken(&counters), monotonic_ns()?) {
            self.taps.probe.sample(self.sampling.digest_max())?;
            self.note_sampling()?;
        }
        Ok(())
    }

    fn note_sampling(&mut self) -> anyhow::Result<()> {
        self.tell(&News::Sampling {
            share: self.sampling.share(),
            ts_ns: monotonic_ns()?,
        });
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
            self.pipeline.push(&self.origin, &batch);
        }
        let named = self.take_last_names();
        self.reader.join().context("failed to read the ring")?;
        followed?;
        stopped?;
        named?;
        let counters = self.taps.probe.counters()?;
        let duration_ns = monotonic_ns()?.saturating_sub(self.started_ns);
        let lost = self.pipeline.finish(&counters, duration_ns).total().lost();
        write_text(&mut self.pipeline, &mut *self.says)?;
        let recorder = self.pipeline.recorder();
        let not_recorded = recorder.map_or(0, |recorder| recorder.not_recorded());
        Ok(lost + not_recorded)
    }
}

/// Packets that were not refused.
fn taken(counters: &BTreeMap<u32, TapCounters>) -> u64 {
    let counters = counters.values().flatten();
    counters
        .map(|tap| tap.seen.saturating_sub(tap.filtered))
        .sum()
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

/// Writes at once; nothing at all when there is nothing.
fn write_text(pipeline: &mut Pipeline, says: &mut dyn io::Write) -> io::Result<()> {
    if pipeline.text_len() == 0 {
        return Ok(());
    }
    pipeline.write_text(says)?;
    says.flush()
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
