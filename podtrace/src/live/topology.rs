//! The topology of the nodes, with the pods of their container runtimes: once, or for a
//! recording.
use std::{path::Path, time::Duration};

use futures_util::future::join_all;
use tokio::{sync::mpsc, time::sleep};

use super::runtimes::Sockets;
use crate::{
    clock::utc_ns,
    identity::cri::{CriError, PodList, Runtime},
    model::{pod::Pod, topology::RecordedTopology},
    node::{
        pod_table::PodTable,
        target::Node,
        topology::{NodeInput, Topology, TopologyError, collect},
    },
    update::Update,
};

/// How often the topology is read.
const PAUSE: Duration = Duration::from_secs(300);

/// Formats a topology as `podtrace topology` prints it.
pub(crate) type Show = fn(&mut String, &Topology);

/// Reads the topology at intervals and sends it if it has changed, with the text of `show`.
pub(super) async fn watch(
    nodes: Vec<Node>,
    sockets: Sockets,
    table: PodTable,
    show: Show,
    updates: mpsc::Sender<Update>,
) {
    let mut known = None;
    loop {
        // A failure leaves the topology out of the recording until the next attempt.
        if let Ok(topology) = describe(nodes.clone(), sockets.clone(), &table).await
            && known.as_ref() != Some(&topology)
        {
            if let Some(recorded) = recorded(&topology, show)
                && updates.send(Update::Topology(recorded)).await.is_err()
            {
                return;
            }
            known = Some(topology);
        }
        sleep(PAUSE).await;
    }
}

fn recorded(topology: &Topology, show: Show) -> Option<Box<RecordedTopology>> {
    let mut shown = String::new();
    show(&mut shown, topology);
    Some(Box::new(RecordedTopology {
        utc_ns: utc_ns().ok()?,
        json: serde_json::to_value(topology).ok()?,
        text: shown,
    }))
}

/// Reads the topology once.
pub(crate) async fn describe(
    nodes: Vec<Node>,
    sockets: Sockets,
    table: &PodTable,
) -> Result<Topology, TopologyError> {
    let inputs = inputs(nodes, sockets).await;
    collect(inputs, table).await
}

/// The pods of the nodes' container runtimes.
pub(crate) async fn pods(nodes: Vec<Node>, sockets: Sockets) -> Vec<Pod> {
    let inputs = inputs(nodes, sockets).await;
    inputs.into_iter().flat_map(|input| input.pods).collect()
}

/// The nodes with the pods of their container runtimes.
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

/// The answer of one runtime.
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
    /// Gives the pods to the node that the runtime serves; returns a reason if that node is
    /// not traced.
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
