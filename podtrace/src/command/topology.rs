//! `podtrace topology`: scan once, print, check.
pub(super) mod recorded;

use std::iter;

use anyhow::Context as _;

use super::setup::{check_capabilities, nodes, sockets, table};
use crate::{
    cli::{TopologyArgs, TopologyFormat},
    command::{FINE, PROBLEMS, print_out, use_color, width},
    live::topology::describe,
    node::topology::Topology,
    output::topology::{dot, json, picture, text},
    probe::support,
};

/// Runs the command; returns the exit code.
pub(super) fn run(args: &TopologyArgs) -> anyhow::Result<u8> {
    if !args.files.is_empty() {
        return recorded::show(args);
    }
    check_capabilities(support::missing_to_inspect())?;
    let nodes = nodes(&args.netns, &args.naming.node_name)?;
    let table = table(args.naming.pods.as_deref())?;
    let sockets = sockets(&args.naming, &nodes)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let (topology, _) = runtime.block_on(describe(nodes, sockets, &table))?;
    print(&topology, args)?;
    let broken = args.check && !topology.problems.is_empty();
    Ok(if broken { PROBLEMS } else { FINE })
}

fn print(topology: &Topology, args: &TopologyArgs) -> anyhow::Result<()> {
    let mut out = String::new();
    match args.output {
        TopologyFormat::Text => {
            text::write(&mut out, topology, use_color(args.color), width());
        }
        TopologyFormat::Dot => dot::write(&mut out, topology),
        TopologyFormat::Json => out = json(topology)?,
        TopologyFormat::Svg => {
            let document = serde_json::to_value(topology)?;
            picture::document::write(&mut out, iter::once(&document), None);
        }
    }
    print_out(&out)?;
    Ok(())
}
