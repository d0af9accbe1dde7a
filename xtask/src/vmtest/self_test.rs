//! Machines that must fail: else passing would mean nothing.

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
/// How long one that hangs is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const MEMORY: u32 = 512;

/// Boots a machine and sees whether it failed as it had to.
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

/// Runs them all at once, as they wait most of their time; returns each one's name and
/// how it went.
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
    /// Boots a machine that is called so.
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
    match report.trouble {
        None if outcomes == [&expected] => Ok(()),
        trouble => bail!("seen as {outcomes:?}, {trouble:?}"),
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
    match &report.trouble {
        Some(trouble) if trouble.contains(expected) => Ok(()),
        trouble => bail!("seen as {trouble:?}"),
    }
}
