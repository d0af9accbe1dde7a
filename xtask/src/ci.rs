//! `cargo xtask ci`: all checks of a change.

use std::{convert::Infallible, panic, process::ExitCode, sync::mpsc, thread};

use anyhow::{Result, bail};

use crate::{
    artifact,
    cmd::{Workspace, run as run_command, step},
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
        at_once(|| optimised(workspace), || unoptimised(workspace, total))?;
        // What is left of building is short: neither strand waits for the other's cargo, which
        // builds one thing of a profile at a time.
        let programs = vmtest::Programs::build(workspace)?;
        let (busy, other) = mpsc::channel();
        let fuzz = || {
            let _busy = busy;
            fuzz::bounded(workspace)
        };
        at_once(fuzz, || machines(other, workspace, programs))?;
        total.add(test::end_to_end(workspace, &[])?);
        Ok(())
    }))
}

/// Runs two strands at once: each has long parts that occupy one CPU, they share no target
/// directory, and neither measures time.
fn at_once(
    one: impl FnOnce() -> Result<()> + Send,
    other: impl FnOnce() -> Result<()>,
) -> Result<()> {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        let one = one
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic));
        other.and(one)
    })
}

/// Builds in release mode, and runs the stages under the guard.
fn optimised(workspace: &Workspace) -> Result<()> {
    step("build podtrace (release)", || artifact::podtrace(workspace))?;
    step("build the stages (release)", || artifact::stages(workspace))?;
    passed("guard", guard::run(workspace, &guard::Args::default())?)
}

/// Tries other kernels, two at once when `other` is closed.
fn machines(
    other: mpsc::Receiver<Infallible>,
    workspace: &Workspace,
    programs: vmtest::Programs,
) -> Result<()> {
    let args = vmtest::Args::quick();
    let ended = vmtest::run_beside(other, workspace, &args, || Ok(programs));
    passed("vmtest", ended)
}

/// Lints, builds all tests, and runs the unit tests.
fn unoptimised(workspace: &Workspace, total: &mut Count) -> Result<()> {
    lint::run(workspace)?;
    step("clippy and build (tests)", || {
        artifact::all_tests(workspace)
    })?;
    step("clippy and build (other features)", || {
        run_command(artifact::other_features(workspace)?.arg("--no-run"))
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
