//! The podtrace binary, running beside the test.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
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

/// Makes podtrace trace nodes of a lab, and name its pods by a table, which has to be kept
/// until it has been read.
pub(super) fn trace_nodes(command: &mut Command, lab: &Lab, nodes: &[usize]) -> NamedTempFile {
    let mut table = NamedTempFile::new().unwrap();
    table.write_all(lab.pod_table().as_bytes()).unwrap();
    command.arg("--pods").arg(table.path());
    for node in nodes {
        command.args(["--netns", &lab.nodes[*node].netns.name]);
    }
    table
}

/// A process that a failed test does not leave behind, including its children.
pub(super) struct Process(Child);

impl Process {
    pub(super) fn spawn(command: &mut Command) -> Self {
        // Orphans are in its group, and become our children.
        set_child_subreaper(true).unwrap();
        Self(command.process_group(0).spawn().unwrap())
    }

    /// Waits for its end, and then for its orphans: podtrace leaves its links to another
    /// process.
    pub(super) fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.0.wait()?;
        self.wait_for_the_rest()?;
        Ok(status)
    }

    /// Waits for its orphans after it has ended.
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

    /// Reads the first line of its output.
    pub(super) fn wait_for_its_first_line(&mut self) {
        let stdout = self.0.stdout.as_mut().unwrap();
        let mut byte = [0];
        while byte != *b"\n" {
            stdout.read_exact(&mut byte).unwrap();
        }
    }

    /// Whether a process that it has started still runs after it has ended.
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

    /// Pipes its output to us, and its standard error to a terminal, which is returned.
    pub(super) fn on_terminal(mut command: Command) -> (Self, File) {
        let pty = openpty(None, None).unwrap();
        command.stdout(Stdio::piped()).stderr(pty.slave);
        // The command is dropped, as the terminal would otherwise not end with the process.
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
    /// Read by a thread: podtrace never waits for the test.
    lines: Receiver<String>,
    /// The values read while waiting.
    passed: Vec<Value>,
    _table: Option<NamedTempFile>,
}

/// The deadline of every wait for its output.
const DEADLINE: Duration = Duration::from_secs(30);
/// Upper bound of its lifetime.
const DURATION: [&str; 2] = ["--duration", "90s"];

impl Tracer {
    /// Traces the given nodes of a lab and returns when all taps are attached.
    pub(super) fn start(lab: &Lab, nodes: &[usize], options: &[&str]) -> Self {
        let mut command = podtrace();
        command.arg("trace");
        let table = trace_nodes(&mut command, lab, nodes);
        command.args(options);
        let mut tracer = Self::spawn(command);
        tracer._table = Some(table);
        tracer
    }

    /// Traces a node from within, as users do.
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

    /// Runs `podtrace trace …` and returns when all taps are attached.
    pub(super) fn spawn(mut command: Command) -> Self {
        command.args(["-o", "json"]).args(DURATION);
        let mut tracer = Self::begin(&mut command);
        if tracer.is_attaching() {
            let is_all = |text: &str| text.starts_with(ALL_TRACED);
            tracer.wait_for(|value| value["text"].as_str().is_some_and(is_all));
        }
        tracer
    }

    /// Runs it with `-o json` and returns when it shows packets of the interfaces attached so
    /// far.
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

    /// Whether interfaces still waited for their taps when it began.
    pub(super) fn is_attaching(&self) -> bool {
        let mut starts = self.passed.iter().filter(|value| value["type"] == "start");
        starts.any(|start| start.get("attaching").is_some())
    }

    /// Reads values until one matches; panics at the end of the output and after a deadline.
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

    /// Reads values until this many have matched; returns all so far.
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

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL; nothing of it runs afterwards.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Interrupts it and returns all its output; checks conservation, in total and per tap.
    pub(super) fn finish(self) -> Vec<Value> {
        self.finish_and(|| {})
    }

    /// As [`Self::finish`]; does some work after its last output, while it still detaches.
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
                    + number("undecodable")
                    + count["unrecorded"].as_u64().unwrap_or_default(),
                "{count}"
            );
        }
        values
    }
}

/// Sends SIGINT, as Ctrl-C does.
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

/// Whether it is a path whose description starts with this text.
pub(super) fn is_path(value: &Value, what: &str) -> bool {
    let begins = |packet: &str| packet.starts_with(what);
    value["type"] == "path" && value["what"].as_str().is_some_and(begins)
}

/// Paths whose description starts with this text.
pub(super) fn paths_of<'a>(values: &'a [Value], what: &str) -> Vec<&'a Value> {
    values.iter().filter(|value| is_path(value, what)).collect()
}

/// Paths whose description starts with this text, between these addresses.
pub(super) fn paths<'a>(
    values: &'a [Value],
    what: &'a str,
    source: &'a str,
    destination: &'a str,
) -> impl Iterator<Item = &'a Value> {
    values.iter().filter(move |value| {
        is_path(value, what) && value["source"] == source && value["destination"] == destination
    })
}

/// A path's hops as `pod/eth0 egress` or `node1/cni0 ingress`.
pub(super) fn hops(path: &Value) -> Vec<String> {
    let hops = path["hops"].as_array().unwrap();
    hops.iter().map(place).collect()
}

/// One of them.
pub(super) fn place(hop: &Value) -> String {
    let owner = hop.get("pod").unwrap_or(&hop["node"]).as_str().unwrap();
    let owner = owner.rsplit('/').next().unwrap();
    let owner = owner.rsplit_once("-node").map_or(owner, |(_, n)| n);
    format!(
        "{owner}/{} {}",
        hop["interface"].as_str().unwrap(),
        hop["direction"].as_str().unwrap()
    )
}

/// The lines of a replay of a recording.
pub(super) fn replayed(file: &Path) -> Vec<Value> {
    let replay = podtrace()
        .args(["replay", "-o", "json"])
        .arg(file)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(replay.stdout).unwrap();
    let values = text.lines().map(|line| serde_json::from_str(line).unwrap());
    values.collect()
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
