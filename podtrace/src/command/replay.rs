//! `podtrace replay`, `stats`, `report` and `export`: the commands that read files.
mod export;
mod report;
mod rewrite;
mod stats;
mod target;

use std::{io, path::PathBuf};

use anyhow::bail;
use nix::sys::stat::{SFlag, fstat};

use super::{
    ERROR, FINE, INTERRUPTED, LOST,
    filter::asked,
    setup::{format, refuse_terminal_for_packets, vxlan_ports},
    stop::stop_on_signal,
};
use crate::{
    cli::{Format, InputArgs, ReplayArgs, WriteArgs},
    output::{notices::Notices, printer::Printer},
    pipeline::consumer::Consumer as _,
    replay::{ShowLine, options::PlayerOptions, player::Player, report::Played},
    session::files::Target,
    sink::{self, Sink, status},
    text::escape::shown,
};
pub(super) use export::run as export;
#[cfg(feature = "cluster")]
pub(super) use export::sessions;
pub(super) use report::run as report;
use rewrite::Rewrite;
pub(super) use stats::run as stats;

/// Time between two writes to the kernel where somebody may watch, in nanoseconds of the recording.
const WATCHED_FLUSH_NS: u64 = 100_000_000;

/// Runs `replay`; returns the exit code.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<u8> {
    let format = format(&args.view, args.detail.verbose > 0, None, 0)?;
    let is_piped = args.view.output == Format::Pcapng;
    if is_piped {
        refuse_terminal_for_packets("podtrace export --format pcapng -w FILE")?;
    }
    let options = player_options(&args.input)?;
    let mut player = Player::new(&options, args.follow, stop_on_signal()?)?;
    player.speed = args.speed;
    let played = if is_piped {
        player.is_recorded = true;
        player.show_progress = leaves_terminal().then(progress_alone);
        player.run(|found| {
            let rewrite = Rewrite {
                target: Target::Stdout,
                how: WriteArgs::default(),
                vantage: None,
                is_part: options.is_part(),
                flush_ns: WATCHED_FLUSH_NS,
            };
            let (recorder, _) = rewrite.recorder(&args.input, found)?;
            Ok(vec![Box::new(recorder), Box::new(Notices)])
        })?
    } else {
        let sink = Sink::stdout()?;
        player.show_progress = leaves_terminal().then(|| sink.status_line());
        let printer = Printer::new(format, Box::new(sink));
        player.shows_bytes = printer.takes_bytes();
        player.run(|_| Ok(vec![Box::new(printer)]))?
    };
    Ok(exit_code(args, &played))
}

/// The exit code of a replay.
pub(super) fn exit_code(args: &ReplayArgs, played: &Played) -> u8 {
    match code(played) {
        FINE if args.strict && !played.is_whole() => LOST,
        code => code,
    }
}

/// The exit code by whether everything was read; says why nothing was found.
pub(super) fn code(played: &Played) -> u8 {
    match played {
        _ if played.is_interrupted => INTERRUPTED,
        Played {
            missed: Some(words),
            ..
        } => {
            sink::tell(words);
            ERROR
        }
        _ => FINE,
    }
}

/// Whether no other program writes to the terminal: the reader of a pipe may be a pager.
pub(super) fn leaves_terminal() -> bool {
    let stdout = fstat(io::stdout());
    let is_pipe = stdout.is_ok_and(|stdout| {
        let kind = SFlag::from_bits_truncate(stdout.st_mode) & SFlag::S_IFMT;
        kind == SFlag::S_IFIFO || kind == SFlag::S_IFSOCK
    });
    status::has_terminal() && !is_pipe
}

/// Shows progress if nothing else writes to the terminal meanwhile.
pub(super) fn progress_alone() -> ShowLine {
    Box::new(|line| {
        if line.is_empty() {
            status::clear();
        } else {
            status::replace(&line);
        }
    })
}

/// Fails where words of an expression stand among the files.
fn refuse_words(args: &InputArgs) -> anyhow::Result<()> {
    let is_word = |path: &PathBuf| {
        let name = path.as_os_str().as_encoded_bytes();
        !name.iter().any(|byte| matches!(byte, b'/' | b'.')) && !path.exists()
    };
    let at = args.files.iter().skip(1).position(is_word);
    let Some((files, words)) = at.and_then(|at| args.files.split_at_checked(at + 1)) else {
        return Ok(());
    };
    let line = |paths: &[PathBuf]| {
        let shown: Vec<_> = paths.iter().map(shown).collect();
        shown.join(" ")
    };
    bail!(
        "there is no file {}\nhint: an expression goes behind --: podtrace replay {} -- {}",
        line(&words[..1]),
        line(files),
        line(words)
    )
}

pub(super) fn player_options(args: &InputArgs) -> anyhow::Result<PlayerOptions> {
    refuse_words(args)?;
    let interfaces = args.chosen().to_vec();
    let asked = asked(&args.filter.expression, &args.filter.chosen)?;
    let InputArgs {
        files,
        since,
        until,
        first,
        last,
        clock_offset,
        each_file,
        hop_timeout,
        vxlan_port,
        ..
    } = args.clone();
    Ok(PlayerOptions {
        files,
        interfaces,
        since,
        until,
        first,
        last,
        clock_offset,
        each_file,
        hop_timeout,
        vxlan_ports: vxlan_ports(&vxlan_port)?,
        asked,
    })
}
