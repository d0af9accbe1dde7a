//! The topology as a graph in Graphviz's language, a cluster for each node and
//! each pod: `podtrace topology -o dot | dot -Tsvg`.
use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr};

use super::node_of_vtep;
use crate::node::topology::{Interface, NodeTopology, Pod, Topology};

/// Appends the graph.
pub fn write(out: &mut String, topology: &Topology) {
    out.push_str("graph podtrace {\n  rankdir=LR\n  node [shape=box]\n");
    for (number, node) in topology.nodes.iter().enumerate() {
        let graph = Graph {
            topology,
            node,
            number,
        };
        graph.cluster(out);
    }
    write_vteps(out, topology);
    out.push_str("}\n");
}

/// Nodes that are known by their VTEPs only.
fn write_vteps(out: &mut String, topology: &Topology) {
    let tunnels = topology.nodes.iter().flat_map(|node| &node.tunnels);
    let vteps = tunnels.flat_map(|tunnel| tunnel.routes.iter().filter_map(|route| route.vtep));
    let mut others: Vec<IpAddr> = vteps
        .filter(|vtep| node_of_vtep(topology, *vtep).is_none())
        .collect();
    others.sort_unstable();
    others.dedup();
    for vtep in others {
        let (id, label) = (
            quote(&format!("vtep {vtep}")),
            quote(&format!("VTEP {vtep}")),
        );
        let _ = writeln!(out, "  {id} [label={label} shape=ellipse]");
    }
}

struct Graph<'a> {
    topology: &'a Topology,
    node: &'a NodeTopology,
    number: usize,
}

impl Graph<'_> {
    fn cluster(&self, out: &mut String) {
        let node = self.node;
        let label = format!("node {}\nkernel {}", node.name, node.kernel);
        let _ = writeln!(
            out,
            "  subgraph cluster_{} {{\n    label={}",
            self.number,
            quote(&label)
        );
        let tunnels = node.tunnels.iter().map(|tunnel| &tunnel.interface);
        let bridges = node.bridges.iter().map(|bridge| &bridge.interface);
        for interface in node.uplinks.iter().chain(tunnels).chain(bridges) {
            self.interface(out, "    ", &self.id(&interface.name), interface);
        }
        let unnamed = node.pods.len();
        for (number, pod) in node.spaces().chain(&node.host_network_pods).enumerate() {
            self.pod(out, number, pod, number >= unnamed);
        }
        out.push_str("  }\n");
        self.tunnel_edges(out);
    }

    fn id(&self, name: &str) -> String {
        quote(&format!("{}/{name}", self.number))
    }

    fn style(&self, subject: &str) -> &'static str {
        let mut problems = self.topology.problems.iter();
        let bad =
            problems.any(|problem| problem.node == self.node.name && problem.subject == subject);
        if bad { " color=red fontcolor=red" } else { "" }
    }

    fn interface(&self, out: &mut String, indent: &str, id: &str, interface: &Interface) {
        let mut label = format!("{}\nMTU {}", interface.name, interface.mtu);
        for address in interface.global() {
            let _ = write!(label, "\n{address}");
        }
        let style = self.style(&interface.name);
        let _ = writeln!(out, "{indent}{id} [label={}{style}]", quote(&label));
    }

    /// A pod's cluster, the node's ends of its veths, and the lines to them.
    fn pod(&self, out: &mut String, number: usize, pod: &Pod, dashed: bool) {
        let cluster = format!("cluster_{}_{number}", self.number);
        let dashed = if dashed { " style=dashed" } else { "" };
        let style = self.style(&pod.name);
        let label = quote(&pod.name);
        let _ = writeln!(
            out,
            "    subgraph {cluster} {{\n      graph [label={label}{dashed}{style}]"
        );
        let inside = |name: &str| self.id(&format!("{number}/{name}"));
        for own in &pod.interfaces {
            self.interface(out, "      ", &inside(&own.interface.name), &own.interface);
        }
        for container in &pod.containers {
            let unnamed = if container.sandbox {
                "sandbox"
            } else {
                "container"
            };
            let name = container.name.as_deref().unwrap_or(unnamed);
            let label = quote(&format!("{name}\n{}", container.short_id()));
            let id = inside(&container.id);
            let _ = writeln!(out, "      {id} [label={label} shape=component]");
        }
        out.push_str("    }\n");
        for own in &pod.interfaces {
            let id = inside(&own.interface.name);
            for container in &pod.containers {
                let _ = writeln!(out, "    {} -- {id} [style=dotted]", inside(&container.id));
            }
            let Some(host) = &own.host else {
                continue;
            };
            let veth = self.id(&host.interface.name);
            self.interface(out, "    ", &veth, &host.interface);
            let _ = writeln!(out, "    {id} -- {veth}");
            if let Some(bridge) = &host.interface.bridge {
                let _ = writeln!(out, "    {veth} -- {}", self.id(bridge));
            }
        }
    }

    /// From bridges over tunnels and uplinks to the other nodes.
    fn tunnel_edges(&self, out: &mut String) {
        for tunnel in &self.node.tunnels {
            let id = self.id(&tunnel.interface.name);
            for bridge in self
                .node
                .bridges
                .iter()
                .filter(|bridge| self.node.is_overlay(bridge))
            {
                let bridge = self.id(&bridge.interface.name);
                let _ = writeln!(out, "  {bridge} -- {id} [style=dashed label=routed]");
            }
            let carrier = tunnel.underlay.as_ref().map(|name| self.id(name));
            if let Some(carrier) = &carrier {
                let label = quote(&format!("VNI {}, UDP port {}", tunnel.vni, tunnel.port));
                let _ = writeln!(out, "  {id} -- {carrier} [label={label}]");
            }
            let mut subnets: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
            for route in &tunnel.routes {
                if let Some(vtep) = route.vtep {
                    subnets
                        .entry(vtep)
                        .or_default()
                        .push(route.subnet.to_string());
                }
            }
            for (vtep, subnets) in subnets {
                let (from, to) = (carrier.as_ref().unwrap_or(&id), self.far_end(vtep));
                let label = quote(&subnets.join("\n"));
                let _ = writeln!(out, "  {from} -- {to} [label={label}]");
            }
        }
    }

    /// The uplink or tunnel of another node that is shown, else its VTEP.
    fn far_end(&self, vtep: IpAddr) -> String {
        let mut nodes = self.topology.nodes.iter().enumerate();
        let name = nodes.find_map(|(number, node)| {
            let mut tunnels = node.tunnels.iter();
            let tunnel = tunnels.find(|tunnel| tunnel.local == Some(vtep))?;
            let name = tunnel.underlay.as_ref().unwrap_or(&tunnel.interface.name);
            Some(format!("{number}/{name}"))
        });
        quote(&name.unwrap_or_else(|| format!("vtep {vtep}")))
    }
}

/// A string of the language: in quotes, with characters escaped that would end it or have a
/// meaning in Graphviz.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn nothing_ends_a_string_early() {
        assert_eq!(quote("a\"]; x\\\n"), "\"a\\\"]; x\\\\\\n\"");
    }
}
