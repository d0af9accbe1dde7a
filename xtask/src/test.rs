//! `cargo xtask test`: every test, and one line that says how it went.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{
    artifact,
    cmd::{Root, Workspace, show, step},
    report::{self, Count},
    setup,
};

/// Runs the tests. Whatever happens, the last line is the count, and the exit
/// code agrees with it.
pub(crate) fn run(workspace: &Workspace) -> ExitCode {
    let mut total = Count::default();
    if let Err(error) = all(workspace, &mut total) {
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

fn all(workspace: &Workspace, total: &mut Count) -> Result<()> {
    setup::for_tests(workspace)?;

    let unit = step("unit tests", || {
        let mut cargo = workspace.cargo()?;
        cargo
            .args(["test", "--workspace", "--exclude", "podtrace-tests"])
            .arg("--no-fail-fast");
        report::run(&mut cargo)
    })?;
    total.add(unit);

    let podtrace = step("build podtrace (release)", || artifact::podtrace(workspace))?;
    let binaries = step("build the root tests", || artifact::root_tests(workspace))?;
    let lab = step("build the CRI lab's programs", || {
        artifact::lab_programs(workspace)
    })?;
    let python = setup::python(workspace);
    let mut vars = vec![
        ("PODTRACE_BIN", podtrace.as_os_str()),
        ("PODTRACE_LAB_NODE", lab.node.as_os_str()),
        ("PODTRACE_LAB_PEER", lab.peer.as_os_str()),
    ];
    vars.extend(
        python
            .iter()
            .map(|python| ("PODTRACE_PYARROW", python.as_os_str())),
    );
    step("root tests", || {
        for binary in &binaries {
            total.add(root_test(workspace, binary, &vars)?);
        }
        Ok(())
    })
}

/// Runs one end-to-end test binary as root, from where cargo would run it.
/// `programs` name what it runs.
fn root_test(workspace: &Workspace, binary: &Path, programs: &[(&str, &OsStr)]) -> Result<Count> {
    let package = workspace.root().join("tests");
    let root = match Root::find() {
        Ok(root) => root,
        Err(reason) => {
            let skipped = tests_in(binary)?;
            println!("skipped: {skipped} root tests: {reason}");
            return Ok(Count {
                skipped,
                ..Count::default()
            });
        }
    };
    let mut vars = vec![("CARGO_MANIFEST_DIR", package.as_os_str())];
    vars.extend_from_slice(programs);
    let mut command = root.command(binary, &vars);
    // One at a time: they share the kernel. Not --nocapture: it would glue a
    // test's first line to libtest's "test name ... ".
    command
        .current_dir(&package)
        .args(["--test-threads=1", "--show-output"]);
    report::run(&mut command)
}

/// How many tests a binary holds; listing them needs no root.
fn tests_in(binary: &Path) -> Result<u64> {
    let mut command = Command::new(binary);
    command.args(["--list", "--format=terse"]);
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", show(&command)))?;
    let names = String::from_utf8_lossy(&output.stdout);
    let count = names
        .lines()
        .filter(|line| line.ends_with(": test"))
        .count();
    Ok(u64::try_from(count)?)
}
