//! Throughput of TCP under observation, by iperf3.
use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    Effort,
    report::{Bound, Goal, Group, Measured, Row, in_turns},
    running::Running,
    site::{Route, Site},
    tool::{Observer, Tool},
};

const TOOLS: [Tool; 3] = [Tool::None, Tool::RecordHeaders, Tool::Tcpdump];

/// Throughput by tool, for each route; the tools observe both nodes.
pub(crate) fn measure(site: &Site, effort: &Effort) -> Result<Measured> {
    let mut measured = Measured::default();
    for route in site.routes()? {
        eprintln!("   {}", route.name);
        let turns = in_turns(effort.rounds, &TOOLS, |tool| turn(site, route, *tool))?;
        let rows = TOOLS
            .iter()
            .zip(turns)
            .map(|(tool, turns)| Row::new(tool.name(), turns));
        let title = format!("bulk TCP, {}, all nodes looked at", route.name);
        let group = Group::compared(title, "Gbit/s", rows);
        measured.goals.push(Goal::new(
            format!("bulk TCP, {}, recorded over untraced", route.name),
            Bound::AtLeast(0.95),
            "x",
            group.ratio(&group.rows[1]),
        ));
        measured.groups.push(group);
    }
    Ok(measured)
}

fn turn(site: &Site, route: Route<'_>, tool: Tool) -> Result<f64> {
    let observers = Observer::start_everywhere(tool, site)?;
    let throughput = iperf(route)?;
    for one in observers {
        one.finish()?;
    }
    Ok(throughput)
}

/// One second of TCP; returns the received Gbit/s.
fn iperf(route: Route<'_>) -> Result<f64> {
    let mut serve = Command::new("iperf3");
    serve.args(["--server", "--one-off", "--forceflush"]);
    let mut server = Running::spawn_in(&route.to.netns, serve.stdout(Stdio::piped()))?;
    let mut stdout = BufReader::new(server.child().stdout.take().context("no output")?);
    let mut line = String::new();
    while !line.contains("listening") {
        if stdout.read_line(&mut line)? == 0 {
            bail!("iperf3 does not serve: {line}");
        }
    }
    let mut ask = Command::new("iperf3");
    let address = route.to.ipv4.to_string();
    ask.args(["--time", "1", "--json", "--client", &address]);
    let mut client = Running::spawn_in(&route.from.netns, ask.stdout(Stdio::piped()))?;
    let mut report = String::new();
    let output = client.child().stdout.take();
    output.context("no output")?.read_to_string(&mut report)?;
    client.wait()?;
    std::io::copy(&mut stdout, &mut std::io::sink())?;
    server.wait()?;
    let report: Value = serde_json::from_str(&report)?;
    let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
    Ok(rate.with_context(|| format!("iperf3 reports no rate: {report}"))? / 1e9)
}
