//! Traces of other nodes, by their agents.
use anyhow::{Context as _, anyhow};
use tokio::task::JoinSet;

use super::{
    FINE, LOST,
    filter::asked,
    setup::{format, vxlan_ports},
    stop::stop_on_signal,
};
use crate::{
    agent::{Address, Agent, Control, Request},
    cli::{CaptureArgs, ClusterArgs, Format, LiveFilterArgs, TraceArgs},
    output::printer::Printer,
    packet::key_payload,
    pipeline::consumer::Consumer as _,
    replay::{
        cluster::{Clocks, Cluster, Feed, Messages},
        options::{PlayerOptions, Span},
        player::Player,
    },
    session::reader::ReaderOptions,
    signals::Stop,
    sink::{self, Sink},
};

/// How often each agent is asked for its time before packets are shown.
const ROUNDS: usize = 4;

/// Runs `trace` on other nodes; returns the exit code.
pub(super) fn trace(args: &TraceArgs) -> anyhow::Result<u8> {
    let TraceArgs {
        filter,
        capture,
        view,
        cluster,
        ..
    } = args;
    if view.output == Format::Pcapng {
        anyhow::bail!(
            "-o pcapng is for this node alone: podtrace trace -w FILE on each, and podtrace replay"
        );
    }
    let format = format(view, false, None, 0)?;
    let options = player_options(filter, capture)?;
    let stop = stop_on_signal()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let request = request(filter, capture, cluster);
    let traced = runtime.block_on(begin(&cluster.agents, &request, &options, &stop));
    let Some(cluster) = traced? else {
        sink::tell("interrupted before anything was shown");
        return Ok(FINE);
    };
    let mut player = Player::live(&options, cluster, stop)?;
    let printer = Printer::new(format, Box::new(Sink::stdout()?));
    player.shows_bytes = printer.takes_bytes();
    let played = player.run(|_| Ok(vec![Box::new(printer)]));
    // Connections that hang are not waited for.
    runtime.shutdown_background();
    Ok(match played? {
        played if capture.strict && !played.is_whole() => LOST,
        _ => FINE,
    })
}

fn player_options(filter: &LiveFilterArgs, capture: &CaptureArgs) -> anyhow::Result<PlayerOptions> {
    Ok(PlayerOptions {
        first: capture.count.map(Span::Packets),
        hop_timeout: Some(capture.hop_timeout),
        vxlan_ports: vxlan_ports(&capture.vxlan_port)?,
        asked: asked(&filter.expression, &filter.chosen)?,
        ..PlayerOptions::default()
    })
}

/// What is asked of each agent.
fn request(filter: &LiveFilterArgs, capture: &CaptureArgs, cluster: &ClusterArgs) -> Request {
    Request {
        expression: filter.expression.join(" "),
        interfaces: capture.chosen().iter().map(ToString::to_string).collect(),
        snaplen: Some(capture.snaplen),
        payload: cluster.payload,
        without_drops: capture.load.no_drops,
        sample: capture.load.sample,
        max_rate: capture.load.max_rate,
        vxlan_ports: capture.vxlan_port.clone(),
        hop_timeout: Some(capture.hop_timeout),
        duration: capture.duration,
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
    compare(&mut agents, &clocks.messages()).await?;
    Ok(Some(Cluster::new(feeds, clocks)))
}

/// Starts the trace of an agent.
async fn start(
    address: &Address,
    request: &Request,
) -> anyhow::Result<(Agent, (std::fs::File, Control))> {
    let mut agent = Agent::connect(address).await?;
    if request.payload && !agent.gives_payload() {
        return Err(anyhow!(
            "the agent of {} gives out headers only\nhint: start it with --payload",
            agent.host()
        ));
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
