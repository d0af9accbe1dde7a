//! `cargo xtask test`: runs every test, and prints one line with the result.

mod cases;

use std::process::ExitCode;

use anyhow::Result;

use self::cases::Suite;
pub(crate) use self::cases::{cases, named};
use crate::{
    artifact,
    cmd::{Root, Workspace, step},
    dist,
    report::{self, Count},
    setup,
};

/// In the names of the cases that install packages.
const OF_PACKAGES: &str = "cases::packages::";

/// The tests to run.
#[derive(Default, clap::Args)]
pub(crate) struct Args {
    /// Run only the end-to-end cases with one of these in their names
    filter: Vec<String>,
}

/// Runs the tests. In any case, the last line is the count, and the exit code agrees with it.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> ExitCode {
    counted(|total| {
        setup::for_tests(workspace)?;
        if args.filter.is_empty() {
            total.add(units(workspace, Seed::Random)?);
        }
        total.add(end_to_end(workspace, &args.filter)?);
        Ok(())
    })
}

/// Runs `work` and prints its count, with one more failure if it fails itself.
pub(crate) fn counted(work: impl FnOnce(&mut Count) -> Result<()>) -> ExitCode {
    let mut total = Count::default();
    if let Err(error) = work(&mut total) {
        eprintln!("error: {error:#}");
        total.failed += 1;
    }
    println!("{total}");
    if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The source of the property tests' inputs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seed {
    /// Other inputs in each run.
    Random,
    /// The same inputs in each run: a change passes or fails by what it changes.
    Fixed,
}

/// Runs the unit tests.
pub(crate) fn units(workspace: &Workspace, seed: Seed) -> Result<Count> {
    let mut cargo = workspace.tests_cargo()?;
    if seed == Seed::Fixed {
        cargo.env("PROPTEST_RNG_SEED", "1");
    }
    cargo
        .args(["test", "--workspace", "--exclude", "podtrace-tests"])
        .arg("--no-fail-fast");
    let mut count = step("unit tests", || report::run(&mut cargo))?;
    let mut others = artifact::other_features(workspace)?;
    count.add(step("tests of other features", || {
        report::run(&mut others)
    })?);
    Ok(count)
}

/// Builds the end-to-end cases and their programs, and runs them as root.
pub(crate) fn end_to_end(workspace: &Workspace, filter: &[String]) -> Result<Count> {
    let podtrace = step("build podtrace (release)", || artifact::podtrace(workspace))?;
    let binary = step("build the end-to-end tests", || {
        artifact::root_tests(workspace)
    })?;
    let lab = step("build the CRI lab's programs", || {
        artifact::lab_programs(workspace)
    })?;
    let cases = named(cases(&binary)?, filter)?;
    let root = match Root::find() {
        Ok(root) => root,
        Err(reason) => {
            println!("skipped: {} end-to-end cases: {reason}", cases.len());
            return Ok(Count {
                skipped: u64::try_from(cases.len())?,
                ..Count::default()
            });
        }
    };
    let packages = workspace.root().join("target").join("cases-packages");
    if cases.iter().any(|case| case.contains(OF_PACKAGES)) {
        dist::pack(workspace, &podtrace, &packages)?;
    }
    let package = workspace.root().join("tests");
    let python = setup::python(workspace);
    let mut variables = vec![
        ("CARGO_MANIFEST_DIR", package.as_os_str()),
        ("PODTRACE_BIN", podtrace.as_os_str()),
        ("PODTRACE_PACKAGES", packages.as_os_str()),
        ("PODTRACE_LAB_NODE", lab.node.as_os_str()),
        ("PODTRACE_LAB_PEER", lab.peer.as_os_str()),
    ];
    variables.extend(
        python
            .iter()
            .map(|python| ("PODTRACE_PYARROW", python.as_os_str())),
    );
    let suite = Suite {
        root,
        binary: &binary,
        package: &package,
        variables: &variables,
        logs: &workspace.root().join("target").join("cases"),
    };
    step("end-to-end cases", || suite.run(cases))
}
