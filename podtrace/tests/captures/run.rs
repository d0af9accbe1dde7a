//! Runs the program on captures, and reads its output.
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A directory of captures.
pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn add(&self, name: &str, bytes: &[u8]) -> &Self {
        fs::write(self.path(name), bytes).unwrap();
        self
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
        let command_line = command.args(args).current_dir(self.0.path());
        command_line.env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> RunOutput {
        RunOutput::of(self.command(args).output().unwrap())
    }

    /// The lines of JSON of a replay that goes well.
    pub(crate) fn json(&self, args: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["replay", "-o", "json"], args].concat());
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.json()
    }
}

/// The output of a command, and its exit code.
#[derive(Debug)]
pub(crate) struct RunOutput {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl RunOutput {
    /// The lines of JSON that it printed.
    pub(crate) fn json(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn of(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code(),
        }
    }

    #[track_caller]
    pub(crate) fn refuses(&self, words: &str) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(
            self.stdout.is_empty() && self.stderr.contains(words),
            "{self:?}"
        );
    }
}

/// The objects of a type.
pub(crate) fn of_type<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == name).collect()
}

pub(crate) fn notices(lines: &[Value]) -> Vec<&str> {
    let notices = of_type(lines, "notice").into_iter();
    notices
        .map(|notice| notice["text"].as_str().unwrap())
        .collect()
}

/// The counts of packets and of events in the summary.
pub(crate) fn counts(lines: &[Value]) -> (u64, u64) {
    let summary = of_type(lines, "summary")[0];
    let number = |value: &Value| value.as_u64().unwrap();
    (
        number(&summary["packets"]),
        number(&summary["total"]["seen"]),
    )
}
