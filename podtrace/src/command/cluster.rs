//! Traces of other nodes, by their agents.
mod reach;

use std::{
    fs::File,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{
    runtime::Runtime,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    FINE, INTERRUPTED, LOST,
    filter::asked,
    replay::leaves_terminal,
    setup::{format, vxlan_ports},
    stop::stop_on_signal,
};
use reach::reach;

use crate::{
    agent::{Agent, Budget, Control, Request, Sender},
    cli::{CaptureArgs, ClusterArgs, End, TraceArgs},
    model::{origin::split_id, probes::Probes},
    output::printer::Printer,
    packet::key_payload,
    pipeline::{Asked, consumer::Consumer as _},
    prober::{Prober, ProberError},
    replay::{
        cluster::{Clocks, Cluster, Feed},
        options::{PlayerOptions, Span},
        player::Player,
        report::Played,
    },
    session::reader::ReaderOptions,
    signals::Stop,
    sink::Sink,
    text::sanitize::sanitize,
};

/// How often each agent is asked for its time before packets are shown.
const ROUNDS: usize = 4;
/// How long the begin of a session may take once its first bytes are there.
const BEGIN: Duration = Duration::from_secs(5);
/// How long a session may take to tell of a time, and how often it is looked whether it has.
const TICK: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(2);
/// How often it is looked whether to stop, while agents are waited for.
const LOOK: Duration = Duration::from_millis(50);

/// What is asked of which agents.
pub(super) struct Asking<'a> {
    pub(super) cluster: &'a ClusterArgs,
    pub(super) capture: &'a CaptureArgs,
    /// The words of the expression.
    pub(super) expression: &'a [String],
    /// The ends that are asked about, if it is just about two, and whether packets are to be sent.
    pub(super) ends: Option<[&'a End; 2]>,
    pub(super) probe: bool,
}

/// Runs `trace` on other nodes; returns the exit code.
pub(super) fn trace(args: &TraceArgs) -> anyhow::Result<u8> {
    let TraceArgs {
        filter,
        capture,
        view,
        cluster,
        ..
    } = args;
    let asking = Asking {
        cluster,
        capture,
        expression: &filter.expression,
        ends: None,
        probe: false,
    };
    let format = format(view, false, None, 0)?;
    let options = asking.options(asked(&filter.expression, &filter.chosen)?)?;
    let stop = stop_on_signal()?;
    let Some((_runtime, mut cluster)) = asking.begin(&options, &stop)? else {
        return Ok(INTERRUPTED);
    };
    let sink = Sink::stdout()?;
    if leaves_terminal() {
        cluster.show(sink.status_line());
    }
    let mut player = Player::live(&options, cluster, stop)?;
    let printer = Printer::new(format, Box::new(sink));
    player.shows_bytes = printer.takes_bytes();
    let played = player.run(|_| Ok(vec![Box::new(printer)]))?;
    Ok(ended(&played, capture))
}

/// The exit code of a trace of other nodes.
pub(super) fn ended(played: &Played, capture: &CaptureArgs) -> u8 {
    match capture.strict && !played.is_whole() {
        true => LOST,
        false => FINE,
    }
}

/// Connections to agents, which end when it is dropped.
pub(super) struct Connections {
    runtime: Option<Runtime>,
    /// What leads to them ends with them.
    agents: Vec<Reached>,
}

/// An agent that is asked.
pub(super) struct Reached {
    /// Where it is, safe to show.
    pub(super) name: String,
    pub(super) agent: Agent,
}

impl Connections {
    fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("failed to start the runtime")?;
        Ok(Self {
            runtime: Some(runtime),
            agents: Vec::new(),
        })
    }

    /// What has the agent of the sender's node send. An id of a namespace leads to it, as
    /// [`split_id`] takes it apart.
    pub(super) fn prober(&self) -> anyhow::Result<Prober> {
        let runtime = self.runtime.as_ref().context("the runtime has ended")?;
        let runtime = runtime.handle().clone();
        let agents = self.agents.iter();
        let mut senders: Vec<_> = agents.map(|reached| reached.agent.sender()).collect();
        if !senders.iter().any(Sender::may_send) {
            bail!(
                "no agent sends packets for consoles, as --probe asks for\nhint: start them with \
                 podtrace agent --probe"
            );
        }
        let prober = Prober::elsewhere(move |probes| {
            let (number, netns) = split_id(probes.netns);
            if number >= senders.len() {
                return Err(ProberError::NotFound);
            }
            let sender = senders.swap_remove(number);
            let server = probes.server.map(split_id);
            let probes = Probes {
                netns,
                // Elsewhere its agent does not see it.
                server: server.filter(|(node, _)| *node == number).map(|(_, id)| id),
                ..probes.clone()
            };
            let sent = runtime.block_on(sender.send(&probes));
            sent.map_err(|error| ProberError::Elsewhere(error.to_string()))
        });
        prober.context("failed to start a thread")
    }

    /// How many agents there are.
    pub(super) fn len(&self) -> usize {
        self.agents.len()
    }

    /// Runs work on the agents.
    pub(super) fn run<'a, T>(
        &'a mut self,
        work: impl AsyncFnOnce(&'a mut Vec<Reached>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let runtime = self.runtime.as_ref().context("the runtime has ended")?;
        runtime.block_on(work(&mut self.agents))
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // One that hangs is not waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Asking<'_> {
    /// How what the agents stream is read.
    pub(super) fn options(&self, asked: Asked) -> anyhow::Result<PlayerOptions> {
        Ok(PlayerOptions {
            first: self.capture.count.map(Span::Packets),
            hop_timeout: Some(self.capture.hop_timeout),
            vxlan_ports: vxlan_ports(&self.capture.vxlan_port)?,
            asked,
            ..PlayerOptions::default()
        })
    }

    /// Connects to all agents; none if a signal came first.
    pub(super) fn connect(&self, stop: &Stop) -> anyhow::Result<Option<Connections>> {
        let mut connections = Connections::new()?;
        let reached = connections.run(async |agents| {
            let reached = reach(self, stop).await?;
            let is_there = reached.is_some();
            agents.extend(reached.into_iter().flatten());
            Ok(is_there)
        })?;
        Ok(reached.then_some(connections))
    }

    /// Starts the traces of all agents; none if a signal came first.
    pub(super) fn begin(
        &self,
        options: &PlayerOptions,
        stop: &Stop,
    ) -> anyhow::Result<Option<(Connections, Cluster)>> {
        let Some(mut connections) = self.connect(stop)? else {
            return Ok(None);
        };
        let mut request = self.request();
        let budget = Budget::new(request.max_rate, connections.len());
        request.max_rate = Some(budget.each());
        let begun = connections.run(async |agents| begin(agents, &request, options, stop).await)?;
        Ok(begun.map(|mut cluster| {
            cluster.set_budget(budget);
            (connections, cluster)
        }))
    }

    /// What is asked of all agents.
    pub(super) fn request(&self) -> Request {
        let capture = self.capture;
        Request {
            expression: self.expression.join(" "),
            interfaces: capture.chosen().iter().map(ToString::to_string).collect(),
            snaplen: Some(capture.snaplen),
            payload: self.cluster.payload,
            without_drops: capture.load.no_drops,
            sample: capture.load.sample,
            max_rate: capture.load.max_rate,
            vxlan_ports: capture.vxlan_port.clone(),
            hop_timeout: Some(capture.hop_timeout),
            duration: capture.duration,
        }
    }
}

/// Starts the traces of agents; none if a signal came first.
pub(super) async fn start(
    agents: &mut Vec<Reached>,
    request: &Request,
    stop: &Stop,
) -> anyhow::Result<Option<Vec<(File, Control)>>> {
    if let Some(refused) = agents
        .iter()
        .find(|reached| request.payload && !reached.agent.gives_payload())
    {
        bail!(
            "{}: the agent of {} gives out headers only\nhint: start it with --payload, or \
             with payload = true for this console in its file of --consoles",
            refused.name,
            refused.agent.host()
        );
    }
    let starting = agents.drain(..).map(|mut reached| {
        let request = request.clone();
        async move {
            let trace = reached.agent.trace(&request).await;
            let trace = trace.with_context(|| reached.name.clone())?;
            Ok((reached, trace.into_parts()))
        }
    });
    let started = in_turn(starting, stop).await?;
    Ok(started.map(|started| {
        let (reached, traces): (Vec<_>, _) = started.into_iter().unzip();
        *agents = reached;
        traces
    }))
}

/// What tasks that run at a time make, in their order; none if a signal came first.
async fn in_turn<T: Send + 'static>(
    tasks: impl Iterator<Item: Future<Output = anyhow::Result<T>> + Send + 'static>,
    stop: &Stop,
) -> anyhow::Result<Option<Vec<T>>> {
    let mut running = JoinSet::new();
    for (number, task) in tasks.enumerate() {
        running.spawn(async move { (number, task.await) });
    }
    let mut made = Vec::new();
    loop {
        let joined = timeout(LOOK, running.join_next()).await;
        if stop.is_set() {
            return Ok(None);
        }
        match joined {
            Ok(Some(joined)) => {
                let (number, result) = joined.context("an agent's task failed")?;
                made.push((number, result?));
            }
            Ok(None) => break,
            Err(_elapsed) => {}
        }
    }
    made.sort_by_key(|(number, _)| *number);
    Ok(Some(made.into_iter().map(|(_, made)| made).collect()))
}

