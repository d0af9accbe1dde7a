//! `podtrace stats`.
use std::io;

use super::{code, leaves_terminal, player_options, progress_alone};
use crate::{
    cli::{StatsArgs, StatsFormat},
    command::{print_out, stop::stop_on_signal, use_color, width},
    output::{notices::Notices, stats::text},
    path::{Path, summary::Summary},
    pipeline::consumer::{Consumer, Failure},
    replay::player::Player,
    stats::{Report, Stats, StatsOptions},
    world::World,
};

/// Runs the command; returns the exit code.
pub(in crate::command) fn run(args: &StatsArgs) -> anyhow::Result<u8> {
    let stats_options = StatsOptions {
        epoch_ns: 0,
        top: args.top.into(),
        over_time: false,
    };
    let collect = Collect {
        stats: Some(Stats::new(stats_options)),
        format: args.output,
        color: use_color(args.color),
        failure: Failure::default(),
    };
    let options = player_options(&args.input)?;
    let mut player = Player::new(&options, false, stop_on_signal()?)?;
    player.shows_numbers = false;
    player.show_progress = leaves_terminal().then(progress_alone);
    let played = player.run(|_| Ok(vec![Box::new(Notices), Box::new(collect)]))?;
    Ok(code(&played))
}

/// Collects statistics, and prints them at the end.
struct Collect {
    stats: Option<Stats>,
    format: StatsFormat,
    color: bool,
    /// Why printing failed.
    failure: Failure,
}

impl Consumer for Collect {
    fn on_path(&mut self, path: &Path, world: &World) {
        if let Some(stats) = &mut self.stats {
            stats.add(path, world);
        }
    }

    fn on_end(&mut self, summary: &Summary, _: &World) -> Vec<String> {
        if let Some(stats) = self.stats.take() {
            let printed = self.print(&stats.finish(summary));
            self.failure.record(printed);
        }
        Vec::new()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failure.take()
    }
}

impl Collect {
    fn print(&self, report: &Report) -> io::Result<()> {
        let mut out = String::new();
        match self.format {
            StatsFormat::Text => text(&mut out, report, self.color, width()),
            StatsFormat::Json => out = serde_json::to_string_pretty(report)? + "\n",
        }
        print_out(&out)
    }
}
