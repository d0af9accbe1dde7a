//! The podtrace binary, running beside the test.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::pty::openpty;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use podtrace::lab::Lab;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::cri_lab::{CriLab, CriNode};

/// The binary under test: `PODTRACE_BIN`, which `cargo xtask test` sets.
pub(super) fn podtrace() -> Command {
    Command::new(std::env::var_os("PODTRACE_BIN").expect("PODTRACE_BIN names the podtrace binary"))
}

/// Has podtrace trace nodes of a lab, and name its pods by a table that is to
/// be kept until it has been read.
pub(super) fn trace_nodes(command: &mut Command, lab: &Lab, nodes: &[usize]) -> NamedTempFile {
    let mut table = NamedTempFile::new().unwrap();
    table.write_all(lab.pod_table().as_bytes()).unwrap();
    command.arg("--pods").arg(table.path());
    for node in nodes {
        command.args(["--netns", &lab.nodes[*node].netns.name]);
    }
    table
}

/// A process that a failed test does not leave behind, nor what it has started.
pub(super) struct Process(Child);

impl Process {
    pub(super) fn spawn(command: &mut Command) -> Self {
        // What it leaves behind is of its group, and becomes our child.
        set_child_subreaper(true).unwrap();
        Self(command.process_group(0).spawn().unwrap())
    }

