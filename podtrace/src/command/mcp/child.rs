//! Runs podtrace for an answer, in a process of its own: what it takes ends with it.
use std::{
    env,
    ffi::OsString,
    io::Read as _,
    ops::ControlFlow,
    os::{fd::AsFd as _, unix::process::ExitStatusExt as _},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    signals::Stop,
    text::{
        said::{LastWords, message},
        sanitize::sanitize,
    },
};

/// Bytes that are taken at a time.
const CHUNK: usize = 64 << 10;
/// Bytes that are kept of what it says.
const WORDS_MAX: usize = 16 << 10;
/// How long it may take to end once it was asked to, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// The exit statuses of a podtrace that has answered: fine, a problem, unknown, events were lost.
const ANSWERED: [i32; 4] = [0, 1, 3, 4];

/// Runs podtrace, and hands on what it writes, until it ends or that is enough.
///
/// # Errors
/// When it cannot be run, or was to end before.
pub(super) fn run(
    arguments: &[OsString],
    stop: &Stop,
    mut take: impl FnMut(&[u8]) -> anyhow::Result<ControlFlow<()>>,
) -> anyhow::Result<Ended> {
    let program = env::current_exe().context("failed to find podtrace")?;
    let mut command = Command::new(program);
    command.arg("--no-config").args(arguments);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().context("failed to run podtrace")?);
    let child = &mut running.0;
    let (output, words) = (child.stdout.take(), child.stderr.take());
    let mut output = output.context("podtrace has no output")?;
    let words = words.context("podtrace has no words")?;
    let words = thread::spawn(move || said(words));
    let mut chunk = vec![0; CHUNK];
    loop {
        if !stop.wait_for(output.as_fd())? {
            bail!(
                "there was no answer within the limit of time\nhint: ask for less, or restart podtrace \
                 mcp with a longer --timeout"
            );
        }
        let len = output.read(&mut chunk)?;
        let bytes = chunk.get(..len).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        if take(bytes)?.is_break() {
            return Ok(Ended::default());
        }
    }
    let status = running.0.wait()?;
    let words = words.join().unwrap_or_default();
    Ok(Ended {
        failure: failure(status, &words),
        notices: words.lines().filter_map(message).map(sanitize).collect(),
    })
}

/// How it has ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Why it failed, if it did.
    failure: Option<String>,
    /// What it has said.
    pub(super) notices: Vec<String>,
}

impl Ended {
    /// # Errors
    /// Its own words where it failed.
    pub(super) fn answered(self) -> anyhow::Result<()> {
        match self.failure {
            Some(words) => Err(anyhow!(words)),
            None => Ok(()),
        }
    }
}

/// Ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let Ok(None) = self.0.try_wait() else { return };
        if let Ok(pid) = i32::try_from(self.0.id()) {
            // It was not waited for, so the number is still its own.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let begun = Instant::now();
        while let Ok(None) = self.0.try_wait() {
            if begun.elapsed() > PATIENCE {
                // The kernel removes what it has attached.
                let _ = self.0.kill();
                let _ = self.0.wait();
            }
            thread::sleep(PAUSE);
        }
    }
}

/// The end of what it says.
fn said(mut words: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(len @ 1..) = words.read(&mut chunk) {
        kept.extend_from_slice(chunk.get(..len).unwrap_or_default());
        let excess = kept.len().saturating_sub(WORDS_MAX);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Why it failed, in its own words, if it did.
fn failure(status: ExitStatus, words: &str) -> Option<String> {
    if let Some(signal) = status.signal() {
        return Some(format!(
            "podtrace was ended by signal {signal}: perhaps the question takes more memory than \
             there is\nhint: ask for less, by time or by pod"
        ));
    }
    if status.code().is_some_and(|code| ANSWERED.contains(&code)) {
        return None;
    }
    let lines: Vec<_> = words.trim().lines().map(sanitize).collect();
    if lines.is_empty() {
        return Some(format!(
            "podtrace has answered a part, and ended with {status}"
        ));
    }
    let mut last = LastWords::default();
    lines.iter().for_each(|line| last.take(line));
    Some(last.in_words().unwrap_or_else(|| lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_last_error_is_told() {
        let status = |code: i32| ExitStatus::from_raw(code << 8);
        let words = "podtrace: a notice\npodtrace: no table\x1b x\nhint: there is hops\n";
        let told = failure(status(2), words).unwrap();
        assert_eq!(told, "no table\u{fffd} x\nhint: there is hops");
        for fine in ANSWERED {
            assert_eq!(failure(status(fine), words), None);
        }
        for cut_short in [101, 130] {
            let told = failure(status(cut_short), "").unwrap();
            assert!(told.contains("a part"), "{told}");
        }
        let killed = failure(ExitStatus::from_raw(6), "").unwrap();
        assert!(killed.contains("signal 6") && killed.contains("hint"));
    }
}
