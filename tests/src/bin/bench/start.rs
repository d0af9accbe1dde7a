//! The time until a tool is ready, and until it has ended.
use anyhow::{Context as _, Result};
use podtrace::lab::{Lab, LabSpec, traffic::ping};

use crate::{
    Effort,
    report::{Group, Measured, Row, in_turns},
    site::Site,
    tool::{Observer, Tool},
};

const TOOLS: [Tool; 3] = [Tool::Trace, Tool::Record, Tool::Tcpdump];

/// Start and end of each tool on a node with four pods.
pub(crate) fn measure(site: &Site, effort: &Effort) -> Result<Measured> {
    let lab = Lab::new(LabSpec {
        nodes: 1,
        pods_per_node: 4,
        ipv6: false,
    })?;
    let node = lab.nodes.first().context("the lab has no node")?;
    let [from, to, ..] = &node.pods[..] else {
        anyhow::bail!("the lab lacks pods");
    };
    let turns = in_turns(effort.rounds, &TOOLS, |tool| {
        let observer = Observer::start(*tool, site, &lab, &lab.nodes, &[])?;
        let observer = observer.context("nothing observes")?;
        let start = observer.start_s;
        ping(&from.netns, to.ipv4.into(), 1, 10, 56)?;
        Ok((1000.0 * start, 1000.0 * observer.finish()?.end_s))
    })?;
    let group = |title: &str, value: fn(&(f64, f64)) -> f64| {
        let rows = TOOLS
            .iter()
            .zip(&turns)
            .map(|(tool, turns)| Row::new(tool.name(), turns.iter().map(value)));
        Group::compared(title, "ms", rows)
    };
    Ok(Measured {
        groups: vec![
            group("start until ready, 4 pods", |(start, _)| *start),
            group("Ctrl-C until ended, 4 pods", |(_, end)| *end),
        ],
        ..Measured::default()
    })
}
