//! `cargo xtask ci`: everything a change has to pass.

use std::process::ExitCode;

use anyhow::Result;

use crate::{cmd::Workspace, guard, lint, test};

/// Lints, counts instructions, then tests; the tests' count is the last line.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    lint::run(workspace)?;
    let guarded = guard::run(workspace, &guard::Args::default())?;
    if guarded != ExitCode::SUCCESS {
        return Ok(guarded);
    }
    Ok(test::run(workspace))
}
