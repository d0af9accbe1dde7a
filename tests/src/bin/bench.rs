//! What recording and replay cost, beside what others take for the same.
//!
//! Everything is compared within one run, in turns (A B C A B C …), and told
//! as ratios of medians: absolute times are those of this machine today.
use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use podtrace::lab::{Lab, LabPod, LabSpec, traffic};
use serde_json::{Value, json};

/// Pings of one call: their sequence numbers have 16 bits.
const PINGS_EACH: u32 = 50_000;
/// Taps that see a ping and its answer across nodes.
const EVENTS_EACH: u32 = 20;

/// Measures podtrace beside tcpdump and tshark.
#[derive(Parser)]
struct Cli {
    /// Events of the session that is replayed
    #[arg(long, default_value_t = 1_000_000)]
    events: u32,
    /// Events of the session whose replay's memory is measured
    #[arg(long, default_value_t = 10_000_000)]
    many: u32,
    /// Turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Write the numbers here too
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Run a command and print the most memory that it had, in KiB
    MaxRss {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match &cli.task {
        Some(Task::MaxRss { command }) => max_rss(command),
        None => bench(&cli),
    }
}

fn bench(cli: &Cli) -> Result<()> {
    let podtrace = PathBuf::from(std::env::var_os("PODTRACE_BIN").context("PODTRACE_BIN")?);
    let lab = Lab::new(LabSpec {
        nodes: 2,
        pods_per_node: 2,
        ipv6: false,
    })?;
    let directory = tempfile::tempdir()?;
    let bench = Bench {
        podtrace,
        lab,
        directory: directory.path().to_owned(),
    };
    let session = directory.path().join("session.pcapng");
    let packets = bench.record(&session, cli.events)?;
    eprintln!("session of {packets} packet blocks recorded");
    let replay = bench.replay(&session, cli.rounds)?;
    let recording = bench.recording(cli.events, cli.rounds)?;
    std::fs::remove_file(&session)?;
    let many = directory.path().join("many.pcapng");
    let memory = bench.memory(&many, cli.many)?;
    let all = json!({ "replay": replay, "recording": recording, "memory": memory });
    print(&all);
    std::fs::write(&cli.json, format!("{all:#}\n"))?;
    eprintln!("written to {}", cli.json.display());
    Ok(())
}

struct Bench {
    podtrace: PathBuf,
    lab: Lab,
    directory: PathBuf,
}

impl Bench {
    fn ends(&self) -> Result<(&LabPod, &LabPod)> {
        let pod = |node: usize| self.lab.nodes.get(node)?.pods.first();
        pod(0).zip(pod(1)).context("the lab has no pods")
    }

    /// Pings across the nodes until so many events were made.
    fn flood(&self, events: u32) -> Result<()> {
        let (from, to) = self.ends()?;
        let mut left = events.div_ceil(EVENTS_EACH);
        let mut id = 1;
        while left > 0 {
            let pings = u16::try_from(left.min(PINGS_EACH))?;
            traffic::ping(&from.netns, to.ipv4.into(), id, pings, 56)?;
            left -= u32::from(pings);
            id += 1;
        }
        Ok(())
    }

