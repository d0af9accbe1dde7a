//! Reads the topology from the kernel, and joins it with the data of the runtime.
mod facts;
mod node;
mod pods;
mod space;

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    sync::Arc,
};

use thiserror::Error;

use super::{NodeTopology, Topology, check};
use crate::{
    model::{facts::NodeFacts, pod},
    netns::{NetNs, candidates::candidates},
    node::{
        links::{self, Link, LinksError},
        pod_table::PodTable,
        processes::{self, Scan},
        tables::{self, Tables, TablesError},
        uplinks::{self, uplinks},
    },
    text::sanitize::sanitize,
};
use facts::Rest;
use space::Space;

/// A node to describe, with the data that is known beforehand.
#[derive(Clone, Debug)]
pub struct NodeInput {
    /// Its name.
    pub name: String,
    /// Its network namespace.
    pub netns: NetNs,
    /// The container runtime that gave `pods`; none if none answered.
    pub runtime: Option<String>,
    /// The pods of this node.
    pub pods: Vec<pod::Pod>,
    /// What podtrace could not find out, one statement each.
    pub unknown: Vec<String>,
}

/// Why the topology cannot be read.
#[derive(Debug, Error)]
pub enum TopologyError {
    /// The interfaces of a node cannot be listed.
    #[error(transparent)]
    Links(#[from] LinksError),
    /// The tables of a node cannot be read.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// The processes cannot be read.
    #[error("failed to read the processes")]
    Processes(#[source] io::Error),
}

/// The data of one node, read before its pods' namespaces.
struct RawNode {
    input: NodeInput,
    links: Vec<Link>,
    tables: Tables,
    rest: Rest,
    spaces: Vec<Space>,
}

impl RawNode {
    /// The names of its pods by the ids of their namespaces.
    fn pod_names(&self) -> impl Iterator<Item = (u64, Arc<str>)> {
        self.spaces.iter().map(|space| {
            let mut pods = self.input.pods.iter();
            let known = pods.find(|pod| !pod.host_network && pod.netns_id == Some(space.id));
            let name = known.map(|pod| sanitize(&pod.full_name()));
            let name = name.or_else(|| space.given.clone());
            (
                space.id,
                name.unwrap_or_else(|| space.fallback(None)).into(),
            )
        })
    }

    /// Indices of the node's ends of its pods' veths.
    fn ends_of_pods(&self) -> HashSet<u32> {
        let ties = self.spaces.iter().flat_map(|space| &space.ties);
        ties.map(|(_, host)| *host).collect()
    }
}

/// Reads the nodes and every namespace that is a pod's or tied to them by a veth, and
/// checks them. `table` names namespaces without a runtime. Also returns what decides the way
/// of packets there.
///
/// # Errors
/// When a node cannot be read; a pod's namespace that vanishes meanwhile is
/// left out. Needs a tokio runtime.
pub async fn collect(
    nodes: Vec<NodeInput>,
    table: &PodTable,
) -> Result<(Topology, Vec<Arc<NodeFacts>>), TopologyError> {
    let scan = processes::scan().map_err(TopologyError::Processes)?;
    let kernel = kernel_release();
    let raw_nodes = read(nodes, table).await?;
    let facts = all_facts(&raw_nodes);
    let names: HashMap<u64, Arc<str>> = raw_nodes.iter().flat_map(RawNode::pod_names).collect();
    let mut topology = Topology {
        nodes: raw_nodes
            .into_iter()
            .map(|raw| NodeTopology {
                kernel: kernel.clone(),
                ..node::describe(raw, &scan)
            })
            .collect(),
        ..Topology::default()
    };
    topology.problems = check(&topology, &facts, &|netns| names.get(&netns).cloned());
    Ok((topology, facts))
}

/// Reads what decides the way of packets on the nodes, and nothing else of [`collect`].
///
/// # Errors
/// As [`collect`].
pub async fn facts(
    nodes: Vec<NodeInput>,
    table: &PodTable,
) -> Result<Vec<Arc<NodeFacts>>, TopologyError> {
    Ok(all_facts(&read(nodes, table).await?))
}

fn all_facts(raw_nodes: &[RawNode]) -> Vec<Arc<NodeFacts>> {
    let facts = |(number, raw)| Arc::new(facts::facts(raw, number));
    raw_nodes.iter().enumerate().map(facts).collect()
}

async fn read(nodes: Vec<NodeInput>, table: &PodTable) -> Result<Vec<RawNode>, TopologyError> {
    let mut raw_nodes = Vec::with_capacity(nodes.len());
    for input in nodes {
        let mut links = links::list(&input.netns).await?;
        let tables = tables::read(&input.netns).await?;
        let found = uplinks(&links, &tables.routes);
        uplinks::mark(&mut links, &found);
        raw_nodes.push(RawNode {
            rest: Rest::read(&input.netns, &links).await,
            links,
            tables,
            spaces: Vec::new(),
            input,
        });
    }
    find_spaces(&mut raw_nodes, table).await;
    for raw in &mut raw_nodes {
        let of_pods = raw.ends_of_pods();
        let gated = uplinks::by_gateway(&raw.tables.routes);
        uplinks::mark_cables(&mut raw.links, &gated, |host| {
            of_pods.contains(&host.ifindex)
        });
    }
    Ok(raw_nodes)
}

/// Gives every namespace to the node that it belongs to.
async fn find_spaces(raw_nodes: &mut [RawNode], table: &PodTable) {
    let of_nodes: HashSet<u64> = raw_nodes.iter().map(|raw| raw.input.netns.inode).collect();
    for candidate in candidates() {
        if of_nodes.contains(&candidate.inode) {
            continue;
        }
        // The namespace vanished meanwhile, which is no error.
        let Ok(netns) = NetNs::open(&candidate.path) else {
            continue;
        };
        for raw in raw_nodes.iter_mut() {
            if let Some(space) = Space::read(raw, &netns, &candidate.path, table).await {
                raw.spaces.push(space);
                break;
            }
        }
    }
}

fn kernel_release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

/// Describes what the scan of the processes lacks.
fn missing(scan: &Scan) -> Vec<String> {
    let mut missing = Vec::new();
    match scan.denied {
        0 => {}
        1 => missing.push("the container of a process that may not be read".to_owned()),
        many => missing.push(format!(
            "the containers of {many} processes that may not be read"
        )),
    }
    if scan.truncated {
        missing.push("there are more processes than podtrace reads".to_owned());
    }
    missing
}
