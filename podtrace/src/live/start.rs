//! The start of a session.
use std::{fs, sync::Arc, thread};

use anyhow::Context as _;
use aya_log::EbpfLogger;
use tokio::{sync::oneshot, time::Instant};

use super::{Ending, Outlets, TraceOptions, Tracer, names::Awaited};
use crate::{
    cgroup::{fs::CgroupFs, parse_path},
    clock::{monotonic_ns, nanos},
    live::{
        check::{check_names, check_owners},
        diagnostics::Diagnostics,
        dropped::Halves,
        firewalls::{Firewalls, TraceRules},
        flow_states::FlowStates,
        progress::Status,
        sources::{SourceOptions, Sources},
        taps::Taps,
        topology::{self, Look},
    },
    model::{
        origin::Origin,
        snapshot::{CgroupMembers, CgroupPath},
    },
    node::{
        discover::{Scan, Scanner},
        target::Node,
    },
    packet::{DecodeOptions, FLANNEL_PORT, key_payload},
    pipeline::Pipeline,
    probe::{Probe, ProbeError, ProbeOptions, cgroups::LookUp, load::Channel, reader::RingReader},
    signals::Signals,
};

impl Tracer {
    /// Loads the programs and attaches to all interfaces, until a signal arrives. None if one
    /// arrived before.
    pub(crate) async fn start(
        nodes: Vec<Node>,
        source_options: SourceOptions,
        options: TraceOptions,
        outlets: Outlets,
    ) -> anyhow::Result<Option<Self>> {
        let mut signals = if outlets.recording.is_some() {
            Signals::listen_as_service()?
        } else {
            Signals::listen()?
        };
        let sockets = source_options.sockets.clone();
        let scanner = Scanner::new(
            nodes.clone(),
            options.interfaces.clone(),
            options.table.clone(),
        );
        let check = |scan: &Scan| check_names(&options.interfaces, scan);
        let probe_options = ProbeOptions {
            snaplen: options.snaplen,
            ring_bytes: options.ring_bytes,
            max_interfaces: max_interfaces(expected_interfaces(&nodes, &options)),
            headers_only: options.headers_only,
            filter: options.kernel_filter(),
            drops: options.drops,
            vxlan_ports: options.vxlan_ports,
            diagnostics: options.diagnostics,
            without: options.without,
            bare_bytes: None,
        };
        // Scans and loads at the same time: both take about equally long.
        let loading = load(probe_options.clone())?;
        let (sources, scan, first) = tokio::select! {
            started = Sources::start(&nodes, scanner, source_options, check) => started?,
            () = signals.next() => return Ok(None),
        };
        let selector = options.asked.selector.as_deref();
        let (awaited, waiting) = Awaited::new(selector, options.waits, &nodes, &scan, &first)?;
        let mut loaded = loading.await.context("failed to load the programs")??;
        let max_interfaces = max_interfaces(scan.targets.len());
        if max_interfaces > probe_options.max_interfaces {
            loaded = Probe::load(&ProbeOptions {
                max_interfaces,
                ..probe_options
            })?;
        }
        let (mut probe, channel) = loaded;
        let limits = probe.limits().to_vec();
        let mut drops = probe.take_drops();
        if let Some(drops) = &mut drops {
            let mut spaces = nodes.iter().map(|node| node.netns.id);
            spaces.try_for_each(|id| drops.watch(id, || probe.namespaces()))?;
        }
        let diagnostics = options
            .diagnostics
            .then(|| EbpfLogger::init_with_logger(probe.object(), Diagnostics))
            .transpose()
            .context("failed to open the kernel side's log")?;
        let cgroup_fs = CgroupFs::open().ok().map(Arc::new);
        let look_up = Box::new(Mounted(cgroup_fs.clone()));
        let (reader, batches) = RingReader::spawn(channel, look_up, options.cpu_limit)
            .context("failed to start the reader")?;
        let decode = DecodeOptions {
            vxlan_ports: options.vxlan_ports.with(&[FLANNEL_PORT]),
            key_payload: key_payload(options.snaplen),
            filter: options.asked.filter.clone(),
        };
        let timeout_ns = nanos(options.hop_timeout);
        let mut pipeline = Pipeline::new(decode, timeout_ns, options.count);
        pipeline.show_only(&options.asked);
        if !options.interfaces.is_empty() {
            pipeline.set_partial_view();
        }
        let world = pipeline.world_mut();
        world.nodes = nodes.iter().map(|node| node.name.clone()).collect();
        world.epoch_ns = options.epoch_ns;
        let origin = Origin {
            session: 0,
            nodes: 0..nodes.len(),
        };
        let (mut recording_progress, mut show) = (None, None);
        if let Some(recording) = outlets.recording {
            show = Some(recording.show);
            recording_progress = Some(recording.progress());
            pipeline.add(Box::new(recording.start()?));
        }
        let look = Look {
            nodes: nodes.clone(),
            sockets,
            table: options.table.clone(),
            show,
        };
        let (changes, sender) = (sources.changes.clone(), sources.sender.clone());
        tokio::spawn(topology::watch(look.clone(), changes, sender));
        // The recorder comes first, so that the others receive its notices.
        for consumer in outlets.consumers {
            pipeline.add(consumer);
        }
        let tracing = options.trace_rules.clone();
        let mut firewalls = Firewalls::spawn(sources.sender.clone(), tracing)
            .context("failed to start the reader of rules")?;
        nodes
            .iter()
            .for_each(|node| firewalls.add(&node.netns, true));
        let taps = Taps::new(probe, &options, cgroup_fs)?;
        nodes.iter().try_for_each(|node| taps.watch(&node.netns))?;
        let foot = outlets.foot.filter(|_| outlets.sink.has_terminal());
        let mut tracer = Self {
            duration: options.duration,
            taps,
            reader,
            batches,
            drops,
            firewalls,
            flow_states: FlowStates::open(&nodes),
            halves: Halves::default(),
            sources,
            look,
            sampling: options.sampling,
            pipeline,
            awaited,
            sink: outlets.sink,
            status: foot.map(Status::new),
            progress: recording_progress,
            signals,
            ending: Ending::Natural,
            origin,
            started_ns: monotonic_ns()?,
            diagnostics,
            ticked: Instant::now(),
            counted: Instant::now(),
            changes: 0,
            has_closer: options.has_closer,
            is_attaching: false,
            unwatched: None,
            cpu_limit: options.cpu_limit,
        };
        let mut notices = limits;
        notices.extend(options.trace_rules.as_ref().map(TraceRules::notice));
        if options.diagnostics {
            notices.append(&mut tracer.sources.untracked);
        }
        // Which interfaces are needed depends on the names.
        let mut named = Vec::new();
        for update in first {
            named.extend(tracer.receive(update)?);
        }
        let found: Vec<_> = scan
            .targets
            .iter()
            .map(|target| target.point.clone())
            .collect();
        notices.extend(tracer.apply(scan)?);
        check_owners(&options.interfaces, &found, tracer.pipeline.world())?;
        notices.append(&mut named);
        notices.extend(waiting);
        if tracer.attached(options.begin).await? {
            tracer.begin()?;
        }
        tracer.notify(notices);
        tracer.pipeline.flush()?;
        Ok(Some(tracer))
    }
}