/// Starts the traces of all agents; none if a signal came first.
async fn begin(
    agents: &mut Vec<Reached>,
    request: &Request,
    options: &PlayerOptions,
    stop: &Stop,
) -> anyhow::Result<Option<Cluster>> {
    let Some(traces) = start(agents, request, stop).await? else {
        return Ok(None);
    };
    let clocks = Clocks::live(agents.len());
    let beginning = agents.iter().zip(traces).enumerate();
    let beginning = beginning.map(|(number, (reached, trace))| {
        let reader = ReaderOptions {
            key_payload: key_payload(request.snaplen.unwrap_or(u32::MAX)),
            keep_captured: true,
            vxlan_ports: options.vxlan_ports,
            filter: options.asked.filter.clone(),
            // The sessions end when their agents say so.
            ..ReaderOptions::default()
        };
        let name = reached.name.clone();
        let watch = clocks.watch(number);
        in_time(name.clone(), move || {
            Feed::begin(name, trace, (reader, watch))
        })
    });
    let Some(feeds) = in_turn(beginning, stop).await? else {
        return Ok(None);
    };
    refuse_twice(feeds.iter().map(|feed| (feed.name(), feed.nodes())))?;
    let mut clocked: Vec<_> = agents
        .iter_mut()
        .zip(&feeds)
        .map(|(reached, feed)| (&mut *reached, feed.epoch_ns()))
        .collect();
    compare(&mut clocked, &clocks).await?;
    let mut cluster = Cluster::new(feeds, clocks);
    if let Some(duration) = request.duration {
        cluster.end_after(duration);
    }
    Ok(Some(cluster))
}

