//! A live session: taps kept in step with the interfaces, records turned into output.
use std::{
    collections::HashSet,
    io::{self, Write as _},
    time::Duration,
};

use anyhow::{Context as _, bail};
use aya_log::EbpfLogger;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::monotonic_ns;
use crate::{
    identity::Identity,
    node::{
        discover::{Node, Place, Snapshot, Target, discover},
        watch::watch,
    },
    output::{Output, Start, sanitize::sanitize},
    packet::DecodeOptions,
    path::builder::is_link_local,
    pipeline::{Pipeline, TICK_LAG_NS, key_payload},
    probe::{
        Probe, ProbeOptions,
        ring::{Batch, Reader},
    },
};

/// How often open paths are looked at.
const TICK: Duration = Duration::from_millis(50);
/// Ticks between two looks at the counters while no packet is under way.
const TICKS_IDLE: u32 = 20;
/// flannel's port, where no VXLAN interface tells another.
const FLANNEL_PORT: u16 = 8472;

/// How to trace.
pub(crate) struct SessionOptions {
    pub(crate) interfaces: Vec<String>,
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
    nodes: Vec<Node>,
    identity: Box<dyn Identity>,
    interfaces: Vec<String>,
    duration: Option<Duration>,
    probe: Probe,
    reader: Reader,
    batches: mpsc::Receiver<Batch>,
    changes: mpsc::Receiver<()>,
    pipeline: Pipeline,
    /// Interfaces that have taps: number and place.
    tapped: Vec<(u32, Place)>,
    /// Interfaces that could not be tapped and were said to be so.
    refused: HashSet<(u64, u32)>,
    started_ns: u64,
    ticks: u32,
    /// The kernel side's log, when it is wanted.
    diagnostics: Option<EbpfLogger<Diagnostics>>,
}

impl Session {
    /// Loads the programs and attaches to everything there is.
    pub(crate) async fn start(
        nodes: Vec<Node>,
        identity: Box<dyn Identity>,
        options: SessionOptions,
    ) -> anyhow::Result<Self> {
        raise_file_limit();
        let (sender, changes) = mpsc::channel(1);
        for node in &nodes {
            watch(&node.netns, sender.clone())?;
        }
        let snapshot = discover(&nodes, identity.as_ref(), &options.interfaces).await?;
        check_names(&options.interfaces, &snapshot)?;
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
        let (reader, batches) = Reader::spawn(channel).context("failed to start the reader")?;
        let timeout_ns = u64::try_from(options.hop_timeout.as_nanos()).unwrap_or(u64::MAX);
        let decode = DecodeOptions {
            vxlan_ports: vec![FLANNEL_PORT],
            key_payload: key_payload(options.snaplen),
        };
        let mut session = Self {
            nodes,
            identity,
            interfaces: options.interfaces,
            duration: options.duration,
            probe,
            reader,
            batches,
            changes,
            pipeline: Pipeline::new(decode, timeout_ns, options.count, options.output),
            tapped: Vec::new(),
            refused: HashSet::new(),
            started_ns: monotonic_ns()?,
            diagnostics,
            ticks: 0,
        };
        session.apply(snapshot, false)?;
        session.probe.start()?;
        session.announce();
        session.flush()?;
        Ok(session)
    }

    fn announce(&mut self) {
        let namespaces: HashSet<_> = self.tapped.iter().map(|(_, p)| p.netns_cookie).collect();
        let pods: HashSet<_> = self
            .tapped
            .iter()
            .filter_map(|(_, place)| place.pod.clone())
            .collect();
        let start = Start {
            nodes: self
                .nodes
                .iter()
                .map(|node| node.name.to_string())
                .collect(),
            interfaces: self.tapped.len(),
            pods: pods.len(),
            namespaces: namespaces.len(),
        };
        let (output, text, _) = self.pipeline.output();
        output.start(text, &start);
    }

