//! `cargo xtask ci`: everything a change has to pass.

use std::process::ExitCode;

use anyhow::Result;

use crate::{cmd::Workspace, guard, lint, test, vmtest};

/// Lints, counts instructions, tries other kernels, then tests; the tests' count is
/// the last line.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    lint::run(workspace)?;
    let guarded = guard::run(workspace, &guard::Args::default())?;
    if guarded != ExitCode::SUCCESS {
        return Ok(guarded);
    }
    let tried = vmtest::run(workspace, &vmtest::Args::quick());
    if tried != ExitCode::SUCCESS {
        return Ok(tried);
    }
    Ok(test::run(workspace, &test::Args::default()))
}
