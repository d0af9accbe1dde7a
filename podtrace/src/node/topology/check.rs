//! Finds the problems of a topology. Pure: it depends on the model and on the facts only.
//!
//! A check fires if packets are certainly lost, or if a setting differs from what the
//! overlay needs; a healthy flannel node has no problems.
mod bridges;
mod nodes;
mod pods;
mod ports;
mod refusals;
mod rules;
mod tunnels;

use std::{net::IpAddr, sync::Arc};

use serde::Serialize;

use super::{Bridge, Interface, NodeTopology, Topology, Tunnel};
use crate::{
    field::{object, texts},
    model::facts::NodeFacts,
    order::Order as _,
    packet::is_link_local,
    rules::PodNames,
};

object! {
    /// What the checks look at, so that nobody takes "no problems" for more than it says.
    pub Checked as "checked" (Clone, Debug, PartialEq, Eq) {
        /// what the checks look at; recordings of podtrace 0.1 may not say it
        looked_at: Option<&'static [&'static str]>,
        /// what drops packets, and no check looks at; recordings of podtrace 0.1 may not say it
        not_looked_at: Option<&'static [&'static str]>,
    }
}

impl Default for Checked {
    fn default() -> Self {
        Self {
            looked_at: Some(&[
                "states of interfaces",
                "MTUs",
                "addresses",
                "IP forwarding",
                "routes",
                "routes and policy rules that refuse",
                "bridge ports (state, isolation, flooding)",
                "neighbour and forwarding entries",
                "VTEPs, VNIs and UDP ports of VXLAN",
                "rp_filter",
                "use of connection tracking",
            ]),
            not_looked_at: Some(&[
                "firewall rules (iptables, nftables, also of ARP, NetworkPolicies)",
                "Services",
                "queueing disciplines, tc and BPF programs of others",
                "VRFs, and routes by mark, port or user",
                "hairpin mode and VLANs of bridge ports",
                "the network between the nodes",
            ]),
        }
    }
}

/// The severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Packets are lost.
    Error,
    /// Some packets may be lost or slow.
    Warning,
}

texts!(Severity);

object! {
    /// A problem.
    pub Problem as "problem" (Clone, Debug, PartialEq, Eq) {
        /// `error`: packets are lost; `warning`: some may be lost or slow
        severity: Severity,
        /// the node it is on
        node: String,
        /// its subject: the name of an interface or a pod, `ip_forward`, `route 10.244.2.0/24`
        subject: String,
        /// what is wrong
        problem: String,
        /// what to do about it
        hint: String,
    }
}

/// Finds the problems; the worst first, else in the order of the nodes. `pods`: the names of the
/// pods in the namespaces of `facts`.
#[must_use]
pub fn check(topology: &Topology, facts: &[Arc<NodeFacts>], pods: PodNames<'_>) -> Vec<Problem> {
    let mut found = Found::default();
    for node in &topology.nodes {
        found.node.clone_from(&node.name);
        nodes::check(node, &mut found);
        for tunnel in &node.tunnels {
            tunnels::check(node, tunnel, &mut found);
        }
        bridges::check(node, &mut found);
        for pod in node.spaces() {
            pods::check(node, pod, &mut found);
        }
    }
    nodes::check_together(&topology.nodes, &mut found);
    pods::check_addresses(&topology.nodes, &mut found);
    rules::check(facts, pods, &mut found);
    found.problems.order_by_key(|problem| problem.severity);
    found.problems
}

/// The problems found so far, and the node being checked.
#[derive(Default)]
struct Found {
    node: String,
    problems: Vec<Problem>,
}

impl Found {
    fn error(&mut self, subject: &str, problem: String, hint: String) {
        self.add(Severity::Error, subject, problem, hint);
    }

    fn warning(&mut self, subject: &str, problem: String, hint: String) {
        self.add(Severity::Warning, subject, problem, hint);
    }

    fn add(&mut self, severity: Severity, subject: &str, problem: String, hint: String) {
        self.problems.push(Problem {
            severity,
            node: self.node.clone(),
            subject: subject.to_owned(),
            problem,
            hint,
        });
    }
}

impl NodeTopology {
    /// Whether a bridge carries the overlay's pods; docker0, for example, does not.
    pub(crate) fn is_overlay(&self, bridge: &Bridge) -> bool {
        let of_tunnel = self
            .tunnels
            .iter()
            .flat_map(|tunnel| &tunnel.interface.addresses)
            .filter(|prefix| !is_link_local(prefix.address))
            .any(|own| {
                let subnets = bridge.interface.addresses.iter();
                subnets
                    .filter(|subnet| subnet.len > 0)
                    .any(|subnet| subnet.covers(own.address))
            });
        of_tunnel || self.pods.iter().any(|pod| pod.is_port_of(bridge))
    }
    /// The node's ends of all veths of pods.
    fn hosts(&self) -> impl Iterator<Item = &super::HostEnd> {
        let interfaces = self.spaces().flat_map(|pod| &pod.interfaces);
        interfaces.filter_map(|own| own.host.as_ref())
    }
}

impl super::Pod {
    /// Whether one of its veths is a port of the bridge.
    fn is_port_of(&self, bridge: &Bridge) -> bool {
        let mut hosts = self.interfaces.iter().filter_map(|own| own.host.as_ref());
        hosts.any(|host| host.interface.bridge.as_ref() == Some(&bridge.interface.name))
    }
}

impl Interface {
    /// Its addresses that are valid beyond the link.
    pub(crate) fn global(&self) -> impl Iterator<Item = IpAddr> {
        let addresses = self.addresses.iter().map(|prefix| prefix.address);
        addresses.filter(|address| !is_link_local(*address))
    }
}

/// The tunnel with the largest MTU, which bounds what a pod may send.
fn widest_tunnel(node: &NodeTopology) -> Option<&Tunnel> {
    node.tunnels
        .iter()
        .max_by_key(|tunnel| tunnel.interface.mtu)
}

/// Whether an address is one of the node's own.
fn is_own(node: &NodeTopology, address: IpAddr) -> bool {
    let bridges = node.bridges.iter().map(|bridge| &bridge.interface);
    let tunnels = node.tunnels.iter().map(|tunnel| &tunnel.interface);
    let others = node.uplinks.iter().chain(&node.others);
    let mut interfaces = bridges.chain(tunnels).chain(others);
    interfaces.any(|own| own.addresses.iter().any(|prefix| prefix.address == address))
        || node.hosts().any(|host| {
            let mut own = host.interface.addresses.iter();
            own.any(|prefix| prefix.address == address)
        })
}

#[cfg(test)]
mod tests;
