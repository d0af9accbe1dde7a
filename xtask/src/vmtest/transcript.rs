//! The output of a machine, and its results.

use std::fmt;

use super::qemu::Ended;

/// The prefix of lines of `vm-init`, among those of the commands.
const INIT: &str = "vm-init: ";
/// The prefix of lines with a feature of the kernel.
const FEATURE: &str = "feature: ";
/// qemu's exit code if `vm-init` found everything in order.
const PASSED: i32 = 33;
/// qemu's exit code if `vm-init` found a failure.
const FAILED: i32 = 39;
/// Messages of a kernel that show a fault of it.
const COMPLAINTS: &[&str] = &[
    "Kernel panic",
    "cut here",
    "BUG:",
    "Oops",
    "detected stall",
    "self-detected stall",
    "soft lockup",
    "blocked for more than",
    "verifier bug",
];

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// The way it ended.
    Failed(String),
    /// The reason.
    Skipped(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("ok"),
            Self::Failed(how) => write!(f, "FAILED: {how}"),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// A check that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// `1.2 s`
    pub(super) took: String,
    /// Its output.
    pub(super) output: Vec<String>,
}

/// Parses the output of the second serial port.
#[derive(Default)]
pub(super) struct Transcript {
    pub(super) checked: Vec<Checked>,
    /// The running check, and its output so far.
    running: Option<(String, Vec<String>)>,
    /// The final result of vm-init.
    passed: Option<bool>,
    /// The error of vm-init.
    error: Option<String>,
}

impl Transcript {
    /// Parses a line; returns the check that it ends.
    pub(super) fn line(&mut self, line: &str) -> Option<&Checked> {
        let Some(message) = line.strip_prefix(INIT) else {
            if let Some((_name, output)) = &mut self.running {
                output.push(line.to_owned());
            }
            return None;
        };
        if let Some(name) = message.strip_prefix("begin ") {
            self.running = Some((name.to_owned(), Vec::new()));
        } else if let Some(error) = message.strip_prefix("error: ") {
            self.error = Some(error.to_owned());
        } else if let Some(ended) = message.strip_prefix("end ") {
            let (name, output) = self.running.take()?;
            let ended = ended.strip_prefix(&name)?.strip_prefix(": ")?;
            self.checked.push(checked(name, output, ended));
            return self.checked.last();
        } else if message == "passed" || message == "failed" {
            self.passed = Some(message == "passed");
        }
        None
    }

    /// The outcome of a check; one that did not end has failed.
    pub(super) fn outcome(&self, name: &str) -> Outcome {
        let mut checked = self.checked.iter();
        let found = checked.find(|checked| checked.name == name);
        let did_not_end = || Outcome::Failed("did not end".to_owned());
        found.map_or_else(did_not_end, |checked| checked.outcome.clone())
    }

    /// The features of the kernel that the checks printed, as `feature: NAME: VALUE`.
    pub(super) fn features(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.checked.iter().flat_map(|checked| &checked.output);
        lines.filter_map(|line| line.strip_prefix(FEATURE)?.split_once(": "))
    }

    /// The failure of the machine itself, if there is one. `console` is its kernel's output.
    pub(super) fn failure(&self, ended: Ended, console: &str) -> Option<String> {
        let complaint = console
            .lines()
            .find(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)));
        let end = match (ended, self.passed) {
            (Ended::Exit(PASSED), Some(true)) | (Ended::Exit(FAILED), Some(false)) => None,
            (Ended::Exit(code), _) => Some(format!("qemu exited with {code}")),
            (Ended::Killed, _) => Some("qemu was killed".to_owned()),
            (Ended::TimedOut, _) => Some("timed out".to_owned()),
        };
        let during = match &self.running {
            Some((name, _output)) => format!(" during {name}"),
            None => String::new(),
        };
        match (end, complaint) {
            (None, None) => self.error.clone(),
            (None, Some(complaint)) => Some(format!("its kernel said: {}", complaint.trim())),
            (Some(end), None) => Some(format!("{end}{during}")),
            (Some(end), Some(complaint)) => Some(format!("{end}{during}: {}", complaint.trim())),
        }
    }
}

