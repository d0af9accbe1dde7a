//! The topology as a tree for people.
mod pods;

use std::{fmt::Write as _, net::IpAddr};

use anstyle::Style;

use super::{
    node_of_vtep,
    tree::{Row, sign},
};
use crate::{
    node::{
        tables::MAIN_TABLE,
        topology::{
            Bridge, Interface, NodeTopology, Problem, Route, Severity, State, Topology, Tunnel,
            TunnelRoute,
        },
    },
    output::{
        paint::{BOLD, DIM, GREEN, NODE, PLAIN, POD, Painter, YELLOW},
        width::Width,
    },
    packet::is_link_local,
    text::{count::counted, wrap::wrap_tree},
};

/// Appends the trees of all nodes, then the problems and the scope of the checks.
pub fn write(out: &mut String, topology: &Topology, color: bool, width: Width) {
    let begin = out.len();
    let painter = Painter { color };
    for node in &topology.nodes {
        let view = View { topology, node };
        view.tree().draw(out, painter);
        out.push('\n');
    }
    list_problems(out, topology, color);
    for (what, things) in [
        ("looked at", topology.checked.looked_at),
        ("not looked at", topology.checked.not_looked_at),
    ] {
        painter.paint(
            out,
            DIM,
            &format!("{what}: {}", things.unwrap_or_default().join(", ")),
        );
        out.push('\n');
    }
    wrap_tree(out, begin, width.columns());
}

/// A tree that was made for any width.
#[must_use]
pub fn fitted(mut tree: String, width: Width) -> String {
    wrap_tree(&mut tree, 0, width.columns());
    tree
}

/// Appends the problems.
pub fn write_problems(out: &mut String, topology: &Topology, color: bool, width: Width) {
    let begin = out.len();
    list_problems(out, topology, color);
    wrap_tree(out, begin, width.columns());
}

fn list_problems(out: &mut String, topology: &Topology, color: bool) {
    let painter = Painter { color };
    if topology.problems.is_empty() {
        painter.paint(out, GREEN, "no problems found");
        out.push('\n');
        return;
    }
    let problems = counted(topology.problems.len() as u64, "problem");
    let _ = writeln!(out, "{problems}");
    for problem in &topology.problems {
        let Problem {
            severity,
            node,
            subject,
            problem,
            hint,
        } = problem;
        let (style, text) = sign(*severity);
        out.push_str("  ");
        painter.paint(out, style, &format!("{text:<9}"));
        out.push_str("  ");
        painter.paint(out, BOLD, &format!("{node} {subject}"));
        let _ = writeln!(out, ": {problem}");
        painter.paint(out, DIM, &format!("             hint: {hint}"));
        out.push('\n');
    }
}

/// One node in its topology.
struct View<'a> {
    topology: &'a Topology,
    node: &'a NodeTopology,
}

