//! Runs the checks on a kernel.

use std::time::Duration;

use anyhow::Result;

use super::{
    docs::DocsTable,
    image::Image,
    kernels::{Kernel, Line},
    plan::Check,
    runner::{Job, Report, Runner},
    table::Table,
    transcript::{Checked, Outcome},
};
use crate::report::Count;

/// The time limit of a machine, two or three times of what it takes beside another.
const QUICK_LIMIT: Duration = Duration::from_secs(480);
/// The time limit of a machine that runs more than the quick checks.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// Memory of a machine, in MiB.
const MEMORY: u32 = 1024;
/// Memory of a machine with all programs of the tests, in MiB.
const MEMORY_FOR_ALL: u32 = 2048;

/// How many lines of a failed check's output are shown.
const SHOWN: usize = 40;

/// The checks to run on every kernel.
pub(super) struct Suite {
    pub(super) runner: Runner,
    pub(super) image: Image,
    pub(super) checks: Vec<Check>,
    pub(super) is_quick: bool,
}

impl Suite {
    /// Boots the kernel, and runs the checks.
    pub(super) fn run(&self, line: &Line, kernel: &Kernel) -> Result<Report> {
        let job = Job {
            name: line.name,
            kernel,
            image: self.image.clone(),
            commands: self.checks.iter().map(Check::line).collect(),
            parameters: "",
            memory_mib: if self.is_quick {
                MEMORY
            } else {
                MEMORY_FOR_ALL
            },
            limit: if self.is_quick { QUICK_LIMIT } else { LIMIT },
        };
        let report = self.runner.run(job, |checked| show(line.name, checked))?;
        if let Some(failure) = &report.failure {
            println!("    {}: the machine: FAILED: {failure}", line.name);
        }
        println!("    log: {}", self.runner.log(line.name).display());
        Ok(report)
    }

    /// Adds the results of a kernel to the tables.
    pub(super) fn add(
        &self,
        report: Report,
        (line, kernel): (&Line, &Kernel),
        (table, docs): (&mut Table, &mut DocsTable),
        total: &mut Count,
    ) {
        table.kernel(line.name);
        docs.kernel(&kernel.version);
        let mut add = |row: &str, name: &str, outcome: &Outcome| {
            table.add(row, name, outcome);
            total.add(Count::from(outcome));
        };
        for check in &self.checks {
            let outcome = report.transcript.outcome(&check.name);
            add(check.group(), &check.name, &outcome);
            if let Some(title) = check.title() {
                docs.check(title, &outcome);
            }
        }
        for (name, value) in report.transcript.features() {
            docs.feature(name, value);
        }
        if let Some(failure) = report.failure {
            let machine = "the machine";
            add(machine, machine, &Outcome::Failed(failure));
        }
    }
}

/// Prints the outcome of a check, and the output of a failed one.
fn show(kernel: &str, checked: &Checked) {
    let Checked {
        name,
        outcome,
        took,
        output,
    } = checked;
    println!("    {kernel}: {name}: {outcome} in {took}");
    if matches!(outcome, Outcome::Failed(_)) {
        let hidden = output.len().saturating_sub(SHOWN);
        for line in output.iter().skip(hidden) {
            println!("    {kernel}: | {line}");
        }
    }
}
