//! `cargo xtask ci`: all checks of a change.

use std::{panic, process::ExitCode, thread};

use anyhow::{Result, bail};

use crate::{
    artifact,
    cmd::{Workspace, step},
    fuzz, guard, lint,
    report::Count,
    setup, test, vmtest,
};

/// Lints, counts instructions, fuzzes briefly, tries other kernels, and tests; the last line
/// counts the tests.
pub(crate) fn run(workspace: Workspace) -> Result<ExitCode> {
    setup::for_all(&workspace)?;
    let linter = setup::linter(&workspace)?;
    let workspace = &workspace.linted_by(linter);
    Ok(test::counted(|total| {
        before_end_to_end(workspace, total)?;
        total.add(test::end_to_end(workspace, &[])?);
        Ok(())
    }))
}

/// Runs two strands at once: each has long parts that occupy one CPU, they share no target
/// directory, and neither measures time.
fn before_end_to_end(workspace: &Workspace, total: &mut Count) -> Result<()> {
    thread::scope(|scope| {
        let optimised = scope.spawn(|| optimised(workspace));
        let unoptimised = unoptimised(workspace, total);
        let optimised = optimised
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic));
        unoptimised.and(optimised)
    })
}

/// Builds in release mode, and runs the builds under the guard, the fuzzer, and on other
/// kernels.
fn optimised(workspace: &Workspace) -> Result<()> {
    step("build podtrace (release)", || artifact::podtrace(workspace))?;
    step("build the stages (release)", || artifact::stages(workspace))?;
    passed("guard", guard::run(workspace, &guard::Args::default())?)?;
    fuzz::bounded(workspace)?;
    passed("vmtest", vmtest::run(workspace, &vmtest::Args::quick()))
}

/// Lints, builds all tests, and runs the unit tests.
fn unoptimised(workspace: &Workspace, total: &mut Count) -> Result<()> {
    lint::run(workspace)?;
    step("clippy and build (tests)", || {
        artifact::all_tests(workspace)
    })?;
    total.add(test::units(workspace, test::Seed::Fixed)?);
    Ok(())
}

fn passed(what: &str, code: ExitCode) -> Result<()> {
    if code != ExitCode::SUCCESS {
        bail!("{what} failed");
    }
    Ok(())
}
