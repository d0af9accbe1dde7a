//! The network of the nodes, as far as a picture shows it: from documents as
//! `podtrace topology -o json` and recordings have them.
pub(crate) mod document;
pub(crate) mod svg;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::recorded::{Problem, list, number, text};
use crate::{order::Order as _, text::sanitize::sanitize};

/// How many pods of a bridge are drawn.
const PODS_MAX: usize = 16;

/// Packets seen, and packets lost behind, by node, pod and interface.
pub(crate) type Traffic = HashMap<(Arc<str>, Option<Arc<str>>, Arc<str>), (u64, u64)>;

/// All nodes of which the topology is known.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    nodes: Vec<Node>,
    /// VTEPs of nodes that are not drawn.
    beyond: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Node {
    name: String,
    groups: Vec<Group>,
    tunnels: Vec<Tunnel>,
    uplinks: Vec<Link>,
}

/// A bridge and the pods at it, or pods at none.
#[derive(Debug, Default)]
struct Group {
    bridge: Option<Link>,
    pods: Vec<Pod>,
    /// How many more pods there are.
    more: usize,
}

#[derive(Debug)]
struct Pod {
    name: String,
    own: Link,
    /// The node's end of its veth pair.
    veth: String,
}

#[derive(Debug)]
struct Tunnel {
    link: Link,
    vni: u64,
    port: u64,
    underlay: Option<String>,
}

/// An interface.
#[derive(Debug)]
struct Link {
    name: String,
    address: Option<String>,
    is_up: bool,
    /// Whether something is wrong with it by itself.
    has_problem: bool,
    packets: u64,
    lost: u64,
}

impl Link {
    fn is_bad(&self) -> bool {
        self.lost > 0 || self.has_problem || !self.is_up
    }
}

/// What is known of interfaces beside what they are.
struct Known<'a> {
    traffic: &'a Traffic,
    /// What is broken by itself, by node and name.
    subjects: HashSet<(&'a str, &'a str)>,
}

impl Picture {
    /// The nodes of several documents. `problems`: those that are marked.
    pub(crate) fn of<'a>(
        documents: impl Iterator<Item = &'a Value> + Clone,
        traffic: &Traffic,
        problems: &[Problem],
    ) -> Self {
        let subjects = problems.iter();
        let subjects = subjects.map(|problem| (problem.node.as_str(), problem.subject.as_str()));
        let known = Known {
            traffic,
            subjects: subjects.collect(),
        };
        let all = || documents.clone().flat_map(|json| list(json, "nodes"));
        let mut nodes: Vec<_> = all().map(|json| node(json, &known)).collect();
        nodes.order_by(|one, other| one.name.cmp(&other.name));
        // Two recordings of one node.
        nodes.dedup_by(|one, other| one.name == other.name);
        Self {
            nodes,
            beyond: beyond(all),
        }
    }
}

/// The VTEPs behind tunnels that are no drawn node's.
fn beyond<'a, N: Iterator<Item = &'a Value>>(nodes: impl Fn() -> N) -> BTreeSet<String> {
    let tunnels = || nodes().flat_map(|node| list(node, "tunnels"));
    let own: BTreeSet<_> = tunnels()
        .filter_map(|tunnel| text(tunnel, "local"))
        .collect();
    let routes = tunnels().flat_map(|tunnel| list(tunnel, "routes"));
    let vteps = routes.filter_map(|route| text(route, "vtep"));
    vteps.filter(|vtep| !own.contains(vtep)).collect()
}

fn node(json: &Value, known: &Known<'_>) -> Node {
    let name = text(json, "name").unwrap_or_default();
    let link = |json: &Value| link(&name, None, json, known);
    let mut groups: BTreeMap<Option<String>, Vec<Pod>> = BTreeMap::new();
    for json in list(json, "pods").chain(list(json, "unnamed")) {
        for (bridge, pod) in pods(&name, json, known) {
            groups.entry(bridge).or_default().push(pod);
        }
    }
    let mut found = Vec::new();
    for bridge in list(json, "bridges") {
        let bridge = link(bridge);
        let pods = groups.remove(&Some(bridge.name.clone()));
        found.push(group(Some(bridge), pods.unwrap_or_default()));
    }
    // At no bridge, or at another kind of master.
    found.extend(groups.into_values().map(|pods| group(None, pods)));
    let tunnels = list(json, "tunnels").map(|json| Tunnel {
        link: link(json),
        vni: number(json, "vni"),
        port: number(json, "port"),
        underlay: text(json, "underlay"),
    });
    Node {
        groups: found,
        tunnels: tunnels.collect(),
        uplinks: list(json, "uplinks").map(link).collect(),
        name,
    }
}

/// The interfaces of a pod that lead to the node, each with the bridge behind it.
fn pods<'a>(
    node: &'a str,
    json: &'a Value,
    known: &'a Known<'a>,
) -> impl Iterator<Item = (Option<String>, Pod)> + 'a {
    let name: Arc<str> = text(json, "name").unwrap_or_default().into();
    list(json, "interfaces").filter_map(move |own| {
        let host = own.get("host")?;
        let mut pod = Pod {
            name: name.to_string(),
            own: link(node, Some(&name), own, known),
            veth: text(host, "name").unwrap_or_default(),
        };
        let names = [pod.name.as_str(), &pod.veth];
        pod.own.has_problem = names
            .into_iter()
            .any(|name| known.subjects.contains(&(node, name)));
        Some((text(host, "bridge"), pod))
    })
}

/// A bridge with the pods that tell most.
fn group(bridge: Option<Link>, mut pods: Vec<Pod>) -> Group {
    if pods.len() > PODS_MAX {
        pods.order_by_key(|pod| Reverse((pod.own.has_problem, pod.own.lost, pod.own.packets)));
    }
    let more = pods.len().saturating_sub(PODS_MAX);
    pods.truncate(PODS_MAX);
    pods.order_by(|one, other| (&one.name, &one.veth).cmp(&(&other.name, &other.veth)));
    Group { bridge, pods, more }
}

fn link(node: &str, pod: Option<&Arc<str>>, json: &Value, known: &Known<'_>) -> Link {
    let name = text(json, "name").unwrap_or_default();
    let has_problem = known.subjects.contains(&(node, name.as_str()));
    let key = (node.into(), pod.cloned(), name.as_str().into());
    let (packets, lost) = known.traffic.get(&key).copied().unwrap_or_default();
    let address = |prefix: &Value| Some(sanitize(prefix.as_str()?.split('/').next()?));
    let mut addresses = list(json, "addresses").filter_map(address);
    // IPv4 comes first.
    let address = addresses.next();
    Link {
        name,
        address,
        is_up: text(json, "state").is_none_or(|state| state == "up"),
        has_problem,
        packets,
        lost,
    }
}
