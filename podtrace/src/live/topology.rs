//! The topology of the nodes, with the pods of their container runtimes: once, or for a
//! recording; and what decides the way of packets, while a session runs.
use std::{path::Path, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::runtimes::Sockets;
use crate::{
    clock::utc_ns,
    identity::cri::{CriError, PodList, Runtime},
    model::{facts::NodeFacts, pod::Pod, topology::RecordedTopology},
    node::{
        pod_table::PodTable,
        target::Node,
        topology::{NodeInput, Topology, TopologyError, collect, facts},
        watch::Changes,
    },
    update::Update,
};

/// How often the topology is described anew.
const DESCRIBED: Duration = Duration::from_secs(300);
/// The pause between two readings is this many times what one takes, within bounds.
const PAUSES: u32 = 100;
const PAUSE_MIN: Duration = Duration::from_secs(5);
/// The same after links, addresses, routes or entries of neighbours have changed.
const PAUSES_CHANGED: u32 = 20;
/// How often it looks for such changes.
const LOOK: Duration = Duration::from_millis(100);
/// How long the start of the session comes first, if nobody records: no path ends before.
const PATIENCE: Duration = Duration::from_millis(200);

/// Formats a topology as `podtrace topology` prints it.
pub(crate) type Show = fn(&mut String, &Topology);

/// What is read of nodes: what decides the way of packets, and the topology with the text of `show`
/// if somebody records it.
#[derive(Clone)]
pub(super) struct Look {
    pub(super) nodes: Vec<Node>,
    pub(super) sockets: Sockets,
    pub(super) table: PodTable,
    pub(super) show: Option<Show>,
}

impl Look {
    /// Reads it once.
    pub(super) async fn once(self) -> Option<Update> {
        let Self {
            nodes,
            sockets,
            table,
            show,
        } = self;
        let recorded = match show {
            None => recorded(None, read_facts(&nodes, &table).await.ok()?),
            Some(show) => {
                let (topology, facts) = describe(nodes, sockets, &table).await.ok()?;
                recorded(Some((&topology, show)), facts)
            }
        };
        recorded.map(Update::Topology)
    }
}

/// Reads the nodes at intervals, and sends what has changed.
pub(super) async fn watch(look: Look, changes: Changes, updates: mpsc::Sender<Update>) {
    let Look {
        nodes,
        sockets,
        table,
        show,
    } = look;
    let mut known: Vec<Arc<NodeFacts>> = Vec::new();
    let mut described: Option<(Instant, Topology)> = None;
    if show.is_none() {
        sleep(PATIENCE).await;
    }
    loop {
        let (started, before) = (Instant::now(), changes.count_of_all());
        let is_old = described
            .as_ref()
            .is_none_or(|(at, _)| at.elapsed() >= DESCRIBED);
        let mut news = None;
        // A failure leaves it out until the next attempt.
        match show {
            None => {
                if let Ok(facts) = read_facts(&nodes, &table).await
                    && differ(&known, &facts)
                {
                    news = recorded(None, facts);
                }
            }
            Some(show) => {
                let is_due = is_old
                    || read_facts(&nodes, &table)
                        .await
                        .is_ok_and(|facts| differ(&known, &facts));
                if is_due
                    && let Ok((topology, facts)) =
                        describe(nodes.clone(), sockets.clone(), &table).await
                {
                    let is_new = described.as_ref().is_none_or(|(_, old)| *old != topology);
                    if is_new || differ(&known, &facts) {
                        news = recorded(Some((&topology, show)), facts);
                    }
                    described = Some((started, topology));
                }
            }
        }
        if let Some(recorded) = news {
            known.clone_from(&recorded.facts);
            if updates.send(Update::Topology(recorded)).await.is_err() {
                return;
            }
        }
        pause(started.elapsed(), || changes.count_of_all() != before).await;
    }
}

/// Waits after a reading that took so long.
async fn pause(took: Duration, has_changed: impl Fn() -> bool) {
    let begun = Instant::now();
    while let Some(rest) = rest(took, begun.elapsed(), has_changed()) {
        sleep(LOOK.min(rest)).await;
    }
}

/// The rest of the pause after a reading that took so long, at most: less if something has changed
/// since the reading began. None once it is over.
fn rest(took: Duration, waited: Duration, has_changed: bool) -> Option<Duration> {
    let longest = (took * PAUSES).clamp(PAUSE_MIN, DESCRIBED);
    let pause = match has_changed {
        true => (took * PAUSES_CHANGED).min(longest),
        false => longest,
    };
    pause.checked_sub(waited).filter(|rest| !rest.is_zero())
}

fn differ(known: &[Arc<NodeFacts>], facts: &[Arc<NodeFacts>]) -> bool {
    let mut pairs = known.iter().zip(facts);
    known.len() != facts.len() || pairs.any(|(known, facts)| known.differ(facts))
}

fn recorded(
    topology: Option<(&Topology, Show)>,
    facts: Vec<Arc<NodeFacts>>,
) -> Option<Box<RecordedTopology>> {
    let mut recorded = RecordedTopology {
        utc_ns: utc_ns().ok()?,
        facts,
        ..RecordedTopology::default()
    };
    if let Some((topology, show)) = topology {
        show(&mut recorded.text, topology);
        recorded.json = serde_json::to_value(topology).ok()?;
    }
    Some(Box::new(recorded))
}

/// Reads what decides the way of packets, once.
async fn read_facts(
    nodes: &[Node],
    table: &PodTable,
) -> Result<Vec<Arc<NodeFacts>>, TopologyError> {
    let inputs = nodes.iter().cloned().map(unnamed).collect();
    facts(inputs, table).await
}

/// Reads the topology once, and what decides the way of packets.
pub(crate) async fn describe(
    nodes: Vec<Node>,
    sockets: Sockets,
    table: &PodTable,
) -> Result<(Topology, Vec<Arc<NodeFacts>>), TopologyError> {
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
    let mut inputs: Vec<_> = nodes.into_iter().map(unnamed).collect();
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

/// A node without the data of its runtime.
fn unnamed(node: Node) -> NodeInput {
    NodeInput {
        name: node.name.to_string(),
        netns: node.netns,
        runtime: None,
        pods: Vec::new(),
        unknown: Vec::new(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_is_shorter_once_something_has_changed() {
        let seconds = Duration::from_secs;
        for (took, waited, has_changed, left) in [
            (0, 1, false, Some(4)),
            (0, 5, false, None),
            (0, 0, true, None),
            // A large node is not read all the time.
            (1, 5, false, Some(95)),
            (1, 5, true, Some(15)),
            (20, 0, true, Some(300)),
        ] {
            let rest = rest(seconds(took), seconds(waited), has_changed);
            assert_eq!(rest, left.map(seconds), "{took} {waited} {has_changed}");
        }
    }
}
