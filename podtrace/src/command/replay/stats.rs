//! `podtrace stats`.
use std::io;

use super::{play_options, stop_on_signal};
use crate::{
    cli::{Format, StatsArgs},
    command::{FINE, use_color},
    output::stats::text,
    path::{Path, summary::Summary},
    pipeline::output::Output,
    replay::play::Play,
    stats::{Stats, StatsOptions},
    world::World,
};

/// Runs the command; returns the exit code.
pub(in crate::command) fn run(args: &StatsArgs) -> anyhow::Result<u8> {
    let stats_options = StatsOptions {
        epoch_ns: 0,
        top: args.top.into(),
    };
    let output = Collect {
        stats: Some(Stats::new(stats_options)),
        format: args.output,
        color: use_color(args.color),
    };
    let options = play_options(&args.input);
    let play = Play::new(&options, false, stop_on_signal()?)?;
    play.run(Box::new(output), &mut io::stdout().lock(), |_| Ok(None))?;
    Ok(FINE)
}

/// Adds paths up; prints at the end.
struct Collect {
    stats: Option<Stats>,
    format: Format,
    color: bool,
}

impl Output for Collect {
    fn path(&mut self, _: &mut String, path: &Path, world: &World) {
        if let Some(stats) = &mut self.stats {
            stats.add(path, world);
        }
    }

    /// What is incomplete for it is counted as such.
    fn attaching(&mut self, _: &mut String, _left: u64, _refused: u64) {}

    fn notice(&mut self, _: &mut String, text: &str) {
        eprintln!("podtrace: {text}");
    }

    fn summary(&mut self, out: &mut String, summary: &Summary, _: &World) {
        let Some(report) = self.stats.take().map(|stats| stats.finish(summary)) else {
            return;
        };
        match self.format {
            Format::Text => text(out, &report, self.color),
            Format::Json => {
                // Cannot fail: the maps have string keys and nothing else can.
                *out += &serde_json::to_string_pretty(&report).unwrap_or_default();
                out.push('\n');
            }
        }
    }
}
