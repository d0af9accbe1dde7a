//! Agents: what they cost a node beside a recording, and how soon a console shows a packet.
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    slice,
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use podtrace::{
    lab::{
        Lab, LabNode, LabSpec,
        traffic::{flood::FloodSpec, ping},
    },
    node::processes::children,
};

use crate::{
    Effort,
    flood::flood,
    report::{Bound, Goal, Group, Measured, Row, Stat, in_turns},
    running::{self, Running, processor_of},
    site::Site,
    tool::{LIFETIME, Observer, Tool, events},
};

/// How long a console may take to show a packet before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the flood's payload.
const PAYLOAD: usize = 64;

/// Who records a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recorder {
    /// podtrace there, as this tool.
    Own(Tool),
    /// An agent, for a console.
    Agent,
}

const RECORDERS: [Recorder; 3] = [
    Recorder::Own(Tool::RecordHeaders),
    Recorder::Own(Tool::RecordCompressed),
    Recorder::Agent,
];

impl Recorder {
    fn name(self) -> &'static str {
        match self {
            Self::Own(tool) => tool.name(),
            Self::Agent => "podtrace agent, for record --agent",
        }
    }
}

/// The cost of agents, and the lag of a console.
pub(crate) fn measure(site: &Site, effort: &Effort) -> Result<Measured> {
    let mut measured = Measured::default();
    cost(site, effort, &mut measured)?;
    lag(site, effort, &mut measured)?;
    Ok(measured)
}

fn cost(site: &Site, effort: &Effort, measured: &mut Measured) -> Result<()> {
    let duration = effort.pick(Duration::from_secs(2), Duration::from_millis(300));
    let spec = FloodSpec {
        payload: PAYLOAD,
        duration,
    };
    let turns = in_turns(effort.rounds, &RECORDERS, |recorder| {
        turn(site, *recorder, spec)
    })?;
    let rows = RECORDERS
        .iter()
        .zip(&turns)
        .map(|(recorder, turns)| Row::new(recorder.name(), turns.iter().copied()));
    let group = Group::compared(
        format!("a node recorded in a flood of {PAYLOAD} B, across nodes"),
        "ns of CPU an event",
        rows,
    );
    if let [itself, _, agent] = &group.rows[..] {
        measured.goals.push(Goal::new(
            "CPU of an agent over that of a recording",
            Bound::AtMost(1.15),
            "x",
            agent.stat.over(&itself.stat),
        ));
    }
    measured.groups.push(group);
    measured.notes.push(
        "CPU from when all interfaces are tapped to the end, of the agent and the process \
         that traces for it; the console's is not in it"
            .into(),
    );
    Ok(())
}

/// Nanoseconds of CPU for each event of a flood that is recorded.
fn turn(site: &Site, recorder: Recorder, spec: FloodSpec) -> Result<f64> {
    let (spent_s, recorded) = match recorder {
        Recorder::Own(tool) => own(site, tool, spec)?,
        Recorder::Agent => by_agent(site, spec)?,
    };
    Ok(spent_s * 1e9 / recorded.max(1) as f64)
}

/// Records a flood; returns the CPU seconds, and how many events are recorded.
fn own(site: &Site, tool: Tool, spec: FloodSpec) -> Result<(f64, u64)> {
    let route = site.across()?;
    let node = slice::from_ref(route.node);
    let observer = Observer::start(tool, site, &site.lab, node, &[])?;
    let observer = observer.context("nothing records")?;
    let before_s = processor_of(observer.pid())?;
    flood(route, spec)?;
    let observed = observer.finish()?;
    Ok((observed.processor_s - before_s, observed.captured))
}

/// The same by an agent, for a console.
fn by_agent(site: &Site, spec: FloodSpec) -> Result<(f64, u64)> {
    let route = site.across()?;
    let agent = Agent::start(site, &site.lab, route.node, 0)?;
    let folder = site.file("agents");
    let mut console = Command::new(&site.podtrace);
    console.arg("record").args(LIFETIME).arg("--force");
    console
        .arg("-w")
        .arg(&folder)
        .args(["--agent", &agent.address]);
    let (console, words) = spawn(console.stdout(Stdio::null()).stderr(Stdio::piped()))?;
    wait_for(&words, "recording 1 node")?;
    let before_s = agent.spent()?;
    flood(route, spec)?;
    console.interrupt()?;
    console.wait()?;
    let spent_s = agent.end()? - before_s;
    let mut replay = Command::new(&site.podtrace);
    let replayed = replay.args(["replay", "--quiet"]).arg(&folder).output()?;
    std::fs::remove_dir_all(folder)?;
    let text = String::from_utf8_lossy(&replayed.stdout);
    let observed = events(&text).with_context(|| format!("no events in {text}"))?;
    Ok((spent_s, observed.captured))
}

