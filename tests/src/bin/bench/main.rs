//! `cargo xtask bench`: compares the cost of podtrace with that of its peers, and checks its
//! goals.
//!
//! Everything is compared within one run, in turns (A B C A B C …), as ratios within a turn:
//! absolute numbers depend on the machine and the day. The traffic stays in namespaces that
//! the benchmark creates and removes.
mod attach;
mod bulk;
mod cluster;
mod events;
mod flood;
mod idle;
mod kernel;
mod latency;
mod memory;
mod replay;
mod report;
mod running;
mod scan;
mod site;
mod stages;
mod start;
mod table;
mod tool;

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use report::{Facts, Measured, Report};
use site::Site;

/// Measures podtrace beside its peers: tcpdump, dumpcap, tshark.
#[derive(Parser)]
struct Cli {
    /// Turns of each comparison
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Measure only this part (repeatable)
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// Fewer and shorter turns: enough to see that everything works
    #[arg(long)]
    quick: bool,
    /// Events of the session that is replayed
    #[arg(long, default_value_t = 1_000_000)]
    events: u32,
    /// Events of the session whose replay's memory is measured
    #[arg(long, default_value_t = 10_000_000)]
    many: u32,
    /// Write the numbers here too
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    /// Run this podtrace, not the release build; the parts kernel, attach and
    /// stages measure what the benchmark itself is built with
    #[arg(long, value_name = "PATH")]
    podtrace: Option<PathBuf>,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A packet in the kernel, by test runs
    Kernel,
    /// A packet in the kernel, by the kernel's own statistics of a live trace
    Events,
    /// Packets delivered while they are recorded
    Flood,
    /// Round trips of pings
    Ping,
    /// Throughput of TCP
    Bulk,
    /// The stages from record to output
    Stages,
    /// Reading a session
    Replay,
    /// Memory beside the rings
    Memory,
    /// From the start until ready, and from Ctrl-C to the end
    Start,
    /// CPU time while nothing happens
    Idle,
    /// Looks at a node, and the time until a new pod is tapped
    Scan,
    /// Agents: what they cost a node, and how soon a console shows a packet
    Cluster,
    /// Attaching and detaching. The last: the kernel is long at work on what
    /// is left of its namespaces
    Attach,
}

/// The extent of the measurements.
struct Effort {
    rounds: usize,
    quick: bool,
    events: u32,
    many: u32,
}

impl Effort {
    fn of(cli: &Cli) -> Self {
        let at_most = |number: u32, quick: u32| {
            if cli.quick { number.min(quick) } else { number }
        };
        Self {
            rounds: if cli.quick {
                cli.rounds.min(2)
            } else {
                cli.rounds.max(1)
            },
            quick: cli.quick,
            events: at_most(cli.events, 100_000),
            many: at_most(cli.many, 300_000),
        }
    }

    /// One of two numbers, for a full or a quick run.
    fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    running::watch_signals()?;
    let podtrace = match &cli.podtrace {
        Some(path) => path.clone(),
        None => std::env::var_os("PODTRACE_BIN")
            .context("neither --podtrace nor PODTRACE_BIN names a podtrace")?
            .into(),
    };
    let effort = Effort::of(&cli);
    let site = Site::new(podtrace)?;
    let mut report = Report::new(Facts::gather(&site, &effort)?);
    for part in Part::value_variants() {
        if cli.only.is_empty() || cli.only.contains(part) {
            let name = format!("{part:?}").to_lowercase();
            eprintln!("== {name}");
            let begin = Instant::now();
            let measured = measure(*part, &site, &effort)
                .with_context(|| format!("failed to measure: {name}"))?;
            report.add(name, begin.elapsed(), measured);
        }
    }
    table::print(&report);
    std::fs::write(&cli.json, format!("{:#}\n", report.json()))
        .with_context(|| format!("failed to write {}", cli.json.display()))?;
    eprintln!("written to {}", cli.json.display());
    Ok(())
}

fn measure(part: Part, site: &Site, effort: &Effort) -> Result<Measured> {
    match part {
        Part::Kernel => kernel::measure(effort),
        Part::Events => events::measure(site, effort),
        Part::Flood => flood::measure(site, effort),
        Part::Ping => latency::measure(site, effort),
        Part::Bulk => bulk::measure(site, effort),
        Part::Stages => stages::measure(site, effort),
        Part::Replay => replay::measure(site, effort),
        Part::Memory => memory::measure(site, effort),
        Part::Cluster => cluster::measure(site, effort),
        Part::Attach => attach::measure(effort),
        Part::Start => start::measure(site, effort),
        Part::Idle => idle::measure(site, effort),
        Part::Scan => scan::measure(site, effort),
    }
}