impl Tracer {
    /// Starts all taps at once, and announces it.
    fn begin(&mut self) -> anyhow::Result<()> {
        self.taps.probe.sample(self.sampling.digest_max())?;
        self.taps.probe.start()?;
        // What an interface passed before this time, no tap may have seen.
        let begun_ns = monotonic_ns()?;
        self.taps.begin();
        self.announce(begun_ns);
        self.is_attaching = self.taps.left_of_start() > 0;
        self.report_unwatched(None)?;
        if self.sampling.share() > 1 {
            self.report_share(None)?;
        }
        Ok(())
    }
}

/// Loads on a thread of its own: the runtime's threads lack the capabilities.
fn load(
    options: ProbeOptions,
) -> anyhow::Result<oneshot::Receiver<Result<(Probe, Channel), ProbeError>>> {
    let (sender, loaded) = oneshot::channel();
    let loader = thread::Builder::new().name("loader".into());
    loader
        .spawn(move || drop(sender.send(Probe::load(&options))))
        .context("failed to start a thread")?;
    Ok(loaded)
}

/// Looks up cgroups in the mounted tree, if there is one.
struct Mounted(Option<Arc<CgroupFs>>);

impl LookUp for Mounted {
    fn path_of(&mut self, id: u64) -> CgroupPath {
        let path = self.0.as_ref().map(|cgroup_fs| cgroup_fs.path_of(id));
        path.unwrap_or(CgroupPath::Unknown)
    }

    /// Only a runtime knows what is in a container.
    fn members(&mut self, path: &str) -> Option<CgroupMembers> {
        let is_host = parse_path(path).is_empty();
        self.0.as_ref().filter(|_| is_host)?.members(path)
    }
}

/// About how many interfaces will be tapped, known at once: for want of room the programs are
/// loaded again. To each of a node's interfaces, which are mostly veths, come the other end and the
/// loopback interface there.
fn expected_interfaces(nodes: &[Node], options: &TraceOptions) -> usize {
    if !options.interfaces.is_empty() {
        return 0;
    }
    let listed = || fs::read_to_string("/proc/thread-self/net/dev");
    let of_node = |node: &Node| node.netns.run(listed).ok()?.ok();
    let lines = nodes.iter().filter_map(of_node);
    3 * lines.map(|lines| lines.lines().count()).sum::<usize>()
}

/// Lower bound of the room for interfaces.
const INTERFACES_MIN: u32 = 1024;

/// Room for several times the current number of interfaces: the map cannot grow.
fn max_interfaces(now: usize) -> u32 {
    u32::try_from(now.saturating_mul(4)).map_or(u32::MAX / 64, |n| n.clamp(INTERFACES_MIN, 65_536))
}
