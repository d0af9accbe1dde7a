//! Machines that must fail: otherwise passing would mean nothing.

use std::{panic, path::Path, thread, time::Duration};

use anyhow::{Result, bail};

use super::{
    image::Image,
    kernels::Kernel,
    plan::Check,
    runner::{Job, Report, Runner},
    transcript::Outcome,
};

/// A machine without modules is up in two to four seconds.
const LIMIT: Duration = Duration::from_secs(60);
/// The time limit of a machine that hangs.
const PATIENCE: Duration = Duration::from_secs(20);
const MEMORY: u32 = 512;

/// Boots a machine and checks that it failed as intended.
type Test = fn(&Bench) -> Result<()>;

const TESTS: [(&str, Test); 3] = [
    ("a command that fails fails", fails),
    ("a kernel that panics fails", panics),
    ("a machine that hangs fails", hangs),
];

struct Bench<'a> {
    runner: &'a Runner,
    kernel: &'a Kernel,
    init: &'a Path,
}

/// Runs all tests at once, as they mostly wait; returns the name and the outcome of each.
pub(super) fn run(runner: &Runner, kernel: &Kernel, init: &Path) -> Vec<(&'static str, Outcome)> {
    let bench = Bench {
        runner,
        kernel,
        init,
    };
    let run = |test: Test| match test(&bench) {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed(format!("{error:#}")),
    };
    thread::scope(|scope| {
        let tests = TESTS.map(|(name, test)| (name, scope.spawn(move || run(test))));
        let outcomes = tests.into_iter().map(|(name, outcome)| {
            let outcome = outcome.join();
            (
                name,
                outcome.unwrap_or_else(|panic| panic::resume_unwind(panic)),
            )
        });
        outcomes.collect()
    })
}

impl Bench<'_> {
    /// Boots a machine with that name.
    fn boot(
        &self,
        name: &str,
        words: &[&str],
        parameters: &str,
        limit: Duration,
    ) -> Result<Report> {
        let mut image = Image::new(self.init)?;
        for program in ["false", "sleep"] {
            image.program(program)?;
        }
        let job = Job {
            name,
            kernel: self.kernel,
            image,
            commands: vec![Check::command("self-test", words).line()],
            parameters,
            memory_mib: MEMORY,
            limit,
        };
        self.runner.run(job, |_checked| {})
    }
}

fn fails(bench: &Bench) -> Result<()> {
    let report = bench.boot("self-test-fails", &["false"], "", LIMIT)?;
    let outcomes = report.transcript.checked.iter();
    let outcomes: Vec<_> = outcomes.map(|checked| &checked.outcome).collect();
    let expected = Outcome::Failed("exit 1".to_owned());
    match report.failure {
        None if outcomes == [&expected] => Ok(()),
        failure => bail!("seen as {outcomes:?}, {failure:?}"),
    }
}

/// The kernel panics when its first process ends.
fn panics(bench: &Bench) -> Result<()> {
    let report = bench.boot(
        "self-test-panics",
        &["false"],
        "rdinit=/usr/bin/false",
        LIMIT,
    )?;
    expect(&report, "Kernel panic")
}

fn hangs(bench: &Bench) -> Result<()> {
    let report = bench.boot("self-test-hangs", &["sleep", "1000"], "", PATIENCE)?;
    expect(&report, "timed out during self-test")
}

fn expect(report: &Report, expected: &str) -> Result<()> {
    match &report.failure {
        Some(failure) if failure.contains(expected) => Ok(()),
        failure => bail!("seen as {failure:?}"),
    }
}
