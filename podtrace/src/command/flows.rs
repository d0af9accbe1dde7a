//! `podtrace flows`.
use std::{
    io::{self, IsTerminal as _},
    path::Path,
};

use anyhow::bail;

use super::{
    INTERRUPTED,
    cluster::{Asking, ended},
    filter::asked,
    replay::{code, leaves_terminal, progress_alone},
    setup::{text, vxlan_ports},
    stop::stop_on_signal,
    trace::{Watch, follow},
    use_color, width,
};
use crate::{
    cli::{FlowsArgs, FlowsFormat, FlowsOrder},
    clock::epoch_ns,
    output::flows::{FlowOptions, FlowTable},
    pipeline::consumer::Consumer,
    replay::{options::PlayerOptions, player::Player},
    sink::{Sink, TextSink, status::is_dumb},
    stats::flows::Order,
    text::escape::shown,
};

/// Runs the command; returns the exit code.
pub(super) fn run(args: &FlowsArgs) -> anyhow::Result<u8> {
    if !args.read.is_empty() {
        return replay(args);
    }
    refuse_file(&args.filter.expression)?;
    if args.cluster.elsewhere().is_some() {
        return of_agents(args);
    }
    let epoch_ns = epoch_ns()?;
    let is_live = args.output == FlowsFormat::Text && io::stdout().is_terminal() && !is_dumb();
    let options = options(args, is_live, epoch_ns);
    let watch = Watch::new(|sink| Ok(table(args, options, sink)), epoch_ns);
    follow((&args.capture, &args.filter), None, watch)
}

/// Refuses a file where an expression stands.
fn refuse_file(words: &[String]) -> anyhow::Result<()> {
    match words {
        [file] if file.contains(['.', '/']) && Path::new(file).exists() => bail!(
            "{} is a file, and an expression stands there\nhint: podtrace flows -r {}",
            shown(file),
            shown(file)
        ),
        _ => Ok(()),
    }
}

/// Shows the flows of recordings.
fn replay(args: &FlowsArgs) -> anyhow::Result<u8> {
    let options = options(args, false, 0);
    let player_options = PlayerOptions {
        files: args.read.clone(),
        interfaces: args.capture.chosen().to_vec(),
        vxlan_ports: vxlan_ports(&args.capture.vxlan_port)?,
        asked: asked(&args.filter.expression, &args.filter.chosen)?,
        ..PlayerOptions::default()
    };
    let mut player = Player::new(&player_options, false, stop_on_signal()?)?;
    player.shows_numbers = false;
    player.show_progress = leaves_terminal().then(progress_alone);
    let sink = Box::new(Sink::stdout()?);
    let played = player.run(|_| Ok(vec![table(args, options, sink)]))?;
    Ok(code(&played))
}

/// Shows the flows of other nodes.
fn of_agents(args: &FlowsArgs) -> anyhow::Result<u8> {
    let is_live = args.output == FlowsFormat::Text && io::stdout().is_terminal() && !is_dumb();
    let table_options = options(args, is_live, 0);
    let asking = Asking {
        cluster: &args.cluster,
        capture: &args.capture,
        expression: &args.filter.expression,
        ends: None,
        probe: false,
    };
    let options = asking.options(asked(&args.filter.expression, &args.filter.chosen)?)?;
    let stop = stop_on_signal()?;
    let Some((_connections, cluster)) = asking.begin(&options, &stop)? else {
        return Ok(INTERRUPTED);
    };
    let mut player = Player::live(&options, cluster, stop)?;
    player.shows_numbers = false;
    let sink = Box::new(Sink::stdout()?);
    let played = player.run(|_| Ok(vec![table(args, table_options, sink)]))?;
    Ok(ended(&played, &args.capture))
}

fn table(args: &FlowsArgs, options: FlowOptions, sink: Box<dyn TextSink>) -> Box<dyn Consumer> {
    let text = text(args.color, options.epoch_ns);
    Box::new(FlowTable::new(options, text, sink))
}

fn options(args: &FlowsArgs, is_live: bool, epoch_ns: i128) -> FlowOptions {
    FlowOptions {
        order: match args.sort {
            FlowsOrder::Packets => Order::Packets,
            FlowsOrder::Bytes => Order::Bytes,
            FlowsOrder::Rtt => Order::RoundTrip,
            FlowsOrder::Retransmitted => Order::Retransmitted,
            FlowsOrder::Lost => Order::Lost,
            FlowsOrder::Last => Order::Last,
        },
        top: args.top.and_then(|top| usize::try_from(top).ok()),
        json: args.output == FlowsFormat::Json,
        color: use_color(args.color),
        width: width(),
        is_live,
        epoch_ns,
    }
}
