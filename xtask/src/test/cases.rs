//! The end-to-end cases: those of a file run one after the other in a process of their own,
//! several files at once.
//!
//! A case watches namespaces that it created, and waits for the kernel most of the time, so
//! that cases hardly disturb each other. A process for each file separates its open files,
//! children, and names of labs. The cases of a file share what is slow to make, such as a
//! recording.

use std::{
    collections::{BTreeMap, VecDeque},
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    cmd::{Root, show},
    report::{Count, Reader},
};

/// How many files run at once.
const AT_ONCE: usize = 3;
/// Upper bound of the time of a file's cases, in seconds.
const LIMIT: &str = "300";
/// Files whose cases run alone, and why.
const ALONE: &[&str] = &[
    // Each start of podtrace removes the filters that dead ones have left.
    "cases::killed",
    "cases::killed::moments",
    // What the floods of others drop takes the room of their drops.
    "cases::faults",
    // They flood both CPUs.
    "cases::sessions::overload",
    "cases::sessions::restraint",
];

/// The end-to-end cases and how they are run.
pub(super) struct Suite<'a> {
    pub(super) root: Root,
    pub(super) binary: &'a Path,
    /// The package's folder, where cargo would run them.
    pub(super) package: &'a Path,
    /// Variables by which the cases find other programs.
    pub(super) variables: &'a [(&'a str, &'a OsStr)],
    /// The directory of the output of each file's cases.
    pub(super) logs: &'a Path,
}

/// The cases of one file, by their full names.
struct File {
    name: String,
    cases: Vec<String>,
}

impl Suite<'_> {
    /// Runs all cases, and prints the result and the time of each.
    pub(super) fn run(&self, cases: Vec<String>) -> Result<Count> {
        fs::create_dir_all(self.logs)
            .with_context(|| format!("cannot make {}", self.logs.display()))?;
        let (alone, together): (Vec<_>, Vec<_>) = files(cases)
            .into_iter()
            .partition(|file| ALONE.contains(&file.name.as_str()));
        let mut total = self.run_files(together, AT_ONCE)?;
        total.add(self.run_files(alone, 1)?);
        println!("the cases' output is in {}", self.logs.display());
        Ok(total)
    }

    /// Runs files, `at_once` at a time.
    fn run_files(&self, files: Vec<File>, at_once: usize) -> Result<Count> {
        let files = Mutex::new(VecDeque::from(files));
        let next = || {
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.pop_front()
        };
        let work = || -> Result<Count> {
            let mut count = Count::default();
            while let Some(file) = next() {
                count.add(self.run_file(&file)?);
            }
            Ok(count)
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
            let mut total = Count::default();
            for worker in workers {
                match worker.join() {
                    Ok(count) => total.add(count?),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(total)
        })
    }

    /// Runs the cases of a file; what they print goes to its log. If they end without a result, one has failed.
    fn run_file(&self, file: &File) -> Result<Count> {
        let mut command = self.command(file);
        // What programs say meanwhile is of use only where a case fails.
        let log = self.log(file);
        let cannot_write = || format!("cannot write {}", log.display());
        let said = fs::File::create(&log).with_context(cannot_write)?;
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .with_context(|| format!("cannot run {}", show(&command)))?;
        let stdout = child.stdout.take().context("it has no stdout")?;
        let (mut reader, mut output) = (Reader::default(), String::new());
        let mut started = Instant::now();
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| format!("cannot read what {} says", file.name))?;
            let line = String::from_utf8_lossy(&line);
            reader.line(&line);
            if let Some((case, how)) = ended(&line) {
                println!("{case}: {how} in {:.1} s", started.elapsed().as_secs_f64());
                started = Instant::now();
            }
            output.push_str(&line);
            output.push('\n');
        }
        let status = child.wait()?;
        let said = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
        output.push_str(&String::from_utf8_lossy(&said));
        fs::write(&log, &output).with_context(cannot_write)?;
        for reason in reader.reasons() {
            println!("{}: skipped: {reason}", file.name);
        }
        let mut count = reader.count();
        if !status.success() {
            // In one write, as others write too.
            println!("{output}{}: failed: {status}", file.name);
            count.failed = count.failed.max(1);
        }
        Ok(count)
    }

    fn command(&self, file: &File) -> Command {
        // As root: the user who started it may not kill it.
        let mut command = self.root.command("timeout", self.variables);
        command
            .args(["--kill-after=5", LIMIT])
            .arg(self.binary)
            // Not --nocapture: it would glue a test's first line to libtest's
            // "test name ... ".
            .args(["--test-threads=1", "--show-output", "--exact"])
            .args(&file.cases)
            .current_dir(self.package);
        command
    }

    fn log(&self, file: &File) -> PathBuf {
        let name = file.name.replace("::", ".");
        self.logs.join(format!("{name}.log"))
    }
}

/// The names of the tests in a binary; listing them needs no root.
pub(crate) fn cases(binary: &Path) -> Result<Vec<String>> {
    let mut command = Command::new(binary);
    command.args(["--list", "--format=terse"]);
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", show(&command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", show(&command), output.status);
    }
    let names = String::from_utf8_lossy(&output.stdout);
    let names = names.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

/// The cases with one of these parts in their names; all if there are no parts.
pub(crate) fn named(mut cases: Vec<String>, parts: &[String]) -> Result<Vec<String>> {
    let is_named = |case: &String| parts.iter().any(|part| case.contains(part.as_str()));
    cases.retain(|case| parts.is_empty() || is_named(case));
    if cases.is_empty() {
        bail!("no test has {} in its name", parts.join(" or "));
    }
    Ok(cases)
}

/// Cases by their files; the files with most cases come first, as they take longest.
fn files(cases: Vec<String>) -> Vec<File> {
    let mut files = BTreeMap::<String, Vec<String>>::new();
    for case in cases {
        let (file, _case) = case.rsplit_once("::").unwrap_or(("", &case));
        files.entry(file.to_owned()).or_default().push(case);
    }
    let files = files.into_iter().map(|(name, cases)| File { name, cases });
    let mut files: Vec<_> = files.collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.cases.len()));
    files
}

/// The case and its result, in `test a::b ... ok`.
fn ended(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.split_once(" ... ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_run_by_file_and_the_fullest_comes_first() {
        let cases = ["a::x", "b::c::x", "b::c::y", "b::x"].map(str::to_owned);
        let files = files(cases.to_vec());
        let files: Vec<_> = files
            .iter()
            .map(|file| (file.name.as_str(), file.cases.len()))
            .collect();
        assert_eq!(files, [("b::c", 2), ("a", 1), ("b", 1)]);
    }

    #[test]
    fn ends_of_cases_are_recognised_among_other_lines() {
        assert_eq!(ended("test a::b ... ok"), Some(("a::b", "ok")));
        assert_eq!(ended("test a ... FAILED"), Some(("a", "FAILED")));
        assert_eq!(ended("test result: ok. 1 passed"), None);
        assert_eq!(ended("running 3 tests"), None);
    }

    #[test]
    fn named_cases_contain_one_of_the_parts() {
        let cases = || ["a::x", "b::x", "b::y"].map(str::to_owned).to_vec();
        let parts = |parts: &[&str]| parts.iter().copied().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(named(cases(), &parts(&["x"])).unwrap(), ["a::x", "b::x"]);
        assert_eq!(
            named(cases(), &parts(&["a::", "y"])).unwrap(),
            ["a::x", "b::y"]
        );
        assert_eq!(named(cases(), &[]).unwrap(), cases());
        assert!(named(cases(), &parts(&["z"])).is_err());
    }
}
