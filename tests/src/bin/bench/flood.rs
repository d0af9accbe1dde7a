//! Floods of datagrams: how many are delivered under observation.
use std::{slice, time::Duration};

use anyhow::Result;
use podtrace::lab::traffic::flood::{Flood, FloodSpec, udp_flood};

use crate::{
    Effort,
    report::{Bound, Goal, Group, Measured, Row, Stat, in_turns},
    site::{Route, Site},
    tool::{Observed, Observer, Tool},
};

/// Port of the receiver.
const PORT: u16 = 5001;
/// Payload lengths: small, and as large as fits the overlay.
const PAYLOADS: [usize; 2] = [64, 1400];
const TOOLS: [Tool; 5] = [
    Tool::None,
    Tool::Record,
    Tool::Trace,
    Tool::Tcpdump,
    Tool::Dumpcap,
];

/// A flood, and what the tool saw of it.
struct Turn {
    tool: Tool,
    flood: Flood,
    observed: Observed,
}

/// Delivered packets by tool, for each size and route.
pub(crate) fn measure(site: &Site, effort: &Effort) -> Result<Measured> {
    let duration = effort.pick(Duration::from_secs(1), Duration::from_millis(300));
    let mut measured = Measured::default();
    let mut wrong_sums = 0;
    for payload in PAYLOADS {
        let spec = FloodSpec { payload, duration };
        for route in site.routes()? {
            eprintln!("   {payload} B, {}", route.name);
            let turns = in_turns(effort.rounds, &TOOLS, |tool| turn(site, route, *tool, spec))?;
            wrong_sums += turns
                .iter()
                .flatten()
                .filter(|turn| has_wrong_sum(turn))
                .count();
            add(&mut measured, payload, route, &turns);
        }
    }
    measured.goals.push(Goal::new(
        "floods where podtrace does not account for every event",
        Bound::AtMost(0.0),
        "",
        Stat(vec![wrong_sums as f64]),
    ));
    measured.notes.push(
        "sending one: processor time of the sender, with the way through the kernel and \
         everybody who looks there, and without what else the machine does"
            .into(),
    );
    measured.notes.push(
        "each program looks at all of the sender's node with its own default buffer; \
         events are packets at one place, and podtrace has places in pods too"
            .into(),
    );
    Ok(measured)
}

/// Floods a route's receiver.
pub(crate) fn flood(route: Route<'_>, spec: FloodSpec) -> Result<Flood> {
    let to = (route.to.ipv4, PORT).into();
    Ok(udp_flood(&route.from.netns, &route.to.netns, to, spec)?)
}

fn turn(site: &Site, route: Route<'_>, tool: Tool, spec: FloodSpec) -> Result<Turn> {
    let node = slice::from_ref(route.node);
    let observer = Observer::start(tool, site, &site.lab, node, &[])?;
    let flood = flood(route, spec)?;
    let observed = observer.map(Observer::finish).transpose()?;
    Ok(Turn {
        tool,
        flood,
        observed: observed.unwrap_or_default(),
    })
}

fn add(measured: &mut Measured, payload: usize, route: Route<'_>, turns: &[Vec<Turn>]) {
    let rows = TOOLS.iter().zip(turns).map(|(tool, turns)| {
        let each = |value: fn(&Turn) -> f64| turns.iter().map(value);
        let row = Row::new(tool.name(), each(received_per_second))
            .beside("arrived/s", each(arrived_per_second))
            .beside("ns sending one", each(ns_of_one));
        if *tool == Tool::None {
            return row;
        }
        row.beside("% events lost", each(|turn| turn.observed.lost_percent()))
            .beside("events/s", each(events_per_second))
            .beside("CPU s", each(|turn| turn.observed.processor_s))
    });
    let title = format!("UDP flood, {payload} B, {}", route.name);
    let group = Group::compared(title, "delivered/s", rows);
    let row = |tool: Tool| group.rows.iter().find(|row| row.name == tool.name());
    if payload == PAYLOADS[0]
        && let (Some(ours), Some(tcpdump)) = (row(Tool::Record), row(Tool::Tcpdump))
    {
        measured.goals.push(Goal::new(
            format!(
                "flood of {payload} B, {}, recorded over tcpdump",
                route.name
            ),
            Bound::AtLeast(1.0),
            "x",
            ours.stat.over(&tcpdump.stat),
        ));
    }
    measured.groups.push(group);
}

fn has_wrong_sum(turn: &Turn) -> bool {
    turn.tool.is_ours() && !turn.observed.accounts
}

fn per_second(turn: &Turn, count: u64) -> f64 {
    count as f64 / turn.flood.took.as_secs_f64()
}

fn received_per_second(turn: &Turn) -> f64 {
    per_second(turn, turn.flood.received)
}

fn arrived_per_second(turn: &Turn) -> f64 {
    per_second(turn, turn.flood.arrived)
}

fn ns_of_one(turn: &Turn) -> f64 {
    turn.flood.processor.as_nanos() as f64 / turn.flood.sent.max(1) as f64
}

fn events_per_second(turn: &Turn) -> f64 {
    per_second(turn, turn.observed.captured)
}
