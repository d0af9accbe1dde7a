//! `podtrace export --lake`.
use anyhow::bail;

use crate::{
    cli::ExportArgs,
    command::{
        replay::{code, leaves_terminal, player_options, progress_alone, sessions},
        stop::stop_on_signal,
    },
    lake::{Lake, LakeWriter, Open, Source},
    output::notices::Notices,
    replay::{
        inputs::firsts,
        options::PlayerOptions,
        player::{Found, Player},
        report::Played,
    },
    signals::Stop,
};

/// Runs the command; returns the exit code.
pub(in crate::command) fn write(args: &ExportArgs, url: &str) -> anyhow::Result<u8> {
    let options = player_options(&args.input)?;
    let how = Open {
        make: true,
        patience: args.into.store.retry_for,
    };
    let lake = Lake::open(url, how)?;
    let mut asked = args.input.clone();
    asked.files.clear();
    let part = format!("{asked:?} {:?}", args.vantage);
    let writing = Writing {
        lake,
        part,
        pool: args.into.pool.clone(),
        vantage: args.vantage.clone(),
        is_kept: true,
    };
    Ok(code(&writing.run(&options, stop_on_signal()?)?))
}

/// Recordings on their way into a lake.
pub(super) struct Writing {
    pub(super) lake: Lake,
    /// What of the recordings was asked for.
    pub(super) part: String,
    pub(super) pool: String,
    pub(super) vantage: Option<String>,
    /// Whether the lake is there afterwards.
    pub(super) is_kept: bool,
}

impl Writing {
    pub(super) fn run(self, options: &PlayerOptions, stop: Stop) -> anyhow::Result<Played> {
        let mut player = Player::new(options, false, stop)?;
        player.show_progress = leaves_terminal().then(progress_alone);
        player.vantage = self.vantage;
        player.run(|found| {
            let source = Source {
                sessions: if self.is_kept {
                    named(found)?
                } else {
                    sessions(found)?
                },
                part: self.part,
                pool: self.pool,
                is_told: self.is_kept,
            };
            let writer = LakeWriter::new(self.lake, source)?;
            Ok(vec![Box::new(writer), Box::new(Notices)])
        })
    }
}

/// The names of the sessions; a stream of another tool has none by which it would be known again.
fn named(found: &Found<'_>) -> anyhow::Result<String> {
    for input in firsts(found.inputs) {
        if input.session()?.is_none() {
            bail!(
                "a stream has no name by which a lake would know it again\nhint: save it to a file \
                 first"
            );
        }
    }
    sessions(found)
}
