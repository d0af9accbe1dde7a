//! Machines that must fail: else passing would mean nothing.

use std::{path::Path, time::Duration};

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

/// Runs them all; returns each one's name and how it went.
pub(super) fn run(runner: &Runner, kernel: &Kernel, init: &Path) -> Vec<(&'static str, Outcome)> {
    let bench = Bench {
        runner,
        kernel,
        init,
    };
    let run = |(name, test): (_, Test)| match test(&bench) {
        Ok(()) => (name, Outcome::Passed),
        Err(error) => (name, Outcome::Failed(format!("{error:#}"))),
    };
    TESTS.into_iter().map(run).collect()
}

impl Bench<'_> {
    fn boot(&self, words: &[&str], parameters: &str, limit: Duration) -> Result<Report> {
        let mut image = Image::new(self.init)?;
        for program in ["false", "sleep"] {
            image.program(program)?;
        }
        let job = Job {
            name: "self-test",
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
    let report = bench.boot(&["false"], "", LIMIT)?;
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
    let report = bench.boot(&["false"], "rdinit=/usr/bin/false", LIMIT)?;
    expect(&report, "Kernel panic")
}

fn hangs(bench: &Bench) -> Result<()> {
    let report = bench.boot(&["sleep", "1000"], "", PATIENCE)?;
    expect(&report, "timed out during self-test")
}

fn expect(report: &Report, expected: &str) -> Result<()> {
    match &report.trouble {
        Some(trouble) if trouble.contains(expected) => Ok(()),
        trouble => bail!("seen as {trouble:?}"),
    }
}