impl View<'_> {
    /// The worst problem of something on the node.
    fn mark(&self, subject: &str) -> Option<Severity> {
        let problems = self.topology.problems.iter();
        problems
            .filter(|problem| problem.node == self.node.name && problem.subject == subject)
            .map(|problem| problem.severity)
            .min()
    }

    fn tree(&self) -> Row {
        let node = self.node;
        let mut tree = self.head();
        for uplink in &node.uplinks {
            tree.child(self.interface("uplink", uplink));
        }
        for tunnel in &node.tunnels {
            tree.child(self.tunnel(tunnel));
        }
        for bridge in &node.bridges {
            tree.child(self.bridge(bridge));
        }
        for other in &node.others {
            tree.child(self.interface("other", other));
        }
        let routes: Vec<_> = node
            .routes
            .iter()
            .filter(|route| !self.is_shown(route))
            .collect();
        if !routes.is_empty() {
            let rows = routes.into_iter().map(route);
            tree.child(Row::line(BOLD, "routes").children(rows));
        }
        for (title, pods) in [
            ("pods", &node.pods),
            (
                "pods in the node's network namespace",
                &node.host_network_pods,
            ),
            ("namespaces without a known pod", &node.unnamed),
        ] {
            if !pods.is_empty() {
                let rows = pods.iter().map(|pod| self.pod(pod));
                tree.child(Row::line(BOLD, title).children(rows));
            }
        }
        for text in &node.unknown {
            tree.child(Row::line(DIM, format!("not known: {text}")));
        }
        tree
    }

    fn head(&self) -> Row {
        let node = self.node;
        let mut facts = vec![format!("kernel {}", node.kernel)];
        for (family, on) in [
            ("IPv4", node.forwarding.ipv4),
            ("IPv6", node.forwarding.ipv6),
        ] {
            if let Some(on) = on {
                let on = if on { "on" } else { "off" };
                facts.push(format!("{family} forwarding {on}"));
            }
        }
        facts.extend(pods::inodes(&node.namespaces, |kind| kind == pods::NET));
        facts.extend(node.runtime.clone());
        Row::new("head")
            .cell(BOLD, format!("node {}", node.name))
            .cell(PLAIN, facts.join(" · "))
            .mark(self.mark("ip_forward"))
    }

    fn interface(&self, kind: &str, interface: &Interface) -> Row {
        Row::new("interface")
            .cell(PLAIN, kind)
            .cell(NODE, &interface.name)
            .cell(state_style(interface.state), state(interface.state))
            .cell(PLAIN, format!("MTU {}", interface.mtu))
            .cell(PLAIN, addresses(interface))
            .mark(self.mark(&interface.name))
    }

    fn tunnel(&self, tunnel: &Tunnel) -> Row {
        let mut settings = format!("VNI {}, UDP port {}", tunnel.vni, tunnel.port);
        if let Some(local) = tunnel.local {
            let _ = write!(settings, ", local {local}");
        }
        if let Some(underlay) = &tunnel.underlay {
            let _ = write!(settings, " over {underlay}");
        }
        settings += if tunnel.learning { ", learning" } else { "" };
        let unused = tunnel.fdb.iter().filter(|entry| {
            let mut routes = tunnel.routes.iter();
            !routes.any(|route| route.mac == Some(entry.mac))
        });
        let unused = unused.map(|entry| {
            let text = format!("{} -> VTEP {}, used by no route", entry.mac, entry.vtep);
            Row::line(DIM, text)
        });
        self.interface("vxlan", &tunnel.interface)
            .cell(PLAIN, settings)
            .children(tunnel.routes.iter().map(|route| self.tunnel_route(route)))
            .children(unused)
    }

    fn tunnel_route(&self, route: &TunnelRoute) -> Row {
        let mac = route
            .mac
            .map_or_else(|| "no neighbour entry".to_owned(), |mac| mac.to_string());
        let row = Row::new("tunnel route")
            .cell(PLAIN, route.subnet.to_string())
            .cell(PLAIN, format!("via {}", route.gateway))
            .cell(PLAIN, format!("-> {mac}"));
        let row = match (route.mac, route.vtep) {
            (_, Some(vtep)) => row.cell(NODE, format!("-> VTEP {vtep}{}", self.owner(vtep))),
            (Some(_), None) => row.cell(PLAIN, "-> no forwarding entry"),
            (None, None) => row,
        };
        row.mark(self.mark(&format!("route {}", route.subnet)))
    }

    fn owner(&self, vtep: IpAddr) -> String {
        node_of_vtep(self.topology, vtep)
            .map_or_else(String::new, |node| format!(" ({})", node.name))
    }

    fn bridge(&self, bridge: &Bridge) -> Row {
        let ports = bridge.ports.iter().map(|port| {
            let mut spaces = self.node.spaces();
            let pod = spaces.find(|pod| {
                let mut hosts = pod.interfaces.iter().filter_map(|own| own.host.as_ref());
                hosts.any(|host| host.interface.name == *port)
            });
            Row::new("port")
                .cell(PLAIN, format!("port {port}"))
                .cell(POD, pod.map_or("", |pod| pod.name.as_str()))
                .mark(self.mark(port))
        });
        self.interface("bridge", &bridge.interface).children(ports)
    }

    /// Whether a route is shown below its tunnel already.
    fn is_shown(&self, route: &Route) -> bool {
        let mut tunnels = self.node.tunnels.iter();
        tunnels.any(|tunnel| {
            let mut below = tunnel.routes.iter();
            route.interface.as_ref() == Some(&tunnel.interface.name)
                && below.any(|other| {
                    other.subnet == route.subnet && Some(other.gateway) == route.gateway
                })
        })
    }
}

fn route(route: &Route) -> Row {
    let subnet = if route.subnet.len == 0 {
        let family = if route.subnet.address.is_ipv4() {
            "IPv4"
        } else {
            "IPv6"
        };
        format!("default {family}")
    } else {
        route.subnet.to_string()
    };
    let gateway = route
        .gateway
        .map_or_else(String::new, |gateway| format!("via {gateway}"));
    let refused = if route.refused { "refused" } else { "" };
    let table = if route.table == MAIN_TABLE {
        String::new()
    } else {
        format!("table {}", route.table)
    };
    Row::new("route")
        .cell(PLAIN, subnet)
        .cell(PLAIN, gateway)
        .cell(NODE, route.interface.as_deref().unwrap_or(refused))
        .cell(DIM, table)
}

fn addresses(interface: &Interface) -> String {
    let global = interface.addresses.iter();
    let global = global.filter(|prefix| !is_link_local(prefix.address));
    global
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn state(state: State) -> &'static str {
    match state {
        State::Up => "up",
        State::Down => "down",
        State::NoCarrier => "no carrier",
        State::LowerLayerDown => "lower layer down",
        State::Waiting => "waiting",
    }
}

fn state_style(state: State) -> Style {
    match state {
        State::Up => GREEN,
        _ => YELLOW,
    }
}
