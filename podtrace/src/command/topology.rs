//! `podtrace topology`: look once, print, judge.
mod recorded;

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use futures_util::future::join_all;

use super::trace::{Sockets, nodes, sockets, table};
use crate::{
    cli::{TopologyArgs, TopologyFormat},
    command::{FINE, PROBLEMS, use_color},
    identity::cri::{CriError, PodList, Runtime},
    node::{
        pod_table::PodTable,
        target::Node,
        topology::{NodeInput, Topology, TopologyError, collect},
    },
    output::topology::{dot, json, text},
    probe::support,
};

/// Runs the command; returns the exit code.
pub(super) fn run(args: &TopologyArgs) -> anyhow::Result<u8> {
    if !args.files.is_empty() {
        return recorded::show(args);
    }
    let missing = support::missing_to_look().context("failed to read the capabilities")?;
    if !missing.is_empty() {
        bail!("missing {}\nhint: run it with sudo", missing.join(", "));
    }
    let nodes = nodes(&args.netns, &args.naming.node_name)?;
    let table = table(args.naming.pods.as_deref())?;
    let sockets = sockets(&args.naming, &nodes);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let topology = runtime.block_on(look(nodes, sockets, &table))?;
    print(&topology, args)?;
    let broken = args.check && !topology.problems.is_empty();
    Ok(if broken { PROBLEMS } else { FINE })
}

/// Looks at the nodes once.
pub(super) async fn look(
    nodes: Vec<Node>,
    sockets: Sockets,
    table: &PodTable,
) -> Result<Topology, TopologyError> {
    let inputs = inputs(nodes, sockets).await;
    collect(inputs, table).await
}

fn print(topology: &Topology, args: &TopologyArgs) -> anyhow::Result<()> {
    let mut out = String::new();
    match args.output {
        TopologyFormat::Text => text::write(&mut out, topology, use_color(args.color)),
        TopologyFormat::Dot => dot::write(&mut out, topology),
        TopologyFormat::Json => out = json(topology)?,
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(out.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// The nodes with what their container runtimes tell.
async fn inputs(nodes: Vec<Node>, sockets: Sockets) -> Vec<NodeInput> {
    let mut inputs: Vec<_> = nodes
        .into_iter()
        .map(|node| NodeInput {
            name: node.name.to_string(),
            netns: node.netns,
            runtime: None,
            pods: Vec::new(),
            unknown: Vec::new(),
        })
        .collect();
    let answers = match sockets {
        Sockets::None | Sockets::Elsewhere => Vec::new(),
        Sockets::Usual => vec![ask(None).await],
        Sockets::These(paths) => join_all(paths.iter().map(|path| ask(Some(path)))).await,
    };
    let mut reasons = Vec::new();
    for answer in answers {
        match answer {
            Ok(answer) => reasons.extend(answer.give(&mut inputs)),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    if reasons.is_empty() {
        reasons.push("no container runtime was asked".to_owned());
    }
    for node in inputs.iter_mut().filter(|node| node.runtime.is_none()) {
        let reasons = reasons.join("; ");
        let text = format!("names of pods and containers, images ({reasons})");
        node.unknown.push(text);
    }
    inputs
}

/// What one runtime tells.
struct Answer {
    runtime: Runtime,
    list: PodList,
}

/// Asks the runtime at a socket, or the first that answers at the usual ones.
async fn ask(socket: Option<&Path>) -> Result<Answer, CriError> {
    let mut runtime = match socket {
        Some(socket) => Runtime::connect(socket).await?,
        None => Runtime::find().await?,
    };
    let list = runtime.list().await?;
    Ok(Answer { runtime, list })
}

impl Answer {
    /// Gives the pods to the node that the runtime serves; where there is none
    /// in view, says so.
    fn give(self, nodes: &mut [NodeInput]) -> Option<String> {
        let Self { runtime, list } = self;
        let about = runtime.about();
        let inodes: Vec<_> = nodes.iter().map(|node| node.netns.inode).collect();
        let number = about.node_among(&inodes);
        let Some(node) = number.and_then(|number| nodes.get_mut(number)) else {
            return Some(format!("{about} is in another network namespace"));
        };
        node.unknown.extend(list.left_out());
        node.runtime = Some(about.to_string());
        node.pods.extend(list.pods);
        None
    }
}
