//! `podtrace report`.
use super::{
    leaves_terminal, player_options, progress_alone,
    target::{Begun, finish, refuse_directory, refuse_inputs, target},
};
use crate::{
    cli::ReportArgs,
    command::{setup::refuse_terminal, stop::stop_on_signal},
    output::notices::Notices,
    replay::player::Player,
    report::Collector,
};

/// Runs the command; returns the exit code.
pub(in crate::command) fn run(args: &ReportArgs) -> anyhow::Result<u8> {
    check_target(args)?;
    let options = player_options(&args.input)?;
    let mut player = Player::new(&options, false, stop_on_signal()?)?;
    player.show_progress = leaves_terminal().then(progress_alone);
    let file = target(Some(&args.write));
    let mut begun = Begun::default();
    // What cannot be read leaves no file behind.
    let played = player.run(|_| {
        let paths = usize::try_from(args.paths).unwrap_or(usize::MAX);
        let collector = Collector::new(paths, begun.writer(file, args.force)?);
        begun.has_begun = true;
        Ok(vec![Box::new(collector), Box::new(Notices)])
    });
    finish(file, begun, played)
}

/// Refuses a terminal, a directory, and what is read.
fn check_target(args: &ReportArgs) -> anyhow::Result<()> {
    let Some(path) = target(Some(&args.write)) else {
        return refuse_terminal("-o report.html");
    };
    refuse_directory(path, "report.html")?;
    refuse_inputs(path, &args.input)
}
