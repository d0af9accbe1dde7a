//! What decides the way of packets, from the data of a node.
use std::collections::HashMap;

use super::RawNode;
use crate::{
    model::{
        facts::{self, Device, DeviceKind, DeviceSettings, NodeFacts, Qdisc, Settings},
        tables::{RouteKind, Rule, Tables},
    },
    netns::NetNs,
    node::{
        links::{Link, LinkKind, OperState},
        settings, tables,
    },
    text::sanitize::sanitize,
};

/// Settings and rules of a namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Rest {
    rules: Vec<Rule>,
    /// Whether the rules could be read.
    has_rules: bool,
    pub(super) settings: Settings,
    pub(super) devices: HashMap<u32, DeviceSettings>,
    qdiscs: HashMap<u32, Vec<Qdisc>>,
}

impl Rest {
    /// What cannot be read is left out.
    pub(super) async fn read(netns: &NetNs, links: &[Link]) -> Self {
        let (settings, devices) = settings::read(netns, links);
        let rules = tables::read_rules(netns).await;
        Self {
            has_rules: rules.is_ok(),
            rules: rules.unwrap_or_default(),
            settings,
            devices,
            qdiscs: settings::qdiscs(netns).await,
        }
    }
}

/// A namespace and what was read of it.
struct Source<'a> {
    netns: u64,
    in_pod: bool,
    path: Option<&'a str>,
    links: &'a [Link],
    tables: &'a Tables,
    rest: &'a Rest,
}

/// The facts of the node with this number.
pub(super) fn facts(raw: &RawNode, node: usize) -> NodeFacts {
    let own = raw.input.netns.id;
    let of_node = Source {
        netns: own,
        in_pod: false,
        path: None,
        links: &raw.links,
        tables: &raw.tables,
        rest: &raw.rest,
    };
    let mut host_ends = HashMap::new();
    let mut spaces = Vec::with_capacity(raw.spaces.len() + 1);
    spaces.push(facts::Space::default());
    for space in &raw.spaces {
        let ends: HashMap<u32, (u64, u32)> = space
            .ties
            .iter()
            .map(|(inside, host)| (*inside, (own, *host)))
            .collect();
        let inside = |(inside, host): &(u32, u32)| (*host, (space.id, *inside));
        host_ends.extend(space.ties.iter().map(inside));
        let of_pod = Source {
            netns: space.id,
            in_pod: true,
            path: space.path.as_deref(),
            links: &space.links,
            tables: &space.tables,
            rest: &space.rest,
        };
        spaces.push(of_pod.facts(&ends));
    }
    spaces[0] = of_node.facts(&host_ends);
    let mut facts = NodeFacts {
        node,
        name: raw.input.name.clone(),
        spaces,
        is_cut: !has_all(raw),
    };
    facts.bound();
    facts
}

/// Whether all tables of the node and its pods could be read.
fn has_all(raw: &RawNode) -> bool {
    let mut spaces = raw.spaces.iter();
    raw.rest.has_rules && spaces.all(|space| space.has_tables && space.rest.has_rules)
}

impl Source<'_> {
    fn facts(&self, peers: &HashMap<u32, (u64, u32)>) -> facts::Space {
        let device = |link| self.device(link, peers);
        let mut tables = self.tables.clone();
        tables.routes.retain(|route| route.kind != RouteKind::Other);
        facts::Space {
            netns: self.netns,
            in_pod: self.in_pod,
            path: self.path.map(Into::into),
            devices: self.links.iter().map(device).collect(),
            rules: self.rest.rules.clone(),
            tables,
            settings: self.rest.settings,
        }
    }

    fn device(&self, link: &Link, peers: &HashMap<u32, (u64, u32)>) -> Device {
        let settings = self.rest.devices.get(&link.ifindex).copied();
        let qdiscs = self.rest.qdiscs.get(&link.ifindex).cloned();
        Device {
            ifindex: link.ifindex,
            name: sanitize(&link.name),
            kind: kind(&link.kind),
            up: link.up,
            carrier: matches!(link.oper, OperState::Up | OperState::Unknown),
            mtu: link.mtu,
            mac: link.mac,
            no_arp: Some(link.no_arp),
            master: link.master,
            peer: peers.get(&link.ifindex).copied(),
            addresses: link.prefixes.clone(),
            port: link.port,
            vxlan: match &link.kind {
                LinkKind::Vxlan(vxlan) => Some(vxlan.clone()),
                _ => None,
            },
            settings: settings.unwrap_or_default(),
            qdiscs: qdiscs.unwrap_or_default(),
        }
    }
}

fn kind(kind: &LinkKind) -> DeviceKind {
    match kind {
        LinkKind::Veth => DeviceKind::Veth,
        LinkKind::Bridge => DeviceKind::Bridge,
        LinkKind::Vxlan(_) => DeviceKind::Vxlan,
        LinkKind::Tunnel => DeviceKind::Tunnel,
        LinkKind::Loopback => DeviceKind::Loopback,
        LinkKind::Internal => DeviceKind::Internal,
        LinkKind::Switch | LinkKind::Other => DeviceKind::Other,
    }
}
