//! A command that runs while its packets are traced.
use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

/// What shells return for a program that is not there, and for one that cannot be run (POSIX).
const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;
/// What shells add to the number of the signal that ended a program.
const SIGNALLED: i32 = 128;

/// A command to run, on a thread that keeps the privileges that podtrace started with, so that
/// the command has them too.
pub(crate) struct Workload {
    start: mpsc::Sender<()>,
    started: oneshot::Receiver<io::Result<()>>,
    ended: oneshot::Receiver<io::Result<ExitStatus>>,
    is_started: bool,
}

impl Workload {
    /// Prepares to run a program with its arguments, which prints to `stdout`. Call it before privileges are given up.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn prepare(
        program: OsString,
        arguments: &[OsString],
        stdout: Stdio,
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdout(stdout);
        let (start, told) = mpsc::channel();
        let (start_sender, started) = oneshot::channel();
        let (sender, ended) = oneshot::channel();
        thread::Builder::new()
            .name("workload".into())
            .spawn(move || {
                // Nobody starts it if the trace ends first.
                if told.recv().is_err() {
                    return;
                }
                match command.spawn() {
                    Ok(mut child) => {
                        drop(start_sender.send(Ok(())));
                        drop(sender.send(child.wait()));
                    }
                    Err(error) => drop(start_sender.send(Err(error))),
                }
            })?;
        Ok(Self {
            start,
            started,
            ended,
            is_started: false,
        })
    }

    /// Starts the command.
    ///
    /// # Errors
    /// When it cannot be run.
    pub(crate) async fn start(&mut self) -> io::Result<()> {
        // The thread waits for it.
        let _ = self.start.send(());
        self.is_started = true;
        (&mut self.started).await.unwrap_or_else(|_| Err(ended()))
    }

    /// How the command ended; none if it was never started, or takes longer.
    pub(crate) async fn end_within(&mut self, limit: Duration) -> Option<io::Result<ExitStatus>> {
        if !self.is_started {
            return None;
        }
        timeout(limit, self.end()).await.ok()
    }

    /// Waits for the end of a started command.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(crate) async fn end(&mut self) -> io::Result<ExitStatus> {
        (&mut self.ended).await.unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> io::Error {
    io::Error::other("its thread ended")
}

/// The exit code that stands for how a command ended, as in a shell.
pub(crate) fn exit_code(ended: &io::Result<ExitStatus>) -> u8 {
    match ended {
        Ok(status) => {
            let signalled = status.signal().map(|signal| SIGNALLED + signal);
            let code = status.code().or(signalled).unwrap_or_default();
            u8::try_from(code).unwrap_or(u8::MAX)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => NOT_FOUND,
        Err(_) => NOT_RUNNABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn code_of(command: &[&str]) -> u8 {
        let (program, arguments) = command.split_first().unwrap();
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        let mut workload = Workload::prepare(program.into(), &arguments, Stdio::inherit()).unwrap();
        let ended = match workload.start().await {
            Ok(()) => workload.end().await,
            Err(error) => Err(error),
        };
        exit_code(&ended)
    }

    #[tokio::test]
    async fn exit_codes_are_those_of_a_shell() {
        assert_eq!(code_of(&["true"]).await, 0);
        assert_eq!(code_of(&["sh", "-c", "exit 7"]).await, 7);
        assert_eq!(code_of(&["sh", "-c", "kill -TERM $$"]).await, 143);
        assert_eq!(code_of(&["/nonexistent/program"]).await, NOT_FOUND);
        assert_eq!(code_of(&["/"]).await, NOT_RUNNABLE);
    }

    #[tokio::test]
    async fn command_prints_where_it_is_told_to() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stdout = Stdio::from(file.reopen().unwrap());
        let mut workload = Workload::prepare("echo".into(), &["x".into()], stdout).unwrap();
        workload.start().await.unwrap();
        workload.end().await.unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "x\n");
    }

    #[test]
    fn nothing_runs_that_is_not_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        drop(Workload::prepare("touch".into(), &[file.clone().into()], Stdio::inherit()).unwrap());
        assert!(!file.exists());
    }
}
