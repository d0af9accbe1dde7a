//! The checks, on one kernel after the other.

use std::time::Duration;

use anyhow::Result;

use super::{
    docs::DocsTable,
    image::Image,
    kernels::{Kernel, Line},
    plan::Check,
    runner::{Job, Runner},
    table::Table,
    transcript::{Checked, Outcome},
};
use crate::report::Count;

/// How long a machine may take.
const QUICK_LIMIT: Duration = Duration::from_secs(300);
/// How long a machine may take to run more than the quick checks.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// Memory of a machine, in MiB.
const MEMORY: u32 = 1024;
/// Memory of a machine with all programs that the tests use.
const MEMORY_FOR_ALL: u32 = 2048;

/// Lines that are shown of what a failed check printed.
const SHOWN: usize = 40;

/// What is run on every kernel.
pub(super) struct Suite {
    pub(super) runner: Runner,
    pub(super) image: Image,
    pub(super) checks: Vec<Check>,
    pub(super) is_quick: bool,
}

impl Suite {
    /// Boots the kernel and adds what came of it to the tables.
    pub(super) fn run(
        &self,
        line: &Line,
        kernel: &Kernel,
        (table, docs): (&mut Table, &mut DocsTable),
        total: &mut Count,
    ) -> Result<()> {
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
        let report = self.runner.run(job, show)?;
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
        if let Some(trouble) = report.trouble {
            println!("    the machine: FAILED: {trouble}");
            let machine = "the machine";
            add(machine, machine, &Outcome::Failed(trouble));
        }
        println!("    log: {}", self.runner.log(line.name).display());
        Ok(())
    }
}

/// Says how a check ended, and what one that failed printed.
fn show(checked: &Checked) {
    let Checked {
        name,
        outcome,
        took,
        output,
    } = checked;
    println!("    {name}: {outcome} in {took}");
    if matches!(outcome, Outcome::Failed(_)) {
        let hidden = output.len().saturating_sub(SHOWN);
        for line in output.iter().skip(hidden) {
            println!("    | {line}");
        }
    }
}
