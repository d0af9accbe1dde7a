//! `--tui`: trace and replay on a screen.
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Notify;

use super::{
    INTERRUPTED,
    cluster::{Asking, ended},
    filter::asked,
    print_out,
    replay::{exit_code, player_options, progress_alone},
    setup::{time_format, vxlan_ports},
    stop::{on_signals, stop_on_signal},
    trace::{Watch, follow},
    use_color,
};
use crate::{
    cli::{ReplayArgs, TraceArgs, ViewArgs, moment},
    clock::epoch_ns,
    replay::{options::Moment, player::Player},
    tui::{Limits, Options, Screen, Words},
};

/// Traces other nodes on a screen.
fn of_agents(args: &TraceArgs) -> anyhow::Result<u8> {
    let asking = Asking {
        cluster: &args.cluster,
        capture: &args.capture,
        expression: &args.filter.expression,
        ends: None,
        probe: false,
    };
    let ports = &args.capture.vxlan_port;
    let mut screen = Screen::new(options("trace", &args.view, 0, Limits::LIVE, ports)?)?;
    let options = asking.options(asked(&args.filter.expression, &args.filter.chosen)?)?;
    let stop = stop_on_signal()?;
    let Some((_connections, cluster)) = asking.begin(&options, &stop)? else {
        return Ok(INTERRUPTED);
    };
    let mut player = Player::live(&options, cluster, stop.clone())?;
    player.shows_bytes = true;
    let played = player.run(|_| {
        let quit = stop.clone();
        let quit = Box::new(move || quit.set());
        let opened = screen.open(stop.clone(), quit);
        Ok(vec![opened.context("failed to open the screen")?])
    })?;
    print_out(&screen.wait()?)?;
    Ok(ended(&played, &args.capture))
}

/// Traces on a screen; returns the exit code.
pub(super) fn trace(args: &TraceArgs) -> anyhow::Result<u8> {
    if args.cluster.elsewhere().is_some() {
        return of_agents(args);
    }
    let epoch_ns = epoch_ns()?;
    let ports = &args.capture.vxlan_port;
    let options = options("trace", &args.view, epoch_ns, Limits::LIVE, ports)?;
    let mut screen = Screen::new(options)?;
    let quit = Arc::new(Notify::new());
    let asked = Arc::clone(&quit);
    let show = |_| {
        // The tracer listens too: it ends by itself.
        let stop = on_signals(|| {})?;
        let opened = screen.open(stop, Box::new(move || asked.notify_one()));
        opened.context("failed to open the screen")
    };
    let watch = Watch {
        quit,
        metrics: args.metrics.metrics,
        stays: true,
        ..Watch::new(show, epoch_ns)
    };
    let chosen = (&args.capture, &args.filter);
    let code = follow(chosen, Some(&args.files), watch)?;
    print_out(&screen.wait()?)?;
    Ok(code)
}

/// Replays on a screen; returns the exit code.
pub(super) fn replay(args: &ReplayArgs) -> anyhow::Result<u8> {
    let ports = &args.input.vxlan_port;
    let options = options("replay", &args.view, 0, Limits::REPLAY, ports)?;
    let mut screen = Screen::new(Options {
        // What is read is no other part of the recording with these.
        rereads: args.speed.is_none() && args.input.first.is_none() && args.input.last.is_none(),
        ..options
    })?;
    let stop = stop_on_signal()?;
    let mut player_options = player_options(&args.input)?;
    let mut is_open = false;
    loop {
        let mut player = Player::new(&player_options, args.follow, stop.clone())?;
        player.speed = args.speed;
        player.shows_bytes = true;
        let (before, on_screen) = (progress_alone(), screen.progress());
        player.show_progress = Some(Box::new(move |line| {
            before(line.clone());
            on_screen(line);
        }));
        let played = player.run(|_| {
            if std::mem::replace(&mut is_open, true) {
                return Ok(vec![screen.feeder()]);
            }
            let quit = stop.clone();
            let quit = Box::new(move || quit.set());
            let opened = screen.open(stop.clone(), quit);
            Ok(vec![opened.context("failed to open the screen")?])
        })?;
        let next = is_open.then(|| screen.next_part()).flatten();
        let Some(from_ns) = next else {
            print_out(&screen.wait()?)?;
            return Ok(exit_code(args, &played));
        };
        player_options.since = Some(Moment::Utc(from_ns));
    }
}

fn options(
    of: &'static str,
    view: &ViewArgs,
    epoch_ns: i128,
    limits: Limits,
    ports: &[u16],
) -> anyhow::Result<Options> {
    Ok(Options {
        of,
        words: Words {
            color: use_color(view.color),
            numeric: view.numeric,
            time: time_format(view.habits.time().unwrap_or(view.time)),
            epoch_ns,
        },
        limits,
        vxlan_ports: vxlan_ports(ports).map(|_| ports.to_vec())?,
        rereads: false,
        moment,
    })
}
