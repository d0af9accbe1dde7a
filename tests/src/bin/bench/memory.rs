//! The peak memory of podtrace, without its rings.
use std::{
    process::{Command, Stdio},
    slice,
    time::Duration,
};

use anyhow::{Context as _, Result};
use podtrace::lab::traffic::flood::FloodSpec;

use crate::{
    Effort,
    flood::flood,
    replay::record_session,
    report::{Bound, Goal, Group, Measured, Row, Stat, in_turns},
    running::Running,
    site::Site,
    tool::{Observed, Observer, Tool},
};

const MIB: f64 = (1 << 20) as f64;

/// A live record and a live trace during a flood, and the replay of a long session.
pub(crate) fn measure(site: &Site, effort: &Effort) -> Result<Measured> {
    let duration = effort.pick(Duration::from_secs(3), Duration::from_millis(500));
    let live = [Tool::Record, Tool::Trace];
    let turns = in_turns(effort.rounds.min(3), &live, |tool| {
        observe(site, *tool, duration)
    })?;
    let mut rows: Vec<_> = live
        .iter()
        .zip(&turns)
        .map(|(tool, turns)| {
            Row::new(
                tool.name(),
                turns.iter().map(|turn| turn.memory as f64 / MIB),
            )
            .beside("events seen", turns.iter().map(|turn| turn.seen as f64))
            .beside("% lost", turns.iter().map(Observed::lost_percent))
        })
        .collect();
    let (events, peak) = replay(site, effort.many)?;
    rows.push(Row::new("podtrace replay", [peak as f64 / MIB]).beside("events", [events as f64]));
    let goals = rows.iter().map(|row| {
        Goal::new(
            format!("memory beside the rings, {}", row.name),
            Bound::AtMost(64.0),
            "MiB",
            Stat(vec![row.stat.most()]),
        )
    });
    Ok(Measured {
        goals: goals.collect(),
        groups: vec![Group::listed(
            "peak memory, live in a flood of 64 B",
            "MiB",
            rows,
        )],
        ..Measured::default()
    })
}

fn observe(site: &Site, tool: Tool, duration: Duration) -> Result<Observed> {
    let [route, _] = site.routes()?;
    let node = slice::from_ref(route.node);
    let observer = Observer::start(tool, site, &site.lab, node, &[])?;
    let payload = 64;
    flood(route, FloodSpec { payload, duration })?;
    observer
        .context("nothing observes")?
        .finish_watching_memory()
}

/// The events of a session, and the peak memory of its replay.
fn replay(site: &Site, events: u32) -> Result<(u64, u64)> {
    let session = site.file("many.pcapng");
    let events = record_session(site, events, &session)?;
    eprintln!("   session of {events} packet blocks recorded");
    let mut command = Command::new(&site.podtrace);
    command.arg("replay").arg(&session).stdout(Stdio::null());
    let (_, peak) = Running::spawn(&mut command)?.wait_watching_memory()?;
    std::fs::remove_file(&session)?;
    Ok((events, peak))
}
