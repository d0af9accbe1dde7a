//! `cargo xtask ci`: everything a change has to pass.

use std::{panic, process::ExitCode, thread};

use anyhow::{Result, bail};

use crate::{
    artifact,
    cmd::{Workspace, step},
    guard, lint, setup, test, vmtest,
};

/// Lints, counts instructions, tries other kernels, then tests; the tests' count is
/// the last line.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    setup::for_all(workspace)?;
    before_tests(workspace)?;
    Ok(test::run(workspace, &test::Args::default()))
}

/// Runs two strands at once: each has long parts that keep one CPU busy, they share no
/// directory of builds, and neither measures time.
fn before_tests(workspace: &Workspace) -> Result<()> {
    thread::scope(|scope| {
        let optimised = scope.spawn(|| optimised(workspace));
        let checked = lint::run(workspace).and_then(|()| unoptimised_builds(workspace));
        let optimised = optimised
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic));
        checked.and(optimised)
    })
}

/// Makes the release builds, and runs them under the guard and on other kernels.
fn optimised(workspace: &Workspace) -> Result<()> {
    step("build podtrace (release)", || artifact::podtrace(workspace))?;
    step("build the stages (release)", || artifact::stages(workspace))?;
    passed("guard", guard::run(workspace, &guard::Args::default())?)?;
    passed("vmtest", vmtest::run(workspace, &vmtest::Args::quick()))
}

/// Builds the unit tests and what the end-to-end cases run.
fn unoptimised_builds(workspace: &Workspace) -> Result<()> {
    step("build the unit tests", || test::build_units(workspace))?;
    step("build the end-to-end tests", || {
        artifact::root_tests(workspace)
    })?;
    Ok(())
}

fn passed(what: &str, code: ExitCode) -> Result<()> {
    if code != ExitCode::SUCCESS {
        bail!("{what} failed");
    }
    Ok(())
}
