//! Builds the model of one node from its data.
use std::collections::HashMap;

use super::{RawNode, missing};
use crate::{
    node::{
        links::{AddressPrefix, Link, LinkKind, OperState, Vxlan},
        processes::{Namespaces, NsKind, Process, Scan},
        tables::{self, LOCAL_TABLE, NextHop, RouteKind},
        topology::{
            Bridge, FdbEntry, Forwarding, Interface, NodeTopology, Route, State, Tunnel,
            TunnelRoute,
        },
    },
    packet::is_link_local,
    text::sanitize::sanitize,
};

/// Describes a node, except for its kernel.
pub(super) fn describe(raw: RawNode, scan: &Scan) -> NodeTopology {
    let writer = Writer {
        names: names(&raw.links),
        raw: &raw,
        scan,
        own: own_namespaces(raw.input.netns.inode, &scan.processes),
    };
    let mut node = NodeTopology {
        name: raw.input.name.clone(),
        runtime: raw.input.runtime.as_deref().map(sanitize),
        namespaces: writer.own,
        forwarding: Forwarding {
            ipv4: raw.rest.settings.ipv4_forward,
            ipv6: raw.rest.settings.ipv6_forward,
        },
        unknown: raw
            .input
            .unknown
            .iter()
            .map(|text| sanitize(text))
            .collect(),
        routes: writer.routes(),
        ..NodeTopology::default()
    };
    node.unknown.extend(missing(scan));
    writer.interfaces(&mut node);
    writer.pods(&mut node);
    writer.host_network_pods(&mut node);
    node
}

/// The namespaces of the node itself: those of a container's supervisor, which
/// the runtime starts on the node; without containers those of its first
/// process. Without a process only the network's is known.
fn own_namespaces(netns: u64, processes: &[Process]) -> Namespaces {
    let on_node = |process: &&Process| {
        process.namespaces.get(NsKind::Net) == Some(netns) && process.container.is_empty()
    };
    let by_pid: HashMap<u32, &Process> = processes.iter().map(|p| (p.pid, p)).collect();
    let contained = processes
        .iter()
        .filter(|process| process.container.container_id.is_some());
    let supervisor = contained
        .filter_map(|process| by_pid.get(&process.parent).copied())
        .find(on_node);
    let own = supervisor.or_else(|| processes.iter().find(on_node));
    own.map_or_else(
        || [(NsKind::Net, netns)].into_iter().collect(),
        |process| process.namespaces,
    )
}

pub(super) fn names(links: &[Link]) -> HashMap<u32, String> {
    let name = |link: &Link| (link.ifindex, sanitize(&link.name));
    links.iter().map(name).collect()
}

/// Builds the model of a node from its data.
pub(super) struct Writer<'a> {
    pub(super) raw: &'a RawNode,
    pub(super) scan: &'a Scan,
    /// Names of the node's interfaces by index.
    pub(super) names: HashMap<u32, String>,
    /// The node's own namespaces.
    pub(super) own: Namespaces,
}

