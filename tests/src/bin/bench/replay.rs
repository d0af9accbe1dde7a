//! Reading a session, compared with peers that read the same file.
use std::{
    io::copy,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use podtrace::lab::traffic::ping;

use crate::{
    Effort,
    report::{Bound, Goal, Group, Measured, Row, in_turns},
    running::{self, Running, timed},
    site::Site,
    tool::{Observer, Tool},
};

/// Pings of one call: sequence numbers have 16 bits.
const PINGS_EACH: u32 = 10_000;
/// Taps that see a ping and its reply across nodes.
const EVENTS_EACH: u32 = 20;

/// Wall time of programs that read a session of pings.
pub(crate) fn measure(site: &Site, effort: &Effort) -> Result<Measured> {
    let session = site.file("session.pcapng");
    let packets = record_session(site, effort.events, &session)?;
    eprintln!("   session of {packets} packet blocks recorded");
    let file = session.to_string_lossy();
    let podtrace = site.podtrace.to_string_lossy();
    let commands: [(&str, [&str; 3]); 3] = [
        ("podtrace replay", [&podtrace, "replay", &file]),
        ("tcpdump -nr", ["tcpdump", "-nr", &file]),
        ("tshark -nr", ["tshark", "-nr", &file]),
    ];
    let turns = in_turns(effort.rounds, &commands, |(_, command)| read(command))?;
    std::fs::remove_file(&session)?;
    let rows = commands
        .iter()
        .zip(turns)
        .map(|((name, _), times)| Row::new(*name, times));
    let group = Group::compared(format!("{packets} packet blocks to text"), "s", rows);
    let [ours, tcpdump, tshark] = [0, 1, 2].map(|row: usize| &group.rows[row].stat);
    let goals = vec![
        Goal::new(
            "replay, faster than tcpdump -nr",
            Bound::AtLeast(1.0),
            "x",
            tcpdump.over(ours),
        ),
        Goal::new(
            "replay, faster than tshark -nr",
            Bound::AtLeast(10.0),
            "x",
            tshark.over(ours),
        ),
    ];
    Ok(Measured {
        groups: vec![group],
        goals,
        ..Measured::default()
    })
}

/// Records pings across the nodes until there are this many events; returns how many there
/// are.
pub(crate) fn record_session(site: &Site, events: u32, session: &Path) -> Result<u64> {
    let route = site.across()?;
    let nodes = &site.lab.nodes;
    let observer = Observer::start(Tool::Record, site, &site.lab, nodes, &["--buffer", "256"])?;
    let observer = observer.context("nothing observes")?;
    let mut left = events.div_ceil(EVENTS_EACH);
    let mut id = 1;
    while left > 0 {
        running::check()?;
        let pings = u16::try_from(left.min(PINGS_EACH))?;
        ping(&route.from.netns, route.to.ipv4.into(), id, pings, 56)?;
        left -= u32::from(pings);
        id += 1;
    }
    let observed = observer.finish_keeping(session)?;
    if observed.lost > 0 {
        bail!("{} events of the session were lost", observed.lost);
    }
    Ok(observed.captured)
}

/// Seconds until all output is read.
fn read(command: &[&str; 3]) -> Result<f64> {
    let [program, args @ ..] = command;
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::piped());
    command.stderr(Stdio::null());
    let ((), seconds) = timed(|| {
        let mut running = Running::spawn(&mut command)?;
        let mut prints = running.child().stdout.take().context("no output")?;
        copy(&mut prints, &mut std::io::sink())?;
        running.wait()?;
        Ok(())
    })?;
    Ok(seconds)
}
