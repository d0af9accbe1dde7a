//! Traces of other nodes, by their agents.
use std::fs::File;

use anyhow::{Context as _, bail};
use tokio::{runtime::Runtime, task::JoinSet};

use super::{
    FINE, INTERRUPTED, LOST,
    filter::asked,
    replay::leaves_terminal,
    setup::{format, vxlan_ports},
    stop::stop_on_signal,
};
use crate::{
    agent::{Address, Agent, Control, Request},
    cli::{CaptureArgs, ClusterArgs, TraceArgs},
    output::printer::Printer,
    packet::key_payload,
    pipeline::{Asked, consumer::Consumer as _},
    replay::{
        cluster::{Clocks, Cluster, Feed, Messages},
        options::{PlayerOptions, Span},
        player::Player,
        report::Played,
    },
    session::reader::ReaderOptions,
    signals::Stop,
    sink::Sink,
};

/// How often each agent is asked for its time before packets are shown.
const ROUNDS: usize = 4;

/// What is asked of which agents.
pub(super) struct Asking<'a> {
    pub(super) cluster: &'a ClusterArgs,
    pub(super) capture: &'a CaptureArgs,
    /// The words of the expression.
    pub(super) expression: &'a [String],
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

/// Runs the connections to agents until it is dropped.
pub(super) struct Connections(Option<Runtime>);

impl Drop for Connections {
    fn drop(&mut self) {
        // One that hangs is not waited for.
        if let Some(runtime) = self.0.take() {
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

    /// Starts the traces of all agents; none if a signal came first.
    pub(super) fn begin(
        &self,
        options: &PlayerOptions,
        stop: &Stop,
    ) -> anyhow::Result<Option<(Connections, Cluster)>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("failed to start the runtime")?;
        let begun = runtime.block_on(begin(&self.cluster.agents, &self.request(), options, stop));
        let connections = Connections(Some(runtime));
        Ok(begun?.map(|cluster| (connections, cluster)))
    }

    /// What is asked of each agent.
    fn request(&self) -> Request {
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

/// Starts the traces of all agents; none if a signal came first.
async fn begin(
    addresses: &[Address],
    request: &Request,
    options: &PlayerOptions,
    stop: &Stop,
) -> anyhow::Result<Option<Cluster>> {
    let mut starting = JoinSet::new();
    for (number, address) in addresses.iter().cloned().enumerate() {
        let request = request.clone();
        starting.spawn(async move {
            let started = start(&address, &request).await;
            (number, started.with_context(|| address.to_string()))
        });
    }
    let mut started = Vec::new();
    while let Some(joined) = starting.join_next().await {
        let (number, result) = joined.context("an agent's task failed")?;
        started.push((number, result?));
        if stop.is_set() {
            return Ok(None);
        }
    }
    started.sort_by_key(|(number, _)| *number);
    let clocks = Clocks::new(started.len());
    let mut agents = Vec::new();
    let mut feeds = Vec::new();
    for (number, (agent, trace)) in started {
        let reader = ReaderOptions {
            key_payload: key_payload(request.snaplen.unwrap_or(u32::MAX)),
            keep_captured: true,
            vxlan_ports: options.vxlan_ports,
            filter: options.asked.filter.clone(),
            // The sessions end when their agents say so.
            ..ReaderOptions::default()
        };
        let name = addresses[number].to_string();
        let feed = Feed::begin(name, trace, (reader, &clocks), number)?;
        agents.push((agent, feed.epoch_ns()));
        feeds.push(feed);
    }
    refuse_twice(&feeds)?;
    compare(&mut agents, &clocks.messages()).await?;
    Ok(Some(Cluster::new(feeds, clocks)))
}

/// Refuses two agents of one node, whose packets would be seen twice.
fn refuse_twice(feeds: &[Feed]) -> anyhow::Result<()> {
    for (number, feed) in feeds.iter().enumerate() {
        let mut before = feeds[..number].iter();
        let same = before.find_map(|other| Some((other, feed.shared_node(other)?)));
        if let Some((other, node)) = same {
            bail!(
                "{} and {} are agents of the same node, {node}\nhint: name one of them, or give nodes \
                 names of their own: podtrace agent --node-name NAME",
                other.name(),
                feed.name()
            );
        }
    }
    Ok(())
}

/// Starts the trace of an agent.
async fn start(address: &Address, request: &Request) -> anyhow::Result<(Agent, (File, Control))> {
    let mut agent = Agent::connect(address).await?;
    if request.payload && !agent.gives_payload() {
        bail!(
            "the agent of {} gives out headers only\nhint: start it with --payload",
            agent.host()
        );
    }
    let trace = agent.trace(request).await?;
    Ok((agent, trace.into_parts()))
}

/// Asks the first agent and each other one for their times in turn: an answer left its node before
/// the next question reached another.
async fn compare(agents: &mut [(Agent, i64)], messages: &Messages) -> anyhow::Result<()> {
    let Some((reference, others)) = agents.split_first_mut() else {
        return Ok(());
    };
    for (number, other) in others.iter_mut().enumerate() {
        let mut before = time(reference).await?;
        for _ in 0..ROUNDS {
            let there = time(other).await?;
            messages.record((0, number + 1), [before, there]);
            before = time(reference).await?;
            messages.record((number + 1, 0), [there, before]);
        }
    }
    Ok(())
}

/// What an agent's clock shows, in UTC nanoseconds of its session.
async fn time((agent, epoch_ns): &mut (Agent, i64)) -> anyhow::Result<u64> {
    Ok(agent.time().await?.saturating_add_signed(*epoch_ns))
}