fn checked(name: String, output: Vec<String>, ended: &str) -> Checked {
    let (end, took) = ended.rsplit_once(" in ").unwrap_or((ended, "?"));
    let skipped = output
        .iter()
        .find_map(|line| line.strip_prefix("skipped: "));
    let outcome = match skipped {
        _ if end != "exit 0" => Outcome::Failed(end.to_owned()),
        Some(why) => Outcome::Skipped(why.to_owned()),
        None => Outcome::Passed,
    };
    Checked {
        name,
        outcome,
        took: took.to_owned(),
        output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(lines: &str) -> Transcript {
        let mut transcript = Transcript::default();
        for line in lines.lines() {
            transcript.line(line);
        }
        transcript
    }

    const WELL: &str = "\
vm-init: kernel 6.1.0-56-cloud-amd64
vm-init: begin demo
30 packets · 30 delivered
vm-init: end demo: exit 0 in 7.8 s
vm-init: passed";

    #[test]
    fn lines_between_begin_and_end_form_a_check() {
        let expected = Checked {
            name: "demo".to_owned(),
            outcome: Outcome::Passed,
            took: "7.8 s".to_owned(),
            output: vec!["30 packets · 30 delivered".to_owned()],
        };
        assert_eq!(transcript(WELL).checked, [expected]);
    }

    #[test]
    fn check_that_fails_or_cannot_run_does_not_pass() {
        let outcome = |output: &str, end: &str| {
            let lines = format!("vm-init: begin a::b\n{output}\nvm-init: end a::b: {end} in 0.1 s");
            transcript(&lines).checked.remove(0).outcome
        };
        assert_eq!(outcome("", "exit 0"), Outcome::Passed);
        let skipped = Outcome::Skipped("no tshark".to_owned());
        assert_eq!(outcome("skipped: no tshark", "exit 0"), skipped);
        for end in ["exit 101", "timed out", "killed by SIGSEGV"] {
            let failed = Outcome::Failed(end.to_owned());
            assert_eq!(outcome("skipped: no tshark", end), failed);
        }
    }

    #[test]
    fn machine_passes_only_with_exit_code_and_word() {
        let well = transcript(WELL);
        assert_eq!(well.failure(Ended::Exit(PASSED), ""), None);
        // A panic ends qemu with 0.
        for ended in [
            Ended::Exit(0),
            Ended::Exit(1),
            Ended::Exit(FAILED),
            Ended::Killed,
            Ended::TimedOut,
        ] {
            assert!(well.failure(ended, "").is_some(), "{ended:?}");
        }
        let silent = Transcript::default();
        assert!(silent.failure(Ended::Exit(PASSED), "").is_some());
        let failed = transcript("vm-init: failed");
        assert_eq!(failed.failure(Ended::Exit(FAILED), ""), None);
        let error = transcript("vm-init: error: load x\nvm-init: failed");
        assert_eq!(
            error.failure(Ended::Exit(FAILED), ""),
            Some("load x".to_owned())
        );
    }

    #[test]
    fn kernel_complaint_is_a_failure() {
        let well = transcript(WELL);
        for line in [
            "[ 1.0] ------------[ cut here ]------------",
            "[ 9.9] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[ 9.9] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!",
        ] {
            let expected = Some(format!("its kernel said: {line}"));
            assert_eq!(well.failure(Ended::Exit(PASSED), line), expected);
        }
        let harmless = "[ 0.1] RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable";
        assert_eq!(well.failure(Ended::Exit(PASSED), harmless), None);
    }

    #[test]
    fn machine_that_hangs_is_said_to_hang_where_it_does() {
        let hung = transcript("vm-init: begin cases::lab::a");
        let expected = Some("timed out during cases::lab::a".to_owned());
        assert_eq!(hung.failure(Ended::TimedOut, ""), expected);
    }
}
