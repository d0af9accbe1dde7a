//! `cargo xtask fuzz`: searches for inputs that break podtrace.

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    artifact,
    cmd::{Workspace, run as run_command, step},
    setup,
};

/// The kept inputs, a folder for each target.
const CORPUS: &str = "podtrace/fuzz/corpus";
/// Inputs of each target in CI, in addition to the kept ones: some seconds.
const CI_RUNS: u64 = 5_000;
/// Upper bound of a target's time in CI on a slow machine.
const CI_SECONDS: u64 = 8;

/// The targets to run, and the duration.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run these targets only: the names of the folders in podtrace/fuzz/corpus
    targets: Vec<String>,
    /// How long, for all targets together: 90s, 10m, 1h
    #[arg(long = "for", value_name = "TIME", default_value = "7m", value_parser = time)]
    duration: Duration,
    /// Afterwards, keep what reaches more code than the kept inputs: it is added to
    /// podtrace/fuzz/corpus
    #[arg(long)]
    keep: bool,
}

/// Searches for new inputs for a time; the next run continues from those in target/fuzz.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let targets = targets(workspace, &args.targets)?;
    let fuzzer = Fuzzer::build(workspace, false)?;
    let share = args.duration.as_secs() / targets.len() as u64;
    let limit = format!("-max_total_time={}", share.max(1));
    for target in &targets {
        step(&format!("fuzz {target}"), || {
            fuzzer.search(target, std::slice::from_ref(&limit))
        })?;
        if args.keep {
            step(&format!("keep inputs of {target}"), || fuzzer.keep(target))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Tries each target with a fixed number of inputs, which are the same in every run.
pub(crate) fn bounded(workspace: &Workspace) -> Result<()> {
    let fuzzer = Fuzzer::build(workspace, true)?;
    let limits = [
        "-seed=1".to_owned(),
        format!("-runs={CI_RUNS}"),
        format!("-max_total_time={CI_SECONDS}"),
    ];
    for target in targets(workspace, &[])? {
        step(&format!("fuzz {target}"), || {
            fuzzer.try_some(&target, &limits)
        })?;
    }
    Ok(())
}

/// The targets of these names, or all.
fn targets(workspace: &Workspace, names: &[String]) -> Result<Vec<String>> {
    let corpus = workspace.root().join(CORPUS);
    let mut all = Vec::new();
    for entry in fs::read_dir(&corpus).with_context(|| format!("cannot list {CORPUS}"))? {
        all.push(entry?.file_name().to_string_lossy().into_owned());
    }
    all.sort();
    if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
        bail!("no target {unknown}: there is {}", all.join(", "));
    }
    Ok(if names.is_empty() {
        all
    } else {
        names.to_vec()
    })
}

/// The program and its directories.
struct Fuzzer {
    program: PathBuf,
    corpus: PathBuf,
    /// The output of runs.
    found: PathBuf,
}

impl Fuzzer {
    fn build(workspace: &Workspace, is_short: bool) -> Result<Self> {
        setup::for_fuzz(workspace)?;
        Ok(Self {
            program: step("build the fuzz targets", || {
                artifact::fuzz(workspace, is_short)
            })?,
            corpus: workspace.root().join(CORPUS),
            found: workspace.root().join("target").join("fuzz"),
        })
    }

    /// Continues from the kept inputs and those of earlier runs.
    fn search(&self, target: &str, limits: &[String]) -> Result<()> {
        let inputs = self.found.join("corpus").join(target);
        fs::create_dir_all(&inputs)?;
        let mut command = self.command(target)?;
        command.args(limits).arg(inputs);
        self.run(command.arg(self.corpus.join(target)), target)
    }

    /// Continues from the kept inputs, and discards what it finds.
    fn try_some(&self, target: &str, limits: &[String]) -> Result<()> {
        let mut command = self.command(target)?;
        command
            .args(limits)
            .args(["-verbosity=0", "-print_final_stats=1"]);
        // libFuzzer writes to the first folder.
        let scratch = self.found.join("scratch");
        if scratch.exists() {
            fs::remove_dir_all(&scratch)?;
        }
        fs::create_dir_all(&scratch)?;
        self.run(command.arg(scratch).arg(self.corpus.join(target)), target)
    }

    /// Adds the inputs that reach code which no kept input reaches.
    fn keep(&self, target: &str) -> Result<()> {
        let mut command = self.command(target)?;
        // Keeps few and short inputs: a set that together reaches the code, however often.
        command.args(["-set_cover_merge=1", "-use_counters=0", "-max_len=1024"]);
        command.arg(self.corpus.join(target));
        run_command(command.arg(self.found.join("corpus").join(target)))
    }

    fn command(&self, target: &str) -> Result<Command> {
        let findings = self.findings(target);
        fs::create_dir_all(&findings)?;
        let mut command = Command::new(&self.program);
        command.env("PODTRACE_FUZZ_TARGET", target);
        command.args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]);
        command.arg(format!("-artifact_prefix={}/", findings.display()));
        Ok(command)
    }

    fn findings(&self, target: &str) -> PathBuf {
        self.found.join("findings").join(target)
    }

    /// A finding is an error with the next steps.
    fn run(&self, command: &mut Command, target: &str) -> Result<()> {
        run_command(command).with_context(|| {
            let findings = self.findings(target);
            format!(
                "{target} has found an input that fails, in {}: mend the fault, and add the \
                 input to {CORPUS}/{target}",
                findings.display()
            )
        })
    }
}

/// `90s`, `10m` or `1h`.
fn time(text: &str) -> Result<Duration> {
    const FORM: &str = "a time is a number with s, m or h: 90s, 10m, 1h";
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let found = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (number, seconds) = found.context(FORM)?;
    let number: u64 = number.parse().context(FORM)?;
    Ok(Duration::from_secs(number.saturating_mul(*seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        let seconds = |text| time(text).ok().map(|time| time.as_secs());
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("10m"), Some(600));
        assert_eq!(seconds("1h"), Some(3600));
        for bad in ["", "h", "10", "1ü", "-1s", "1.5h"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
