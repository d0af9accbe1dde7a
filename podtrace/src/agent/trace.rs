//! The process that traces for a console.
use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, ChildStderr, ChildStdout, Command},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::text::{said::LastWords, sanitize::sanitize};

/// How long the process may take to end by itself once it was asked to.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to attach to all interfaces before what it traces by then is shown.
const BEGIN: Duration = Duration::from_secs(10);
/// What it says then, at the descriptor of `--ready-fd`.
const READY: &str = "ready";
/// Upper bound of a line of what the process says.
const LINE_MAX: usize = 1000;

/// The process that traces for a console. Dropping it ends it.
pub(super) struct Process {
    child: Option<Child>,
    /// The last error that it told.
    said: Option<JoinHandle<LastWords>>,
    /// Told once it traces all interfaces, dropped if it ends before.
    ready: Option<oneshot::Receiver<()>>,
}

impl Process {
    /// Starts it; its standard output is the session.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn start(program: &Path, arguments: &[OsString]) -> io::Result<(Self, ChildStdout)> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at the agent's terminal is for the agent.
            .process_group(0);
        let mut child = command.spawn()?;
        let missing = || io::Error::other("a pipe is missing");
        let session = child.stdout.take().ok_or_else(missing)?;
        let words = child.stderr.take().ok_or_else(missing)?;
        let (tell, ready) = oneshot::channel();
        Ok((
            Self {
                child: Some(child),
                said: Some(tokio::spawn(last_error(words, tell))),
                ready: Some(ready),
            },
            session,
        ))
    }

    /// Waits until it traces all interfaces, or has ended, but not for long.
    pub(super) async fn begin(&mut self) {
        if let Some(ready) = &mut self.ready {
            let _ = timeout(BEGIN, ready).await;
        }
    }

    /// Asks it to end as Ctrl-C does.
    pub(super) fn interrupt(&self) {
        signal(self.child.as_ref(), Signal::SIGINT);
    }

    /// Waits for its end, once its session has ended; returns why it failed, if it did.
    pub(super) async fn end(mut self) -> Option<String> {
        let Some(child) = &mut self.child else {
            return None;
        };
        let ended = match timeout(PATIENCE, child.wait()).await {
            Ok(ended) => ended,
            Err(_elapsed) => {
                // The kernel removes what it attached.
                drop(child.start_kill());
                child.wait().await
            }
        };
        self.child = None;
        let said = match self.said.take() {
            Some(said) => said.await.unwrap_or_default(),
            None => LastWords::default(),
        };
        match ended {
            Ok(status) if status.success() => None,
            Ok(status) => Some(why(status, said)),
            Err(error) => Some(error.to_string()),
        }
    }
}

impl Drop for Process {
    /// The console has left: nobody reads what is on its way.
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        signal(Some(&child), Signal::SIGTERM);
        tokio::spawn(async move {
            if timeout(PATIENCE, child.wait()).await.is_err() {
                drop(child.start_kill());
                let _ = child.wait().await;
            }
        });
    }
}

fn signal(child: Option<&Child>, signal: Signal) {
    let pid = child.and_then(Child::id);
    if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
        // It may have ended meanwhile; it was not waited for, so the number is still its own.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Why the process failed, in its own words.
fn why(status: ExitStatus, said: LastWords) -> String {
    if let Some(signal) = status.signal() {
        return format!("podtrace was ended there by signal {signal}");
    }
    let words = said.in_words();
    words.unwrap_or_else(|| format!("podtrace ended there with {status}"))
}

/// The last error that the process told, without its name.
async fn last_error(words: ChildStderr, ready: oneshot::Sender<()>) -> LastWords {
    let mut reader = BufReader::new(words);
    let mut kept = LastWords::default();
    let mut ready = Some(ready);
    while let Ok(Some(line)) = next_line(&mut reader).await {
        let line = String::from_utf8_lossy(&line);
        let line = sanitize(line.trim_end());
        if line == READY {
            // Its receiver waits for the first time only.
            let _ = ready.take().map(|ready| ready.send(()));
        }
        kept.take(&line);
    }
    kept
}

/// The next line, cut where it is too long; none at the end.
async fn next_line(reader: &mut BufReader<impl AsyncRead + Unpin>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let bytes = reader.fill_buf().await?;
        if bytes.is_empty() {
            return Ok((!line.is_empty()).then_some(line));
        }
        let end = memchr(bytes);
        let taken = end.map_or(bytes.len(), |end| end + 1);
        let room = LINE_MAX.saturating_sub(line.len());
        line.extend_from_slice(&bytes[..taken.min(room)]);
        reader.consume(taken);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}
