//! The podtrace binary, running beside the test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podtrace::lab::Lab;
use serde_json::Value;

/// The binary under test: `PODTRACE_BIN`, which `cargo xtask test` sets.
pub(super) fn podtrace() -> Command {
    Command::new(std::env::var_os("PODTRACE_BIN").expect("PODTRACE_BIN names the podtrace binary"))
}

/// A `podtrace trace -o json` that is ready.
pub(super) struct Tracer {
    child: Child,
    lines: BufReader<ChildStdout>,
    _table: tempfile::NamedTempFile,
}

impl Tracer {
    /// Traces the given nodes of a lab and returns when all taps are there.
    pub(super) fn start(lab: &Lab, nodes: &[usize], options: &[&str]) -> Self {
        let mut table = tempfile::NamedTempFile::new().unwrap();
        table.write_all(lab.pod_table().as_bytes()).unwrap();
        let mut command = podtrace();
        // The duration is the deadline of every wait for its output.
        command.args(["trace", "-o", "json", "--duration", "30s", "--pods"]);
        command.arg(table.path()).args(options);
        for node in nodes {
            command.args(["--netns", &lab.nodes[*node].netns.name]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        assert!(first.contains(r#""type":"start""#), "{first}");
        Self {
            child,
            lines,
            _table: table,
        }
    }

    /// Reads lines until one fits; panics at the end of the output.
    pub(super) fn wait_for(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        for line in self.lines.by_ref().lines() {
            let value: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if fits(&value) {
                return value;
            }
        }
        panic!("podtrace ended before the line that was waited for");
    }

    /// Interrupts it and returns all that it still had to say; conservation is
    /// checked, in total and per tap.
    pub(super) fn finish(mut self) -> Vec<Value> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGINT).unwrap();
        let values: Vec<Value> = self
            .lines
            .by_ref()
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
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