impl Writer<'_> {
    pub(super) fn interface(&self, link: &Link, names: &HashMap<u32, String>) -> Interface {
        Interface {
            name: sanitize(&link.name),
            ifindex: link.ifindex,
            state: state(link),
            mtu: link.mtu,
            mac: link.mac,
            addresses: link.prefixes.clone(),
            bridge: link.master.and_then(|index| names.get(&index).cloned()),
            forwards_ipv4: None,
        }
    }

    /// An interface through which packets of pods come in.
    fn forwarder(&self, link: &Link) -> Interface {
        let settings = self.raw.rest.devices.get(&link.ifindex);
        Interface {
            forwards_ipv4: settings.and_then(|settings| settings.ipv4_forward),
            ..self.interface(link, &self.names)
        }
    }

    fn routes(&self) -> Vec<Route> {
        let routes = self.raw.tables.routes.iter();
        routes
            .filter(|route| route.table != LOCAL_TABLE && !is_link_local(route.destination))
            .filter(|route| route.kind == RouteKind::Unicast || route.kind.is_refusal())
            .map(|route| Route {
                subnet: prefix_of(route),
                gateway: route.gateway,
                interface: route
                    .ifindex
                    .and_then(|index| self.names.get(&index).cloned()),
                table: route.table,
                refused: route.kind.is_refusal(),
            })
            .collect()
    }

    fn interfaces(&self, node: &mut NodeTopology) {
        let links = &self.raw.links;
        let of_pods = self.raw.ends_of_pods();
        for link in links {
            if link.is_uplink {
                node.uplinks.push(self.interface(link, &self.names));
            }
            match &link.kind {
                LinkKind::Vxlan(vxlan) => node.tunnels.push(self.tunnel(link, vxlan)),
                LinkKind::Bridge => node.bridges.push(self.bridge(link)),
                LinkKind::Loopback => {}
                LinkKind::Veth if of_pods.contains(&link.ifindex) => {}
                _ if link.is_uplink => {}
                LinkKind::Veth
                | LinkKind::Tunnel
                | LinkKind::Switch
                | LinkKind::Internal
                | LinkKind::Other => {
                    node.others.push(self.interface(link, &self.names));
                }
            }
        }
    }

    fn tunnel(&self, link: &Link, vxlan: &Vxlan) -> Tunnel {
        let tables = &self.raw.tables;
        let through = tables.routes.iter().filter(|route| {
            route.kind == RouteKind::Unicast && route.ifindex == Some(link.ifindex)
        });
        let routes = through.filter_map(|route| {
            let gateway = route.gateway?;
            let (mac, vtep) = match tables.next_hop(link.ifindex, gateway) {
                NextHop::NoNeighbour => (None, None),
                NextHop::NoFdb(mac) => (Some(mac), None),
                NextHop::Vtep(mac, vtep) => (Some(mac), Some(vtep)),
            };
            let subnet = prefix_of(route);
            Some(TunnelRoute {
                subnet,
                gateway,
                mac,
                vtep,
            })
        });
        let entries = tables.fdb.iter();
        let entries = entries.filter(|entry| entry.ifindex == link.ifindex && entry.own);
        Tunnel {
            interface: self.forwarder(link),
            vni: vxlan.vni,
            port: vxlan.port,
            local: vxlan.local,
            underlay: vxlan
                .underlay
                .and_then(|index| self.names.get(&index).cloned()),
            learning: vxlan.learning,
            routes: routes.collect(),
            fdb: entries
                .filter_map(|entry| {
                    let vtep = entry.vtep?;
                    let mac = entry.mac;
                    Some(FdbEntry { mac, vtep })
                })
                .collect(),
        }
    }

    fn bridge(&self, link: &Link) -> Bridge {
        let ports = self.raw.links.iter();
        Bridge {
            interface: self.forwarder(link),
            ports: ports
                .filter(|port| port.master == Some(link.ifindex))
                .map(|port| sanitize(&port.name))
                .collect(),
        }
    }
}

fn prefix_of(route: &tables::Route) -> AddressPrefix {
    AddressPrefix {
        address: route.destination,
        len: route.len,
    }
}

fn state(link: &Link) -> State {
    match link.oper {
        _ if !link.up => State::Down,
        OperState::Up | OperState::Unknown => State::Up,
        OperState::Down => State::NoCarrier,
        OperState::LowerLayerDown => State::LowerLayerDown,
        OperState::Waiting => State::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::CgroupName;

    fn process(pid: u32, parent: u32, net: u64, container: Option<&str>) -> Process {
        Process {
            pid,
            parent,
            comm: String::new(),
            start_ticks: 0,
            namespaces: [(NsKind::Net, net), (NsKind::Pid, pid.into())]
                .into_iter()
                .collect(),
            cgroup: String::new(),
            container: CgroupName {
                container_id: container.map(str::to_owned),
                ..CgroupName::default()
            },
        }
    }

    #[test]
    fn supervisor_of_a_container_is_in_the_nodes_namespaces() {
        let mut processes = vec![
            process(1, 0, 5, None),
            process(2, 1, 6, None),
            process(3, 1, 6, None),
        ];
        let own = |processes: &[Process], net| own_namespaces(net, processes).get(NsKind::Pid);
        assert_eq!(own(&processes, 6), Some(2));
        processes.push(process(4, 3, 7, Some("pause")));
        processes.push(process(5, 1, 9, Some("of another node")));
        assert_eq!(own(&processes, 6), Some(3));
        assert_eq!(own(&processes, 8), None);
        assert_eq!(own_namespaces(8, &processes).get(NsKind::Net), Some(8));
    }
}