    /// Brings taps and names in step with what there is now.
    fn apply(&mut self, snapshot: Snapshot, say: bool) -> anyhow::Result<()> {
        let Snapshot {
            targets,
            vxlan_ports,
            addresses,
            names: _,
        } = snapshot;
        let present: HashSet<_> = targets.iter().map(|t| place_key(&t.place)).collect();
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.tapped)
            .into_iter()
            .partition(|(_, place)| present.contains(&place_key(place)));
        self.tapped = kept;
        for (number, place) in gone {
            self.probe.forget(number)?;
            self.notice(&format!("{} is gone", place_name(&place)));
        }
        let tapped: HashSet<_> = self.tapped.iter().map(|(_, p)| place_key(p)).collect();
        for target in targets {
            let key = place_key(&target.place);
            if !tapped.contains(&key) && !self.refused.contains(&key) {
                self.tap(target, say);
            }
        }
        if !vxlan_ports.is_empty() {
            self.pipeline.set_vxlan_ports(vxlan_ports);
        }
        let known = &mut self.pipeline.world().addresses;
        // Addresses that are gone may be another's tomorrow.
        known.clear();
        for (address, node, pod) in addresses {
            if !is_local_only(address) {
                known.insert(address, (node, pod));
            }
        }
        Ok(())
    }

    /// Taps an interface; one that cannot be tapped is said once and left.
    fn tap(&mut self, target: Target, say: bool) {
        let Target {
            place,
            netns,
            device,
        } = target;
        let number = self.pipeline.world().places.add(place.clone());
        match self.probe.attach(&netns, &device, place.ifindex, number) {
            Ok(()) => {
                if say {
                    self.notice(&format!("{} is traced now", place_name(&place)));
                }
                self.tapped.push((number, place));
            }
            Err(error) => {
                self.refused.insert(place_key(&place));
                let error = sanitize(&format!("{:#}", anyhow::Error::from(error)));
                self.notice(&format!("{} is not traced: {error}", place_name(&place)));
            }
        }
    }

    fn notice(&mut self, notice: &str) {
        let (output, text, _) = self.pipeline.output();
        output.notice(text, notice);
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
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deadline = self.duration.map(|duration| Instant::now() + duration);
        tokio::pin!(work);
        while !self.pipeline.is_done() {
            tokio::select! {
                biased;
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
                _ = ticks.tick() => self.tick()?,
                batch = self.batches.recv() => match batch {
                    Some(batch) => self.pipeline.push(&batch),
                    None => bail!("the ring reader ended early"),
                },
                Some(()) = self.changes.recv() => self.refresh().await?,
                () = &mut work => break,
            }
            self.flush()?;
        }
        Ok(())
    }

    async fn refresh(&mut self) -> anyhow::Result<()> {
        match discover(&self.nodes, self.identity.as_ref(), &self.interfaces).await {
            Ok(snapshot) => self.apply(snapshot, true),
            // A dump can fail while interfaces come and go; the taps that are
            // there go on, and the next change brings the next look.
            Err(error) => {
                let error = anyhow::Error::from(error);
                self.notice(&format!("interfaces not looked at: {error:#}"));
                Ok(())
            }
        }
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        if let Some(log) = &mut self.diagnostics {
            log.flush();
        }
        // On a quiet node nothing is read twenty times a second for nothing.
        self.ticks = self.ticks.wrapping_add(1);
        if !self.pipeline.is_waiting() && !self.ticks.is_multiple_of(TICKS_IDLE) {
            return Ok(());
        }
        // While batches wait, only their own time is known to have passed.
        let now_ns = if self.batches.is_empty() {
            monotonic_ns()?
        } else {
            self.pipeline.newest_ns()
        };
        let now_ns = now_ns.saturating_sub(TICK_LAG_NS);
        let counters = self.probe.counters()?;
        self.pipeline.tick(now_ns, &counters);
        Ok(())
    }

    /// Detaches, drains, and closes with the summary.
    async fn end(mut self, followed: anyhow::Result<()>) -> anyhow::Result<u64> {
        let stopped = self.probe.detach();
        self.reader.stop();
        while let Some(batch) = self.batches.recv().await {
            self.pipeline.push(&batch);
        }
        self.reader.join().context("failed to read the ring")?;
        followed?;
        stopped?;
        let counters = self.probe.counters()?;
        let duration_ns = monotonic_ns()?.saturating_sub(self.started_ns);
        let lost = self.pipeline.finish(&counters, duration_ns).total().lost();
        print(&self.pipeline.take_text())?;
        Ok(lost)
    }
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

fn place_key(place: &Place) -> (u64, u32) {
    (place.netns_cookie, place.ifindex)
}

fn place_name(place: &Place) -> String {
    let owner = place.pod.as_ref().unwrap_or(&place.node_name);
    format!("{} of {owner}", place.name)
}

/// Loopback and link-local addresses are everybody's.
fn is_local_only(address: std::net::IpAddr) -> bool {
    address.is_loopback() || is_link_local(address)
}

/// Room for as many interfaces again and again: the map cannot grow.
fn max_interfaces(now: usize) -> u32 {
    u32::try_from(now.saturating_mul(4)).map_or(u32::MAX / 64, |n| n.clamp(1024, 65_536))
}

/// Every chosen name must be there; else the error names what is near.
fn check_names(chosen: &[String], snapshot: &Snapshot) -> anyhow::Result<()> {
    for name in chosen {
        if snapshot.names.contains(name) {
            continue;
        }
        let mut near: Vec<_> = snapshot
            .names
            .iter()
            .map(|other| (strsim::damerau_levenshtein(name, other), other.as_str()))
            .collect();
        near.sort_unstable();
        near.dedup();
        let near: Vec<_> = near.into_iter().take(4).map(|(_, other)| other).collect();
        bail!(
            "no interface {name} on the node or in its pods\nhint: there is {}",
            sanitize(&near.join(", "))
        );
    }
    if snapshot.targets.is_empty() {
        bail!(
            "found no veth, bridge, VXLAN or uplink interface, and no pod\nhint: is this a node's network namespace? -i NAME taps any interface"
        );
    }
    Ok(())
}

/// Prints what the kernel side logs on standard error.
struct Diagnostics;

impl log::Log for Diagnostics {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("kernel: {}", record.args());
    }

    fn flush(&self) {}
}
