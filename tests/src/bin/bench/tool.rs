//! The programs that observe packets during a measurement.
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail};
use podtrace::lab::{Lab, LabNode};

use crate::{
    running::{Ended, Running, ring_memory},
    site::Site,
};

/// The bytes kept of a program's last output.
const TAIL: usize = 64 << 10;
/// Limits the life of podtrace, whatever happens to the benchmark.
pub(crate) const LIFETIME: [&str; 2] = ["--duration", "10m"];

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// No observation.
    None,
    /// `podtrace record -w FILE`.
    Record,
    /// `podtrace record --headers-only -w FILE`.
    RecordHeaders,
    /// The same, compressed.
    RecordCompressed,
    /// `podtrace trace`, with its output discarded.
    Trace,
    /// `tcpdump -i any -s 96 -w FILE`.
    Tcpdump,
    /// `dumpcap -i any -s 96 -w FILE`.
    Dumpcap,
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "untraced",
            Self::Record => "podtrace record",
            Self::RecordHeaders => "podtrace record --headers-only",
            Self::RecordCompressed => "podtrace record --headers-only --zstd",
            Self::Trace => "podtrace trace",
            Self::Tcpdump => "tcpdump -s 96 -w",
            Self::Dumpcap => "dumpcap -s 96 -w",
        }
    }

    /// Whether it is podtrace.
    pub(crate) fn is_ours(self) -> bool {
        matches!(
            self,
            Self::Record | Self::RecordHeaders | Self::RecordCompressed | Self::Trace
        )
    }

    /// The arguments of podtrace, except for nodes and interfaces.
    fn podtrace_args(self) -> &'static [&'static str] {
        match self {
            Self::RecordHeaders => &["record", "--headers-only"],
            Self::RecordCompressed => &["record", "--headers-only", "--zstd"],
            Self::Trace => &["trace", "--color", "never"],
            _ => &["record"],
        }
    }

    /// Its output when it is ready.
    fn ready(self) -> &'static str {
        match self {
            Self::Tcpdump => "listening on",
            Self::Dumpcap => "File:",
            _ => "Ctrl-C",
        }
    }
}

/// A running tool.
pub(crate) struct Observer {
    tool: Tool,
    running: Running,
    /// The end of its output, once it has ended.
    tail: JoinHandle<String>,
    file: Option<PathBuf>,
    /// Seconds from its start until it was ready.
    pub(crate) start_s: f64,
}

/// The results and the cost of a tool.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observed {
    /// Packets at all points that it observes, as far as it reports them.
    pub(crate) seen: u64,
    /// The captured ones of these packets.
    pub(crate) captured: u64,
    /// The packets that it reports as lost.
    pub(crate) lost: u64,
    /// Whether its counts of captured and lost packets add up to those seen.
    pub(crate) accounts: bool,
    pub(crate) processor_s: f64,
    /// Its peak memory without the rings, in bytes; podtrace only.
    pub(crate) memory: u64,
    /// The time from Ctrl-C to its end.
    pub(crate) end_s: f64,
}

impl Observed {
    /// The share of the packets that it lost, in percent.
    pub(crate) fn lost_percent(&self) -> f64 {
        100.0 * self.lost as f64 / (self.captured + self.lost).max(1) as f64
    }
}

impl Observer {
    /// Starts the tool at these nodes of a lab, and returns when it is ready. None for
    /// [`Tool::None`].
    pub(crate) fn start(
        tool: Tool,
        site: &Site,
        lab: &Lab,
        nodes: &[LabNode],
        more: &[&str],
    ) -> Result<Option<Self>> {
        if tool == Tool::None {
            return Ok(None);
        }
        let node = nodes.first().context("nowhere to look")?;
        let end = if tool == Tool::RecordCompressed {
            ".zst"
        } else {
            ""
        };
        let file = (tool != Tool::Trace).then(|| site.file(&format!("seen-{}{end}", node.name)));
        let mut command = if tool.is_ours() {
            podtrace(tool, site, lab, nodes)?
        } else {
            peer(tool)
        };
        if let Some(file) = &file {
            command.arg("-w").arg(file);
        }
        command.args(more);
        let begin = Instant::now();
        let mut running = if tool.is_ours() {
            Running::spawn(command.stdout(Stdio::piped()))?
        } else {
            Running::spawn_in(&node.netns, command.stderr(Stdio::piped()))?
        };
        let stream: Box<dyn Read + Send> = if tool.is_ours() {
            Box::new(running.child().stdout.take().context("no output")?)
        } else {
            Box::new(running.child().stderr.take().context("no output")?)
        };
        let mut stream = BufReader::with_capacity(1 << 20, stream);
        wait_until_ready(tool, &mut stream)?;
        let start_s = begin.elapsed().as_secs_f64();
        // Some report that they are ready before they handle signals.
        running.wait_until_interruptible()?;
        Ok(Some(Self {
            tool,
            running,
            tail: thread::spawn(move || tail(stream)),
            file,
            start_s,
        }))
    }

