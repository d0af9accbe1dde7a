//! Checks by the same rules as verdicts, over the facts of the nodes.
use std::{net::IpAddr, sync::Arc};

use super::{Found, Severity, ports, refusals};
use crate::{
    model::{
        facts::NodeFacts,
        tables::{NeighbourState, NextHop},
    },
    packet::is_link_local,
    rules::{At, Cause, PodNames, View, all_of, link, route, tunnel},
};

/// Checks the nodes. `pods`: the names of the pods in their namespaces.
pub(super) fn check(facts: &[Arc<NodeFacts>], pods: PodNames<'_>, found: &mut Found) {
    let nodes: Vec<&NodeFacts> = facts.iter().map(Arc::as_ref).collect();
    let view = View::new(&nodes, pods);
    for node in &nodes {
        found.node.clone_from(&node.name);
        let far = far_gateways(node);
        for at in all_of(node) {
            if at.device.vxlan.is_some() {
                check_tunnel(view, at, found);
            }
            if at.space.in_pod {
                check_pod(view, at, &far, found);
            } else {
                check_neighbours(view, at, found);
            }
        }
        ports::check(view, node, found);
        refusals::check(view, node, found);
        check_conntrack(node, found);
    }
}

/// The next hops behind the tunnels of a node.
fn far_gateways(node: &NodeFacts) -> Vec<IpAddr> {
    let tunnels = all_of(node).filter(|at| at.device.vxlan.is_some());
    tunnels.flat_map(gateways).collect()
}

fn gateways<'a>(at: At<'a>) -> impl Iterator<Item = IpAddr> + 'a {
    let routes = at.space.tables.routes.iter();
    routes
        .filter(move |route| route.ifindex == Some(at.device.ifindex))
        .filter_map(|route| route.gateway)
}

/// VTEPs and VNIs, by the next hops: the VXLAN interface of a node has the first address of its
/// subnet.
fn check_tunnel(view: View<'_>, at: At<'_>, found: &mut Found) {
    for gateway in gateways(at) {
        if let Some(cause) = tunnel::other_vni(view, at, gateway) {
            found.cause(Severity::Error, &at.device.name, &cause);
        }
        let NextHop::Vtep(mac, vtep) = at.space.tables.next_hop(at.device.ifindex, gateway) else {
            continue;
        };
        if let Some(cause) = tunnel::wrong_vtep(view, at, vtep, Some(mac), Some(gateway)) {
            found.cause(Severity::Error, &at.device.name, &cause);
        }
    }
}

/// The way to a pod and back: the node's route, and the pod's.
fn check_pod(view: View<'_>, at: At<'_>, far: &[IpAddr], found: &mut Found) {
    let addresses = at.device.addresses.iter().map(|own| own.address);
    let addresses = addresses.filter(|address| !is_link_local(*address) && !address.is_loopback());
    let bridge = view.peer(at).and_then(|host| host.bridge());
    // Of what is down, the kernel drops the routes: that is the problem, which others report.
    let Some(near) = bridge.filter(|bridge| bridge.device.up && at.device.up) else {
        return;
    };
    for address in addresses {
        if let Some(cause) = route::reverse_path(view, near, address) {
            found.cause(Severity::Error, &view.owner(at).name, &cause);
        } else if let Some(cause) = route::astray(view, near, address) {
            found.cause(Severity::Error, &view.owner(at).name, &cause);
        }
        let wanted = |to| route::Wanted {
            to,
            from: Some(address),
            input: None,
        };
        if !carries_overlay(near) {
            continue;
        }
        let same_family = far.iter().filter(|far| far.is_ipv4() == address.is_ipv4());
        let lost = same_family.filter_map(|far| route::onward(view, at, wanted(*far)).err());
        // One missing default route is one problem.
        if let Some((cause, false)) = { lost }.next() {
            found.cause(Severity::Error, &view.owner(at).name, &cause);
        }
    }
}

/// Whether a bridge has the subnet that a tunnel of its node stands for; docker0, for example,
/// does not.
fn carries_overlay(bridge: At<'_>) -> bool {
    let devices = bridge.space.devices.iter();
    let mut own = devices
        .filter(|device| device.vxlan.is_some())
        .flat_map(|device| &device.addresses)
        .filter(|own| !is_link_local(own.address));
    let subnets = &bridge.device.addresses;
    own.any(|own| {
        let mut subnets = subnets.iter().filter(|subnet| subnet.len > 0);
        subnets.any(|subnet| subnet.covers(own.address))
    })
}

fn check_neighbours(view: View<'_>, at: At<'_>, found: &mut Found) {
    let neighbours = at.space.tables.neighbours.iter();
    for neighbour in neighbours.filter(|known| known.ifindex == at.device.ifindex) {
        let stale = neighbour
            .mac
            .and_then(|mac| link::stale_mac(view, at, neighbour.address, mac));
        // The kernel asks again soon, unless the entry was written.
        let severity = match neighbour.state {
            NeighbourState::Permanent => Severity::Error,
            _ => Severity::Warning,
        };
        if let Some(cause) = stale {
            found.cause(severity, &at.device.name, &cause);
        }
    }
}

fn check_conntrack(node: &NodeFacts, found: &mut Found) {
    let own = node.spaces.first();
    if let Some((count, max)) = own.and_then(route::full_conntrack) {
        found.warning(
            "nf_conntrack",
            format!("{count} of {max} entries of connection tracking are in use"),
            format!(
                "sysctl -w net.netfilter.nf_conntrack_max={}",
                u64::from(max) * 2
            ),
        );
    }
}

