//! The test's end of a node's `lab-node`: PID 1 of the node, which executes the lines of its
//! standard input. It ends when that closes, so it cannot outlive us.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

/// The deadline of each answer of the node.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// The deadline of the node's end.
const END_DEADLINE: Duration = Duration::from_secs(10);
const END_POLL: Duration = Duration::from_millis(2);
/// How many lines of a log an error shows.
const TAIL: usize = 20;

/// A program of this package, by the variable that names it.
pub(super) fn program(variable: &str, name: &str) -> Result<OsString> {
    std::env::var_os(variable).ok_or_else(|| {
        anyhow!(
            "{variable} is not set: it names the {name} program, which `cargo xtask test` builds"
        )
    })
}

/// A running node, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Init {
    /// Waits outside the node's pid namespace for the node's PID 1.
    child: Child,
    talk: Mutex<Talk>,
    dir: PathBuf,
    /// The node's PID 1, as we see it.
    pub(super) pid: u32,
}

/// One command at a time, with its answer.
#[derive(Debug)]
struct Talk {
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Init {
    /// Starts a node called `name`, and returns when its namespaces exist. `dir` holds its
    /// files, `cgroup` is the path of its group below our own.
    pub(super) fn start(name: &str, dir: &Path, cgroup: &Path) -> Result<Self> {
        let program = program("PODTRACE_LAB_NODE", "lab-node")?;
        let mut child = Command::new(&program)
            .arg("run")
            .args([name.as_ref(), dir, cgroup])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.join("init.log"))?)
            .spawn()
            .with_context(|| format!("run {}", program.display()))?;
        let answers = child.stdout.take().map(lines);
        let talk = Talk {
            commands: child.stdin.take(),
            answers: answers.context("lab-node has no standard output")?,
        };
        let mut init = Self {
            talk: Mutex::new(talk),
            child,
            dir: dir.to_owned(),
            pid: 0,
        };
        init.pid = init.ask(|talk| talk.answer("init "))?.parse()?;
        Ok(init)
    }

    /// Makes the node execute a command and waits for its end.
    pub(super) fn request(&self, command: &str, done: &str) -> Result<()> {
        self.ask(|talk| {
            let mut commands = talk.commands.as_ref().context("the node was hung up")?;
            commands.write_all(format!("{command}\n").as_bytes())?;
            talk.answer(done)
        })
        .map(|_nothing| ())
    }

    fn ask<T>(&self, work: impl FnOnce(&Talk) -> Result<T>) -> Result<T> {
        let talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        work(&talk).map_err(|error| self.explain(error))
    }

    /// Adds the last output of the node's programs.
    pub(super) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let mut text = format!("node in {}", self.dir.display());
        for log in ["init.log", "containerd.log"] {
            let content = fs::read(self.dir.join(log)).unwrap_or_default();
            let content = String::from_utf8_lossy(&content);
            let lines: Vec<_> = content.lines().collect();
            for line in &lines[lines.len().saturating_sub(TAIL)..] {
                text += &format!("\n    {log}: {line}");
            }
        }
        error.context(text)
    }

    /// Tells the node to end, and does not wait for that.
    pub(super) fn hang_up(&mut self) {
        let talk = self.talk.get_mut();
        talk.unwrap_or_else(PoisonError::into_inner).commands = None;
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + END_DEADLINE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() >= deadline {
                self.child.kill()?;
                self.child.wait()?;
                bail!("the node did not end by itself");
            }
            thread::sleep(END_POLL);
        }
        Ok(())
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        self.hang_up();
        if let Err(error) = self.wait() {
            eprintln!("{:#}", self.explain(error));
        }
    }
}

impl Talk {
    /// The rest of an answer that begins with `expected`.
    fn answer(&self, expected: &str) -> Result<String> {
        let answer = self.answers.recv_timeout(ANSWER_DEADLINE);
        let answer = answer.context("no answer")?;
        let rest = answer.strip_prefix(expected);
        rest.map(str::to_owned)
            .with_context(|| format!("answer {answer:?} in place of {expected:?}"))
    }
}

/// The lines of a node, read by a thread so that waiting for them can end.
fn lines(from: impl io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(16);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
