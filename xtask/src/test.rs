//! `cargo xtask test`: every test, and one line that says how it went.

mod cases;

use std::process::{Command, ExitCode};

use anyhow::Result;

use self::cases::Suite;
pub(crate) use self::cases::{cases, named};
use crate::{
    artifact,
    cmd::{self, Root, Workspace, step},
    report::{self, Count},
    setup,
};

/// What to test.
#[derive(Default, clap::Args)]
pub(crate) struct Args {
    /// Run only the end-to-end cases with one of these in their names
    filter: Vec<String>,
}

/// Runs the tests. Whatever happens, the last line is the count, and the exit
/// code agrees with it.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> ExitCode {
    let mut total = Count::default();
    if let Err(error) = all(workspace, args, &mut total) {
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

fn all(workspace: &Workspace, args: &Args, total: &mut Count) -> Result<()> {
    setup::for_tests(workspace)?;
    if args.filter.is_empty() {
        total.add(step("unit tests", || unit(workspace))?);
    }
    total.add(end_to_end(workspace, &args.filter)?);
    Ok(())
}

/// Builds the unit tests without running them.
pub(crate) fn build_units(workspace: &Workspace) -> Result<()> {
    cmd::run(unit_tests(workspace)?.arg("--no-run"))
}

fn unit(workspace: &Workspace) -> Result<Count> {
    report::run(&mut unit_tests(workspace)?)
}

fn unit_tests(workspace: &Workspace) -> Result<Command> {
    let mut cargo = workspace.cargo()?;
    cargo
        .args(["test", "--workspace", "--exclude", "podtrace-tests"])
        .arg("--no-fail-fast");
    Ok(cargo)
}

/// Builds the end-to-end cases and what they use, and runs them as root.
fn end_to_end(workspace: &Workspace, filter: &[String]) -> Result<Count> {
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
    let package = workspace.root().join("tests");
    let python = setup::python(workspace);
    let mut variables = vec![
        ("CARGO_MANIFEST_DIR", package.as_os_str()),
        ("PODTRACE_BIN", podtrace.as_os_str()),
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
