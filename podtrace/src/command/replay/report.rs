//! `podtrace report`.
use super::{
    code, leaves_terminal, player_options, progress_alone,
    target::{refuse_directory, refuse_inputs, remove_empty, target, writer},
};
use crate::{
    cli::ReportArgs,
    command::{setup::refuse_terminal, stop::stop_on_signal},
    output::notices::Notices,
    replay::player::Player,
    report::Collector,
    text::escape::shown,
};

/// Runs the command; returns the exit code.
pub(in crate::command) fn run(args: &ReportArgs) -> anyhow::Result<u8> {
    check_target(args)?;
    let options = player_options(&args.input)?;
    let mut player = Player::new(&options, false, stop_on_signal()?)?;
    player.show_progress = leaves_terminal().then(progress_alone);
    let (file, mut has_started) = (target(Some(&args.write)), false);
    // What cannot be read leaves no file behind.
    let played = player.run(|_| {
        let paths = usize::try_from(args.paths).unwrap_or(usize::MAX);
        let collector = Collector::new(paths, writer(file, args.force)?);
        has_started = true;
        Ok(vec![Box::new(collector), Box::new(Notices)])
    });
    if played.is_err() && has_started && file.is_some() {
        eprintln!("podtrace: {} is partial", shown(&args.write));
    }
    let played = played?;
    remove_empty(file, &played)?;
    Ok(code(&played))
}

/// Refuses a terminal, a directory, and what is read.
fn check_target(args: &ReportArgs) -> anyhow::Result<()> {
    let Some(path) = target(Some(&args.write)) else {
        return refuse_terminal("-o report.html");
    };
    refuse_directory(path, "report.html")?;
    refuse_inputs(path, &args.input)
}
