//! Reads libtest's output while it passes through, and counts the tests.

use std::{
    fmt,
    io::{self, BufReader, Write as _},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::cmd::show;

/// The results of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Count {
    /// Adds another run's count.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Adds up one stream of libtest output, line by line.
///
/// A test that finds it cannot run prints `skipped: <reason>` and returns, so
/// libtest calls it passed; here it counts as skipped only. Such lines come
/// with `--show-output`, below the test's `---- name stdout ----`.
#[derive(Default)]
pub(crate) struct Reader {
    count: Count,
    /// Skipped tests of the current binary; its result line comes last.
    skipped: u64,
    /// The reasons for skipping.
    reasons: Vec<String>,
    section: Section,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Section {
    /// Output that cannot have a skipped test: the list of tests, a failed test's output, or
    /// the rest of a skipped test's.
    #[default]
    Other,
    /// The output of a passed test.
    Output,
    /// The outputs of failed tests.
    Failures,
}

impl Reader {
    /// The count so far.
    pub(crate) fn count(&self) -> Count {
        self.count
    }

    /// The reasons for skipping, in the tests' own words.
    pub(crate) fn reasons(&self) -> &[String] {
        &self.reasons
    }

    /// Takes the next line.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let ignored = field(result, "ignored");
            let passed = field(result, "passed");
            let skipped = self.skipped.min(passed);
            self.count.add(Count {
                passed: passed - skipped,
                failed: field(result, "failed"),
                skipped: skipped + ignored,
            });
            self.skipped = 0;
            self.section = Section::Other;
        } else if line == "failures:" {
            self.section = Section::Failures;
        } else if self.section != Section::Failures && is_heading(line) {
            self.section = Section::Output;
        } else if self.section == Section::Output
            && let Some(reason) = line.strip_prefix("skipped: ")
        {
            self.skipped += 1;
            self.reasons.push(reason.to_owned());
            self.section = Section::Other;
        }
    }
}

/// `---- name stdout ----`
fn is_heading(line: &str) -> bool {
    line.starts_with("---- ") && line.ends_with(" stdout ----")
}

/// The number before `name` in `ok. 3 passed; 0 failed; 1 ignored; …`
fn field(result: &str, name: &str) -> u64 {
    result
        .split([';', '.'])
        .filter_map(|part| part.trim().split_once(' '))
        .find(|(_number, label)| *label == name)
        .and_then(|(number, _label)| number.parse().ok())
        .unwrap_or(0)
}

/// Runs a command that prints libtest output: passes it through and counts.
///
/// A command that fails without a failed test (a compile error, or a kill) counts as one
/// failure.
pub(crate) fn run(command: &mut Command) -> Result<Count> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", show(command)))?;
    let mut reader = Reader::default();
    let read = child
        .stdout
        .take()
        .map_or(Ok(()), |stdout| stream(BufReader::new(stdout), &mut reader));
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for {}", show(command)))?;
    read.with_context(|| format!("cannot read what {} prints", show(command)))?;

    let mut count = reader.count;
    if !status.success() {
        eprintln!("{} failed: {status}", show(command));
        count.failed = count.failed.max(1);
    }
    Ok(count)
}

fn stream(mut from: impl io::BufRead, reader: &mut Reader) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let mut bytes = Vec::new();
    while from.read_until(b'\n', &mut bytes)? > 0 {
        stdout.write_all(&bytes)?;
        stdout.flush()?;
        reader.line(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Reader {
        let mut reader = Reader::default();
        output.lines().for_each(|line| reader.line(line));
        reader
    }

    #[test]
    fn binaries_are_summed() {
        let output = "\
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1.20s";
        let expected = Count {
            passed: 5,
            failed: 4,
            skipped: 1,
        };
        assert_eq!(read(output).count(), expected);
        assert_eq!(expected.to_string(), "5 passed, 4 failed, 1 skipped");
    }

    #[test]
    fn a_skipped_test_is_not_a_passed_one() {
        let output = "\
test a ... ok
test b ... ok
test c ... FAILED

successes:

---- a stdout ----
hello
skipped: no TCX on this kernel
skipped: said twice, still one test

---- b stdout ----
it was skipped: not at the line's start

successes:
    a
    b

failures:

---- c stdout ----
skipped: then failed all the same

failures:
    c

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s";
        let expected = Count {
            passed: 1,
            failed: 1,
            skipped: 1,
        };
        let reader = read(output);
        assert_eq!(reader.count(), expected);
        assert_eq!(reader.reasons(), ["no TCX on this kernel"]);
    }

    #[test]
    fn a_failed_command_never_counts_as_fine() -> Result<()> {
        assert_eq!(run(&mut Command::new("false"))?.failed, 1);
        Ok(())
    }
}
