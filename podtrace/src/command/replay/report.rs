//! `podtrace report`.
use std::{io, path::Path as FilePath};

use anyhow::bail;

use super::{code, leaves_terminal, player_options, progress_alone, refuse_inputs};
use crate::{
    cli::ReportArgs,
    command::{setup::refuse_terminal, stop::stop_on_signal},
    output::notices::Notices,
    replay::player::Player,
    report::Collector,
    session::files,
    sink::Named,
    text::escape::shown,
};

/// Runs the command; returns the exit code.
pub(in crate::command) fn run(args: &ReportArgs) -> anyhow::Result<u8> {
    check_target(&args.write)?;
    refuse_inputs(&args.write, &args.input)?;
    let options = player_options(&args.input)?;
    let mut player = Player::new(&options, false, stop_on_signal()?)?;
    player.show_progress = leaves_terminal().then(progress_alone);
    let mut has_started = false;
    // What cannot be read leaves no file behind.
    let played = player.run(|_| {
        let paths = usize::try_from(args.paths).unwrap_or(usize::MAX);
        let collector = Collector::new(paths, writer(args)?);
        has_started = true;
        Ok(vec![Box::new(collector), Box::new(Notices)])
    });
    if played.is_err() && has_started && !is_stdout(&args.write) {
        eprintln!("podtrace: {} is partial", shown(&args.write));
    }
    Ok(code(&played?))
}

/// Refuses a terminal and a directory.
fn check_target(path: &FilePath) -> anyhow::Result<()> {
    if is_stdout(path) {
        return refuse_terminal("-o report.html");
    }
    if path.is_dir() {
        bail!(
            "--write {} is a directory\nhint: name a file in it, for example --write {}",
            shown(path),
            shown(path.join("report.html"))
        );
    }
    Ok(())
}

fn is_stdout(path: &FilePath) -> bool {
    path.as_os_str() == "-"
}

fn writer(args: &ReportArgs) -> anyhow::Result<Box<dyn io::Write + Send>> {
    if is_stdout(&args.write) {
        return Ok(Box::new(Named::stdout()));
    }
    let file = files::create(&args.write, args.force)?;
    Ok(Box::new(Named::new(shown(&args.write), file)))
}