/// Reads the begin of a session: one may send anything, and nothing of a session.
async fn in_time(
    name: String,
    begin: impl FnOnce() -> anyhow::Result<Feed> + Send + 'static,
) -> anyhow::Result<Feed> {
    // It ends when the connection does, if not before.
    let reading = tokio::task::spawn_blocking(begin);
    match timeout(BEGIN, reading).await {
        Ok(read) => read.context("a reader's task failed")?,
        Err(_elapsed) => bail!("{name} sent no session within {} s", BEGIN.as_secs()),
    }
}

/// Refuses two agents of one node, whose packets would be seen twice. `agents`: where they are, and
/// their nodes.
pub(super) fn refuse_twice<'a>(
    agents: impl Iterator<Item = (&'a str, &'a [String])>,
) -> anyhow::Result<()> {
    let mut known: Vec<(&str, &[String])> = Vec::new();
    for (name, nodes) in agents {
        for (other, theirs) in &known {
            if let Some(node) = nodes.iter().find(|node| theirs.contains(node)) {
                bail!(
                    "{other} and {name} are agents of the same node, {}\nhint: name one of them, or \
                     give nodes names of their own: podtrace agent --node-name NAME",
                    sanitize(node)
                );
            }
        }
        known.push((name, nodes));
    }
    Ok(())
}

/// Asks the first agent and each other one for their times in turn: an answer left its node before
/// the next question reached another. `agents`: each with UTC at zero of its session's clock.
async fn compare(agents: &mut [(&mut Reached, i64)], clocks: &Clocks) -> anyhow::Result<()> {
    let messages = clocks.messages();
    let asked = Instant::now();
    while !clocks.have_begun() && asked.elapsed() < TICK {
        sleep(PAUSE).await;
    }
    let Some((reference, others)) = agents.split_first_mut() else {
        return Ok(());
    };
    for (number, other) in others.iter_mut().enumerate() {
        let mut before = time(reference, (clocks, 0)).await?;
        for _ in 0..ROUNDS {
            let there = time(other, (clocks, number + 1)).await?;
            messages.record((0, number + 1), [before, there]);
            before = time(reference, (clocks, 0)).await?;
            messages.record((number + 1, 0), [there, before]);
        }
    }
    Ok(())
}

/// What an agent's clock shows, in UTC nanoseconds of its session, which is to be of the same clock.
async fn time(
    (reached, epoch_ns): &mut (&mut Reached, i64),
    (clocks, number): (&Clocks, usize),
) -> anyhow::Result<u64> {
    let name = || reached.name.clone();
    let shows = reached.agent.time().await.with_context(name)?;
    let shows_ns = shows.saturating_add_signed(*epoch_ns);
    if clocks.contradicts(number, shows_ns) {
        bail!(
            "{}: the agent's clock and that of its session are apart",
            reached.name
        );
    }
    Ok(shows_ns)
}
