//! `podtrace replay`, `stats` and `export`: what is read from files.
mod export;
mod stats;

use std::{io, thread};

use anyhow::Context as _;
use nix::sys::stat::{SFlag, fstat};

use super::{FINE, INTERRUPTED, LOST};
use crate::{
    cli::{Format, InputArgs, ReplayArgs},
    output::{json::Json, printer::Printer, render::Render},
    replay::{ShowLine, options::PlayerOptions, player::Player, report::Played},
    signals::{Signals, Stop},
    sink::{Sink, status},
};
pub(super) use export::run as export;
pub(super) use stats::run as stats;

/// Runs `replay`; returns the exit code.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<u8> {
    let format: Box<dyn Render> = match args.view.output {
        Format::Json => Box::new(Json::new(0)),
        Format::Text => Box::new(super::setup::text(args.view.color, args.view.numeric, 0)),
    };
    let options = player_options(&args.input);
    let mut player = Player::new(&options, args.follow, stop_on_signal()?)?;
    player.speed = args.speed;
    let sink = Sink::stdout()?;
    player.show_progress = leaves_terminal().then(|| sink.status_line());
    let printer = Printer::new(format, Box::new(sink));
    let played = player.run(|_| Ok(vec![Box::new(printer)]))?;
    Ok(match code(&played) {
        FINE if args.strict && !played.is_whole() => LOST,
        code => code,
    })
}

/// The exit code by whether everything was read.
fn code(played: &Played) -> u8 {
    if played.is_interrupted {
        INTERRUPTED
    } else {
        FINE
    }
}

/// Whether progress disturbs nobody on the terminal: what reads standard output from a pipe
/// may be a pager.
fn leaves_terminal() -> bool {
    let stdout = fstat(io::stdout());
    let is_pipe = stdout.is_ok_and(|stdout| {
        let kind = SFlag::from_bits_truncate(stdout.st_mode) & SFlag::S_IFMT;
        kind == SFlag::S_IFIFO || kind == SFlag::S_IFSOCK
    });
    status::has_terminal() && !is_pipe
}

/// Shows progress where nothing else writes to the terminal meanwhile.
fn progress_alone() -> ShowLine {
    Box::new(|line| {
        if line.is_empty() {
            status::clear();
        } else {
            status::replace(&line);
        }
    })
}

fn player_options(args: &InputArgs) -> PlayerOptions {
    let InputArgs {
        files,
        interfaces,
        since,
        until,
        first,
        last,
        clock_offset,
        hop_timeout,
    } = args.clone();
    PlayerOptions {
        files,
        interfaces,
        since,
        until,
        first,
        last,
        clock_offset,
        hop_timeout,
    }
}

/// Ends with what was read so far when a signal comes; at once at the second.
fn stop_on_signal() -> anyhow::Result<Stop> {
    let stop = Stop::new().context("failed to prepare for signals")?;
    let asked = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::listen()?
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                loop {
                    signals.next().await;
                    if asked.set() {
                        std::process::exit(INTERRUPTED.into());
                    }
                }
            });
        })
        .context("failed to start a thread")?;
    Ok(stop)
}
