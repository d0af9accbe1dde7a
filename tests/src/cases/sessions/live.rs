//! A podtrace that runs beside the test, and its output so far.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podtrace::lab::Lab;
use tempfile::NamedTempFile;

use crate::cases::tracer::{ALL_TRACED, Process, interrupt, podtrace, trace_nodes};

/// The deadline of every wait for its output.
const DEADLINE: Duration = Duration::from_secs(30);

/// A process that has printed its first line, and has all its taps if it traces.
pub(super) struct Live {
    child: Process,
    lines: Receiver<String>,
    /// The output read while waiting.
    passed: Vec<String>,
    _table: Option<NamedTempFile>,
}

impl Live {
    /// Runs `podtrace` with the arguments on nodes of a lab.
    pub(super) fn on<A: AsRef<OsStr>>(lab: &Lab, nodes: &[usize], args: &[A]) -> Self {
        let mut command = podtrace();
        command.args(args).args(["--duration", "90s"]);
        let table = trace_nodes(&mut command, lab, nodes);
        for node in nodes {
            command.args(["--node-name", &lab.nodes[*node].name]);
        }
        let mut live = Self::spawn(command);
        live._table = Some(table);
        live
    }

    /// Runs a command until its first line, and until all interfaces have taps if it reports
    /// that some have not.
    pub(super) fn spawn(mut command: Command) -> Self {
        let mut child = Process::spawn(command.stdout(Stdio::piped()));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut live = Self {
            child,
            lines,
            passed: Vec::new(),
            _table: None,
        };
        let first = live.wait_for(|_| true);
        let is_part = first.starts_with("podtrace on ") && first.contains(" of ");
        if is_part || first.contains("\"attaching\":") {
            live.wait_for(|line| line.contains(ALL_TRACED));
        }
        live
    }

    /// Reads until a line matches, and returns it; panics at the end of the output and after a
    /// deadline.
    pub(super) fn wait_for(&mut self, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let last = self.passed.iter().rev().take(5);
                panic!(
                    "no line fits; the last ones: {:#?}",
                    last.collect::<Vec<_>>()
                );
            };
            self.passed.push(line.clone());
            if fits(&line) {
                return line;
            }
        }
    }

    /// Interrupts it; returns its lines.
    pub(super) fn finish(self) -> Vec<String> {
        interrupt(&self.child);
        let (status, lines) = self.end();
        assert!(status.success(), "{status}: {}", tail(&lines));
        lines
    }

    /// Interrupts it; returns its status and its lines.
    pub(super) fn stop(self) -> (ExitStatus, Vec<String>) {
        interrupt(&self.child);
        self.end()
    }

    /// Sends SIGHUP.
    pub(super) fn send_hangup(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, Signal::SIGHUP).unwrap();
    }

    /// Sends SIGHUP; returns its status and its lines.
    pub(super) fn hang_up(self) -> (ExitStatus, Vec<String>) {
        self.send_hangup();
        self.end()
    }

    /// Sends SIGKILL; returns its lines.
    pub(super) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.end().1
    }

    /// Waits for its end.
    pub(super) fn end(mut self) -> (ExitStatus, Vec<String>) {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = std::mem::take(&mut self.passed);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it does not end: {}", tail(&lines));
            match self.lines.recv_timeout(left) {
                Ok(line) => lines.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        (self.child.wait().unwrap(), lines)
    }
}

/// The last lines, for a message.
pub(super) fn tail<L: Debug>(lines: &[L]) -> String {
    format!("{:#?}", &lines[lines.len().saturating_sub(8)..])
}
