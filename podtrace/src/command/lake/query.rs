//! `podtrace query`.
use std::{io::BufWriter, time::Duration};

use anyhow::Context as _;
use datafusion::execution::SendableRecordBatchStream;
use futures_util::TryStreamExt as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::time::sleep;

use super::{until_signal::until_signal, write::Writing};
use crate::{
    cli::{QueryArgs, QueryFormat},
    command::{INTERRUPTED, stop::stop_on_signal},
    lake::{Engine, Format, Lake, Limits, Open, Printed, in_words},
    replay::options::PlayerOptions,
    sink::{Named, has_no_reader},
};

/// How often podtrace looks whether somebody reads the answer.
const LOOK: Duration = Duration::from_millis(500);

/// Bytes that a question may take beside its limit, for the texts that it makes, the buffers of
/// files, and stacks: the engine does not count those.
const BESIDE: u64 = 4 << 30;

/// Runs the command; returns the exit code.
pub(in crate::command) fn run(args: &QueryArgs) -> anyhow::Result<u8> {
    let stop = stop_on_signal()?;
    let folder = tempfile::Builder::new()
        .prefix("podtrace-query-")
        .tempdir()
        .context("failed to make a temporary folder")?;
    let how = |make| Open {
        make,
        patience: args.store.retry_for,
    };
    let lake = match &args.lake {
        Some(url) => Lake::open(url, how(false))?,
        None => {
            let spool = folder.path().join("lake");
            let lake = Lake::folder(spool, how(true))?;
            let writing = Writing {
                lake: lake.clone(),
                part: String::new(),
                pool: "default".into(),
                vantage: None,
                is_kept: false,
            };
            let options = PlayerOptions {
                files: args.files.clone(),
                ..PlayerOptions::default()
            };
            let played = writing.run(&options, stop.clone())?;
            if played.is_interrupted {
                return Ok(INTERRUPTED);
            }
            lake
        }
    };
    let limits = Limits {
        memory: args.memory_limit,
        folder: folder.path(),
    };
    bound_memory(args.memory_limit)?;
    until_signal(&stop, async {
        tokio::select! {
            answered = answer(args, &lake, limits) => answered,
            () = nobody_reads() => Ok(()),
        }
    })
}

/// Waits until nobody reads the answer any more, as when who asked was killed: a question that writes
/// nothing for long would not notice.
async fn nobody_reads() {
    while !has_no_reader() {
        sleep(LOOK).await;
    }
}

/// A question whose texts grow beyond measure ends, before the machine has no memory left.
fn bound_memory(limit: u64) -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_DATA).context("failed to read a limit")?;
    let most = soft.min(limit.saturating_add(BESIDE));
    setrlimit(Resource::RLIMIT_DATA, most, hard).context("failed to limit the memory")
}

async fn answer(args: &QueryArgs, lake: &Lake, limits: Limits<'_>) -> anyhow::Result<()> {
    let engine = Engine::new(lake, limits).await?;
    let rows = engine.ask(&args.sql).await?;
    let format = match args.output {
        QueryFormat::Text => Format::Text,
        QueryFormat::Json => Format::Json,
        QueryFormat::Csv => Format::Csv,
    };
    print(rows, format, args.limit).await
}

async fn print(
    mut rows: SendableRecordBatchStream,
    format: Format,
    limit: Option<u64>,
) -> anyhow::Result<()> {
    let mut left = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    let writer = BufWriter::new(Named::stdout());
    let mut answer = Printed::new(format, &rows.schema(), writer);
    while left > 0
        && let Some(batch) = rows.try_next().await.map_err(in_words)?
    {
        let some = batch.slice(0, batch.num_rows().min(left));
        left -= some.num_rows();
        answer.print(&some)?;
    }
    answer.finish()
}