    /// Waits for its end, and then for those that it has left behind: podtrace leaves
    /// its links to another process.
    pub(super) fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.0.wait()?;
        self.wait_for_the_rest()?;
        Ok(status)
    }

    /// Waits for what it has left behind, when it has ended itself.
    pub(super) fn wait_for_the_rest(&self) -> io::Result<()> {
        let deadline = Instant::now() + DEADLINE;
        while self.has_left_any()? {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Reads the first line that it writes to us.
    pub(super) fn wait_for_its_first_line(&mut self) {
        let stdout = self.0.stdout.as_mut().unwrap();
        let mut byte = [0];
        while byte != *b"\n" {
            stdout.read_exact(&mut byte).unwrap();
        }
    }

    /// Whether a process that it has started lives, when it has ended itself.
    pub(super) fn has_left_any(&self) -> io::Result<bool> {
        let group = Pid::from_raw(-pid(&self.0).as_raw());
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
        loop {
            match waitpid(group, Some(flags)) {
                Ok(WaitStatus::StillAlive) => return Ok(true),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Its output goes to us, and what it says on standard error to a terminal,
    /// which is returned.
    pub(super) fn on_terminal(mut command: Command) -> (Self, File) {
        let pty = openpty(None, None).unwrap();
        command.stdout(Stdio::piped()).stderr(pty.slave);
        // The command goes, else the terminal would not end with the process.
        (Self::spawn(&mut command), File::from(pty.master))
    }
}

impl Deref for Process {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already if the test has finished it.
        let _ = self.0.kill();
        let _ = self.wait();
    }
}

/// A `podtrace trace -o json` that is ready.
pub(super) struct Tracer {
    child: Process,
    /// Read as they come: podtrace never waits for the test.
    lines: Receiver<String>,
    /// What was read while waiting.
    passed: Vec<Value>,
    _table: Option<NamedTempFile>,
}

/// The deadline of every wait for its output.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long it lives at most.
const DURATION: [&str; 2] = ["--duration", "90s"];

impl Tracer {
    /// Traces the given nodes of a lab and returns when all taps are there.
    pub(super) fn start(lab: &Lab, nodes: &[usize], options: &[&str]) -> Self {
        let mut command = podtrace();
        command.arg("trace");
        let table = trace_nodes(&mut command, lab, nodes);
        command.args(options);
        let mut tracer = Self::spawn(command);
        tracer._table = Some(table);
        tracer
    }

    /// Traces a node as people do: on it.
    pub(super) fn on(node: &CriNode, options: &[&str]) -> Self {
        let mut command = node.command(podtrace().get_program()).unwrap();
        command.args(["trace", "--cri-socket"]).arg(&node.socket);
        command.args(options);
        Self::spawn(command)
    }

    /// Traces all nodes of a lab at once.
    pub(super) fn across(lab: &CriLab, options: &[&str]) -> Self {
        let mut command = podtrace();
        command.arg("trace");
        for node in &lab.nodes {
            command.args(["--netns", &node.netns.name, "--node-name", &node.name]);
            command.arg("--cri-socket").arg(&node.socket);
        }
        command.args(options);
        Self::spawn(command)
    }

    /// Runs `podtrace trace …` and returns when all taps are there.
    pub(super) fn spawn(mut command: Command) -> Self {
        command.args(["-o", "json"]).args(DURATION);
        let mut tracer = Self::begin(&mut command);
        if tracer.is_attaching() {
            let is_all = |text: &str| text.starts_with(ALL_TRACED);
            tracer.wait_for(|value| value["text"].as_str().is_some_and(is_all));
        }
        tracer
    }

    /// Runs it with `-o json` and returns when it shows packets, of whatever is attached
    /// to by then.
    pub(super) fn begin(command: &mut Command) -> Self {
        let mut child = Process::spawn(command.stdout(Stdio::piped()));
        let lines = lines(child.stdout.take().unwrap());
        let mut tracer = Self {
            child,
            lines,
            passed: Vec::new(),
            _table: None,
        };
        tracer.wait_for(|value| value["type"] == "start");
        tracer
    }

    /// Whether something was still to be attached to when it began.
    pub(super) fn is_attaching(&self) -> bool {
        let mut starts = self.passed.iter().filter(|value| value["type"] == "start");
        starts.any(|start| start.get("attaching").is_some())
    }

    /// Reads lines until one fits; panics at the end of the output and after
    /// some time.
    #[track_caller]
    pub(super) fn wait_for(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let last = self.passed.iter().rev().take(5);
                panic!(
                    "no line fits; the last ones: {:#?}",
                    last.map(Value::to_string).collect::<Vec<_>>()
                );
            };
            let value: Value = serde_json::from_str(&line).unwrap();
            self.passed.push(value.clone());
            if fits(&value) {
                return value;
            }
        }
    }

    /// Reads lines until so many of all have fitted; all so far.
    pub(super) fn wait_until_all(
        &mut self,
        count: usize,
        fits: impl Fn(&Value) -> bool,
    ) -> &[Value] {
        while self.passed.iter().filter(|value| fits(value)).count() < count {
            self.wait_for(&fits);
        }
        &self.passed
    }

    /// The number of its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and nothing else is running then.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Interrupts it and returns all that it had to say; conservation is
    /// checked, in total and per tap.
    pub(super) fn finish(self) -> Vec<Value> {
        self.finish_and(|| {})
    }

    /// The same; some work is done when it has said all and what it has attached is
    /// still to be detached.
    pub(super) fn finish_and(mut self, work: impl FnOnce()) -> Vec<Value> {
        interrupt(&self.child);
        let mut values = std::mem::take(&mut self.passed);
        let rest = self.lines.iter();
        values.extend(rest.map(|line| serde_json::from_str::<Value>(&line).unwrap()));
        work();
        assert!(self.child.wait().unwrap().success());
        let summary = values.last().expect("a summary");
        assert_eq!(summary["type"], "summary");
        let taps = summary["taps"].as_array().unwrap();
        assert!(!taps.is_empty());
        for count in taps.iter().chain([&summary["total"]]) {
            let number = |field: &str| count[field].as_u64().unwrap();
            assert_eq!(
                number("seen"),
                number("emitted")
                    + number("filtered")
                    + number("lost_ring")
                    + number("undecodable"),
                "{count}"
            );
        }
        values
    }
}

/// What Ctrl-C does.
pub(super) fn interrupt(child: &Child) {
    kill(pid(child), Signal::SIGINT).unwrap();
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// The lines of its output, read by a thread.
fn lines(from: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Paths whose description starts so, between these addresses.
pub(super) fn paths<'a>(
    values: &'a [Value],
    what: &'a str,
    source: &'a str,
    destination: &'a str,
) -> impl Iterator<Item = &'a Value> {
    values.iter().filter(move |value| {
        value["type"] == "path"
            && value["what"].as_str().unwrap().starts_with(what)
            && value["source"] == source
            && value["destination"] == destination
    })
}

/// A path's hops as `pod/eth0 egress` or `node1/cni0 ingress`.
pub(super) fn hops(path: &Value) -> Vec<String> {
    path["hops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hop| {
            let owner = hop.get("pod").unwrap_or(&hop["node"]).as_str().unwrap();
            let owner = owner.rsplit('/').next().unwrap();
            let owner = owner.rsplit_once("-node").map_or(owner, |(_, n)| n);
            format!(
                "{owner}/{} {}",
                hop["interface"].as_str().unwrap(),
                hop["direction"].as_str().unwrap()
            )
        })
        .collect()
}

/// Runs the binary to its end.
pub(super) fn run(args: &[&str]) -> Output {
    podtrace().args(args).output().unwrap()
}

/// The notice once podtrace has attached to all that was there at the start.
pub(super) const ALL_TRACED: &str = "every interface is traced now";

/// Whether a notice only reports the progress of attaching, which depends on the machine.
pub(super) fn is_attach_progress(text: &str) -> bool {
    text.starts_with(ALL_TRACED) || text.contains(" being attached to; ")
}