impl Found {
    pub(super) fn cause(&mut self, severity: Severity, subject: &str, cause: &Cause) {
        let problem = cause.to_string();
        // Both families of addresses may show it.
        let mut known = self.problems.iter();
        if known.any(|known| (&known.node, &known.problem) == (&self.node, &problem)) {
            return;
        }
        let hint = cause
            .advice()
            .unwrap_or_else(|| "ip route; ip neigh".to_owned());
        self.add(severity, subject, problem, hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            facts::Space,
            tables::{MAIN_TABLE, Route, RouteKind, Rule, RuleAction},
        },
        packet::Mac,
        rules::fixture::{CNI0, FLANNEL, UPLINK, VETH1, healthy, ip, prefix, route},
    };

    /// The problems with a fault in the facts: `severity node subject: problem`.
    fn found(fault: impl FnOnce(&mut [NodeFacts])) -> String {
        let mut facts = healthy();
        fault(&mut facts);
        let facts: Vec<_> = facts.into_iter().map(Arc::new).collect();
        let mut found = Found::default();
        let pods = |netns| Some(format!("default/pod{netns}").into());
        check(&facts, &pods, &mut found);
        let lines = found.problems.iter().map(|problem| {
            let (node, subject) = (&problem.node, &problem.subject);
            format!(
                "{:?} {node} {subject}: {}\n",
                problem.severity, problem.problem
            )
        });
        lines.collect()
    }

    fn own(all: &mut [NodeFacts]) -> &mut Space {
        &mut all[0].spaces[0]
    }

    fn refuse(space: &mut Space, subnet: &str, kind: RouteKind) {
        space.tables.routes.push(Route {
            ifindex: None,
            kind,
            ..route(subnet, None, 0)
        });
    }

    fn rule(action: RuleAction, from: Option<&str>) -> Rule {
        Rule {
            priority: 0,
            is_ipv4: true,
            from: from.map(prefix),
            to: None,
            input: None,
            action,
            is_conditional: false,
        }
    }

    fn set_vtep(all: &mut [NodeFacts], vtep: &str) {
        let entries = own(all).tables.fdb.iter_mut().filter(|entry| entry.own);
        entries.for_each(|entry| entry.vtep = Some(ip(vtep)));
    }

    #[test]
    fn each_rule_finds_its_fault_and_a_healthy_network_has_none() {
        let lines = [
            found(|_| {}),
            found(|all| set_vtep(all, "192.168.77.11")),
            found(|all| set_vtep(all, "192.168.77.99")),
            found(|all| {
                let mut devices = all[1].spaces[0].devices.iter_mut();
                let tunnel = devices.find(|device| device.ifindex == FLANNEL).unwrap();
                tunnel.vxlan.as_mut().unwrap().vni = 7;
            }),
            found(|all| {
                let astray = route("10.244.1.2/32", None, UPLINK);
                own(all).tables.routes.push(astray);
            }),
            found(|all| {
                own(all).settings.rp_filter = Some(1);
                let astray = route("10.244.1.2/32", None, UPLINK);
                own(all).tables.routes.push(astray);
            }),
            found(|all| all[0].spaces[1].tables.routes.clear()),
            found(|all| {
                let mut neighbours = own(all).tables.neighbours.iter_mut();
                let neighbour = neighbours.find(|known| known.ifindex == CNI0).unwrap();
                neighbour.mac = Some(Mac([2, 9, 9, 9, 9, 9]));
                neighbour.state = NeighbourState::Permanent;
            }),
            found(|all| {
                let mut ports = own(all)
                    .devices
                    .iter_mut()
                    .filter_map(|own| own.port.as_mut());
                ports.next().unwrap().is_forwarding = false;
            }),
            found(|all| {
                let ports = own(all)
                    .devices
                    .iter_mut()
                    .filter_map(|own| own.port.as_mut());
                ports.for_each(|port| port.isolated = true);
            }),
            found(|all| {
                let ports = own(all)
                    .devices
                    .iter_mut()
                    .filter_map(|own| own.port.as_mut());
                ports.for_each(|port| port.flood = false);
                own(all).tables.fdb.retain(|entry| entry.ifindex != VETH1);
            }),
            found(|all| all[0].spaces[1].devices[0].no_arp = Some(true)),
            // The kernel asks the longest prefix first.
            found(|all| {
                refuse(own(all), "10.244.2.2/32", RouteKind::Blackhole);
                refuse(own(all), "10.244.0.0/16", RouteKind::Blackhole);
                refuse(own(all), "10.244.2.128/25", RouteKind::Prohibit);
                refuse(own(all), "10.99.0.0/16", RouteKind::Unreachable);
            }),
            found(|all| {
                refuse(
                    &mut all[0].spaces[1],
                    "10.244.2.0/24",
                    RouteKind::Unreachable,
                )
            }),
            found(|all| {
                let refusal = RuleAction::Refuse(RouteKind::Prohibit);
                own(all).rules = vec![rule(refusal, Some("10.244.1.2/32"))];
                own(all)
                    .rules
                    .push(rule(RuleAction::Table(MAIN_TABLE), None));
            }),
            // Behind the routes, it refuses what has none.
            found(|all| {
                own(all).rules = vec![rule(RuleAction::Table(MAIN_TABLE), None)];
                let refusal = RuleAction::Refuse(RouteKind::Prohibit);
                own(all).rules.push(rule(refusal, None));
            }),
            found(|all| {
                let settings = &mut own(all).settings;
                (settings.conntrack_count, settings.conntrack_max) = (Some(95), Some(100));
            }),
        ];
        insta::assert_snapshot!(lines.join("---\n"));
    }
}
