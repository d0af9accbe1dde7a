//! `cargo xtask ci`: everything a change has to pass.

use std::{panic, process::ExitCode, thread};

use anyhow::{Result, bail};

use crate::{
    artifact,
    cmd::{Workspace, step},
    fuzz, guard, lint,
    report::Count,
    setup, test, vmtest,
};

/// Lints, counts instructions, fuzzes a little, tries other kernels, and tests; the tests' count is the
/// last line.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    setup::for_all(workspace)?;
    Ok(test::counted(|total| {
        before_end_to_end(workspace, total)?;
        total.add(test::end_to_end(workspace, &[])?);
        Ok(())
    }))
}

/// Runs two strands at once: each has long parts that keep one CPU busy, they share no
/// directory of builds, and neither measures time.
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

/// Makes the release builds, and runs them under the guard, the fuzzer, and on other kernels.
fn optimised(workspace: &Workspace) -> Result<()> {
    step("build podtrace (release)", || artifact::podtrace(workspace))?;
    step("build the stages (release)", || artifact::stages(workspace))?;
    passed("guard", guard::run(workspace, &guard::Args::default())?)?;
    fuzz::bounded(workspace)?;
    passed("vmtest", vmtest::run(workspace, &vmtest::Args::quick()))
}

/// Lints, runs the unit tests, and builds the end-to-end cases.
fn unoptimised(workspace: &Workspace, total: &mut Count) -> Result<()> {
    lint::run(workspace)?;
    total.add(test::units(workspace)?);
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