    /// Starts the tool at all nodes of the site: podtrace once, a peer at each.
    pub(crate) fn start_everywhere(tool: Tool, site: &Site) -> Result<Vec<Self>> {
        let nodes = &site.lab.nodes;
        let each = if tool.is_ours() { nodes.len() } else { 1 };
        let start = |nodes| Self::start(tool, site, &site.lab, nodes, &[]).transpose();
        nodes.chunks(each).filter_map(start).collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Interrupts it, and returns its results.
    pub(crate) fn finish(self) -> Result<Observed> {
        self.finish_by(|running| Ok((running.wait()?, 0)))
    }

    /// As [`Self::finish`], and keeps its output under another name.
    pub(crate) fn finish_keeping(mut self, path: &Path) -> Result<Observed> {
        let file = self.file.take().context("nothing is written")?;
        let observed = self.finish()?;
        fs::rename(file, path)?;
        Ok(observed)
    }

    /// As [`Self::finish`], with its memory.
    pub(crate) fn finish_watching_memory(self) -> Result<Observed> {
        let ring = ring_memory(self.pid())?;
        let mut observed = self.finish_by(Running::wait_watching_memory)?;
        observed.memory = observed.memory.saturating_sub(ring);
        Ok(observed)
    }

    fn finish_by(self, wait: impl FnOnce(Running) -> Result<(Ended, u64)>) -> Result<Observed> {
        let begin = Instant::now();
        self.running.interrupt()?;
        let (ended, memory) = wait(self.running)?;
        let end_s = begin.elapsed().as_secs_f64();
        let text = self
            .tail
            .join()
            .map_err(|_panic| anyhow!("the reader of {} panicked", self.tool.name()))?;
        if let Some(file) = self.file {
            fs::remove_file(file)?;
        }
        let observed =
            parse(self.tool, &text).with_context(|| format!("{} says {text}", self.tool.name()))?;
        Ok(Observed {
            processor_s: ended.processor,
            memory,
            end_s,
            ..observed
        })
    }
}

fn podtrace(tool: Tool, site: &Site, lab: &Lab, nodes: &[LabNode]) -> Result<Command> {
    let mut command = Command::new(&site.podtrace);
    command.args(tool.podtrace_args()).args(LIFETIME);
    command.arg("--pods").arg(site.pod_table(lab)?);
    for node in nodes {
        command.args(["--netns", &node.netns.name]);
    }
    Ok(command)
}

fn peer(tool: Tool) -> Command {
    let mut command;
    if tool == Tool::Dumpcap {
        command = Command::new("dumpcap");
        command.arg("-q");
    } else {
        command = Command::new("tcpdump");
        // Keeps tcpdump from giving up root, and with it the file.
        command.args(["-Z", "root"]);
    }
    command.args(["-i", "any", "-s", "96"]);
    command.stdout(Stdio::null());
    command
}

fn wait_until_ready(tool: Tool, stream: &mut impl BufRead) -> Result<()> {
    let mut text = String::new();
    loop {
        let before = text.len();
        if stream.read_line(&mut text)? == 0 {
            bail!("{} did not start: {text}", tool.name());
        }
        if text[before..].contains(tool.ready()) {
            return Ok(());
        }
    }
}

/// Reads everything, and keeps the end.
fn tail(mut stream: impl Read) -> String {
    let mut chunk = vec![0; 1 << 20];
    let mut kept = Vec::new();
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        if kept.len() + length > 2 * TAIL {
            let excess = kept.len().saturating_sub(TAIL);
            kept.drain(..excess);
        }
        let from = length.saturating_sub(TAIL);
        kept.extend_from_slice(&chunk[from..length]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Parses a tool's output at its end.
fn parse(tool: Tool, text: &str) -> Option<Observed> {
    let line = |word: &str| text.lines().rev().find(|line| line.contains(word));
    let observed = match tool {
        Tool::Tcpdump => {
            let captured = leading(line("packets captured")?)?;
            let lost = leading(line("dropped by kernel")?)?;
            (leading(line("received by filter")?)?, captured, lost)
        }
        Tool::Dumpcap => {
            let counts = line("received/dropped")?.split(": ").nth(1)?;
            let (received, dropped) = counts.split_once('/')?;
            let (captured, lost) = (received.parse().ok()?, leading(dropped)?);
            (captured + lost, captured, lost)
        }
        _ => return events(text),
    };
    Some(observed_of(observed))
}

/// Parses podtrace's account of events at the end of its text.
pub(crate) fn events(text: &str) -> Option<Observed> {
    let mut lines = text.lines().rev();
    let line = lines.find(|line| line.contains("events: "))?;
    let counts = line.split_once("events: ")?.1;
    let before = |word| {
        let mut words = counts.split_whitespace().peekable();
        std::iter::from_fn(|| words.next().map(|one| (one, words.peek().copied())))
            .find_map(|(one, next)| (next == Some(word)).then(|| one.parse().ok())?)
    };
    let counts = (before("seen")?, before("emitted")?, before("lost")?);
    Some(observed_of(counts))
}

fn observed_of((seen, captured, lost): (u64, u64, u64)) -> Observed {
    Observed {
        seen,
        captured,
        lost,
        accounts: seen == captured + lost,
        ..Observed::default()
    }
}

/// The number at the begin of a text.
fn leading(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit());
    text[..end.unwrap_or(text.len())].parse().ok()
}
