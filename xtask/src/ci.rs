//! `cargo xtask ci`: everything a change has to pass.

use std::{panic, process::ExitCode, thread};

use anyhow::Result;

use crate::{
    artifact,
    cmd::{Workspace, step},
    guard, lint, setup, test, vmtest,
};

/// Lints, counts instructions, tries other kernels, then tests; the tests' count is
/// the last line.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    setup::for_all(workspace)?;
    lint_and_build(workspace)?;
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

/// Lints while the release builds are made: these have long parts that keep one CPU busy,
/// and the two share no directory.
fn lint_and_build(workspace: &Workspace) -> Result<()> {
    thread::scope(|scope| {
        let builds = scope.spawn(|| release_builds(workspace));
        let linted = lint::run(workspace);
        let built = builds
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic));
        linted.and(built)
    })
}

/// What the guard, the virtual machines and the end-to-end cases run.
fn release_builds(workspace: &Workspace) -> Result<()> {
    step("build podtrace (release)", || artifact::podtrace(workspace))?;
    step("build the stages (release)", || artifact::stages(workspace))?;
    Ok(())
}