    /// podtrace at both nodes; back when it follows packets.
    fn start(&self, args: &[&str]) -> Result<Child> {
        let table = self.directory.join("pods");
        std::fs::write(&table, self.lab.pod_table())?;
        let mut command = Command::new(&self.podtrace);
        command.args(args).args(["--buffer", "256", "--pods"]);
        command.arg(&table);
        for node in &self.lab.nodes {
            command.args(["--netns", &node.netns.name]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut first = String::new();
        let stdout = child.stdout.take().context("no output")?;
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut first)?;
        if !first.contains("Ctrl-C") {
            bail!("podtrace did not start: {first}");
        }
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Ok(child)
    }

    /// Runs podtrace while the flood lasts; returns the seconds of processor
    /// time that it took.
    fn trace(&self, args: &[&str], events: u32) -> Result<f64> {
        let before = processor_seconds()?;
        let mut child = self.start(args)?;
        let flooded = self.flood(events);
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
        let status = child.wait()?;
        flooded?;
        if !status.success() {
            bail!("podtrace ended with {status}");
        }
        Ok(processor_seconds()? - before)
    }

    fn record(&self, file: &Path, events: u32) -> Result<u64> {
        let path = file.to_string_lossy();
        self.trace(&["record", "-w", &path, "--strict"], events)?;
        let capinfos = Command::new("capinfos")
            .args(["-cTmM"])
            .arg(file)
            .output()?;
        let text = String::from_utf8_lossy(&capinfos.stdout).into_owned();
        let count = text.lines().last().and_then(|line| line.rsplit(',').next());
        count
            .and_then(|count| count.trim().parse().ok())
            .with_context(|| format!("capinfos says {text}"))
    }

    /// Wall time of three programs that read the session, each into wc.
    fn replay(&self, session: &Path, rounds: usize) -> Result<Value> {
        let file = session.to_string_lossy();
        let podtrace = self.podtrace.to_string_lossy();
        let commands = [
            (
                "podtrace replay",
                format!("{podtrace} replay {file} | wc -l"),
            ),
            (
                "tcpdump -nr",
                format!("tcpdump -nr {file} 2>/dev/null | wc -l"),
            ),
            (
                "tshark -nr",
                format!("tshark -nr {file} 2>/dev/null | wc -l"),
            ),
        ];
        let mut times = vec![Vec::new(); commands.len()];
        for _ in 0..rounds {
            for ((_, command), times) in commands.iter().zip(&mut times) {
                let begin = Instant::now();
                let status = Command::new("sh")
                    .args(["-c", command])
                    .stdout(Stdio::null())
                    .status()?;
                if !status.success() {
                    bail!("{command} ended with {status}");
                }
                times.push(begin.elapsed().as_secs_f64());
            }
        }
        let names: Vec<_> = commands.iter().map(|(name, _)| *name).collect();
        Ok(rows(&names, &times, "seconds"))
    }

    /// Processor time of a live trace, with its output thrown away, and of the
    /// same that is recorded too.
    fn recording(&self, events: u32, rounds: usize) -> Result<Value> {
        let file = self.directory.join("cost.pcapng");
        let file = file.to_string_lossy();
        let mut times = vec![Vec::new(); 2];
        for _ in 0..rounds {
            times[0].push(self.trace(&["trace"], events)?);
            let args = ["trace", "-w", &file, "--force"];
            times[1].push(self.trace(&args, events)?);
        }
        let names = ["trace", "trace -w"];
        Ok(rows(&names, &times, "processor seconds"))
    }

    /// The most memory that the replay of a long session takes, in MiB.
    fn memory(&self, file: &Path, events: u32) -> Result<Value> {
        let packets = self.record(file, events)?;
        let output = Command::new(std::env::current_exe()?)
            .args(["max-rss", "--"])
            .arg(&self.podtrace)
            .arg("replay")
            .arg(file)
            .output()?;
        let kib: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
        Ok(json!({ "packets": packets, "replay_mib": kib / 1024.0 }))
    }
}

/// Median, spread and ratio to the first, by name.
fn rows(names: &[&str], times: &[Vec<f64>], unit: &str) -> Value {
    let medians: Vec<_> = times.iter().map(|times| median(times)).collect();
    let rows = names.iter().zip(times).zip(&medians);
    rows.map(|((name, times), median)| {
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        let most = times.iter().copied().fold(0.0, f64::max);
        json!({
            "name": name,
            "unit": unit,
            "median": median,
            "least": least,
            "most": most,
            "ratio": median / medians[0],
        })
    })
    .collect()
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(all: &Value) {
    println!(
        "{:<18} {:>9} {:>9} {:>9} {:>7}",
        "", "median", "least", "most", "ratio"
    );
    for part in ["replay", "recording"] {
        for row in all[part].as_array().into_iter().flatten() {
            let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
            println!(
                "{:<18} {:>9.3} {:>9.3} {:>9.3} {:>7.2}  {}",
                row["name"].as_str().unwrap_or(""),
                number("median"),
                number("least"),
                number("most"),
                number("ratio"),
                row["unit"].as_str().unwrap_or(""),
            );
        }
    }
    println!(
        "replay of {} packet blocks took {:.1} MiB at most",
        all["memory"]["packets"],
        all["memory"]["replay_mib"].as_f64().unwrap_or(f64::NAN)
    );
}

/// Processor time of all children that have ended.
fn processor_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| {
        Duration::new(
            u64::try_from(time.tv_sec()).unwrap_or(0),
            u32::try_from(time.tv_usec() * 1000).unwrap_or(0),
        )
        .as_secs_f64()
    };
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn max_rss(command: &[String]) -> Result<()> {
    let (program, args) = command.split_first().context("no command")?;
    let status = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss());
    Ok(())
}
