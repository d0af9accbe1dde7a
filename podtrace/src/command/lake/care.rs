//! `podtrace lake`.
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use super::until_signal::until_signal;
use crate::{
    cli::LakeArgs,
    command::print_out,
    lake::{Lake, Limits, Open, compact, expire, inside},
    signals::Stop,
    text::count::counted,
};

/// Runs the command; returns the exit code.
pub(in crate::command) fn run(args: &LakeArgs) -> anyhow::Result<u8> {
    let how = Open {
        make: false,
        patience: args.store.retry_for,
    };
    let lake = Lake::open(&args.url, how)?;
    until_signal(&Stop::default(), care(args, &lake))
}

async fn care(args: &LakeArgs, lake: &Lake) -> anyhow::Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let now_ns = u64::try_from(since.as_nanos())?;
    if let Some(age) = args.older_than {
        let age_ns = u64::try_from(age.as_nanos())?;
        let expired = expire(lake, now_ns.saturating_sub(age_ns), args.dry_run).await?;
        let files = counted(expired.files, "file");
        let what = if args.dry_run {
            "would remove"
        } else {
            "removed"
        };
        print_out(&format!("{what} {files}, {} bytes\n", expired.bytes))?;
    }
    if args.compact {
        let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
        let limits = Limits {
            memory: args.memory_limit,
            folder: folder.path(),
        };
        let done = compact(lake, limits, now_ns).await?;
        let (files, into) = (counted(done.files, "file"), counted(done.into, "file"));
        print_out(&format!("put {files} together into {into}\n"))?;
    }
    if args.older_than.is_none() && !args.compact {
        print_out(&inside(lake).await?)?;
    }
    Ok(())
}