/// Shows pings across three nodes, one at a time.
fn lag(site: &Site, effort: &Effort, measured: &mut Measured) -> Result<()> {
    let count = effort.pick(100, 10);
    let lab = Lab::new(LabSpec {
        nodes: 3,
        pods_per_node: 1,
        ipv6: false,
    })?;
    let agents = lab.nodes.iter().enumerate();
    let agents = agents.map(|(number, node)| Agent::start(site, &lab, node, number));
    let agents = agents.collect::<Result<Vec<_>>>()?;
    let mut console = Command::new(&site.podtrace);
    console.args(["trace", "-o", "json", "icmp"]).args(LIFETIME);
    for agent in &agents {
        console.args(["--agent", &agent.address]);
    }
    let (console, lines) = spawn(console.stdout(Stdio::piped()))?;
    wait_for(&lines, r#""type":"start""#)?;
    let pod = |node: usize| lab.nodes.get(node).and_then(|node| node.pods.first());
    let (Some(from), Some(to)) = (pod(0), pod(2)) else {
        bail!("the lab lacks pods");
    };
    let mut lags = Vec::new();
    for number in 0..count {
        running::check()?;
        ping(&from.netns, to.ipv4.into(), number, 1, 56)?;
        let answered = Instant::now();
        // The request and its reply.
        for _ in 0..2 {
            wait_for(&lines, r#""type":"path""#)?;
        }
        lags.push(answered.elapsed().as_secs_f64() * 1e3);
    }
    console.interrupt()?;
    console.wait()?;
    for agent in agents {
        agent.end()?;
    }
    lags.sort_by(f64::total_cmp);
    let percentile = |percent: usize| lags.get(lags.len() * percent / 100).copied();
    let median = percentile(50).context("no ping")?;
    let worst = percentile(99).context("no ping")?;
    let row = Row::new("ping and its reply", [median]).beside("ms p99", [worst]);
    let title = "from the last hop of a ping across three nodes until the console shows it";
    measured.groups.push(Group::listed(title, "ms p50", [row]));
    measured.goals.push(Goal::new(
        "console behind the last hop of a ping, p99",
        Bound::AtMost(300.0),
        "ms",
        Stat(vec![worst]),
    ));
    Ok(())
}

/// An agent of a node.
struct Agent {
    running: Running,
    address: String,
}

impl Agent {
    fn start(site: &Site, lab: &Lab, node: &LabNode, number: usize) -> Result<Self> {
        let socket: PathBuf = site.file(&format!("agent{number}.sock"));
        let mut command = Command::new(&site.podtrace);
        command.args([
            "agent",
            "--netns",
            &node.netns.name,
            "--node-name",
            &node.name,
        ]);
        command.arg("--pods").arg(site.pod_table(lab)?);
        command.arg("--listen").arg(&socket);
        let (running, words) = spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()))?;
        wait_for(&words, "listening")?;
        Ok(Self {
            running,
            address: format!("unix:{}", socket.display()),
        })
    }

    /// CPU seconds of the agent and of the process that traces for it.
    fn spent(&self) -> Result<f64> {
        let own = self.running.pid();
        let children = children(own)?.into_iter();
        std::iter::once(own).chain(children).map(processor_of).sum()
    }

    /// Ends it; returns all CPU seconds.
    fn end(self) -> Result<f64> {
        self.running.interrupt()?;
        Ok(self.running.wait()?.processor)
    }
}

/// Starts a command; returns the lines that it writes to its pipe as well.
fn spawn(command: &mut Command) -> Result<(Running, Receiver<String>)> {
    let mut running = Running::spawn(command)?;
    let child = running.child();
    let (tell, lines) = channel();
    let read = move |pipe: Box<dyn std::io::Read + Send>| {
        // It reads on when nobody listens: what is said later must not fill the pipe.
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    };
    match (child.stdout.take(), child.stderr.take()) {
        (Some(pipe), _) => drop(thread::spawn(move || read(Box::new(pipe)))),
        (None, Some(pipe)) => drop(thread::spawn(move || read(Box::new(pipe)))),
        (None, None) => bail!("nothing to read"),
    }
    Ok((running, lines))
}

/// Waits for a line with these words.
fn wait_for(lines: &Receiver<String>, words: &str) -> Result<()> {
    let mut said = String::new();
    loop {
        let Ok(line) = lines.recv_timeout(PATIENCE) else {
            bail!("podtrace does not say {words}, but: {said}");
        };
        if line.contains(words) {
            return Ok(());
        }
        said += &line;
        said.push('\n');
    }
}
