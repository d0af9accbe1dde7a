//! Where what has a name is: pods, Services and nodes, by what is known now.
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::World;
use crate::{model::tap_point::Role, order::Order as _};

/// What has a name, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its name, safe for a terminal.
    pub name: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// The node that it is, or that it is on.
    pub node: Option<Arc<str>>,
    /// Id of its network namespace, if that is of a traced node.
    pub netns: Option<u64>,
    /// Its addresses, in order.
    pub addresses: Vec<IpAddr>,
    /// Protocol and port of each port of a Service.
    pub ports: Vec<(u8, u16)>,
}

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A pod.
    Pod,
    /// A Service.
    Service,
    /// A node.
    Node,
    /// An address of somebody unknown.
    Address,
}

impl Kind {
    /// Its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Node => "node",
            Self::Address => "address",
        }
    }
}

impl Located {
    fn new(name: &Arc<str>, kind: Kind) -> Self {
        Self {
            name: Arc::clone(name),
            kind,
            node: None,
            netns: None,
            addresses: Vec::new(),
            ports: Vec::new(),
        }
    }
}

impl World {
    /// All whose names fit: pods, those of the traced nodes first, then Services and nodes.
    #[must_use]
    pub fn locate(&self, fits: &dyn Fn(&str) -> bool) -> Vec<Located> {
        let mut found = self.local_pods(fits);
        let known = |found: &[Located], name: &str| found.iter().any(|one| *one.name == *name);
        let mut remote: Vec<_> = self.identities.cluster_pods(fits).collect();
        remote.order_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        for (pod, addresses) in remote {
            if !known(&found, &pod.name) {
                found.push(Located {
                    node: pod.node.clone(),
                    addresses: addresses.to_vec(),
                    ..Located::new(&pod.name, Kind::Pod)
                });
            }
        }
        let mut services: Vec<_> = self.identities.cluster_services(fits).collect();
        services.order_by(|(one, _), (other, _)| one.cmp(other));
        for (name, service) in services {
            let ports = service.ports.iter();
            found.push(Located {
                addresses: service.addresses.clone(),
                ports: ports.map(|port| (port.protocol, port.port)).collect(),
                ..Located::new(&name, Kind::Service)
            });
        }
        found.extend(self.nodes_named(fits));
        found
    }

    fn local_pods(&self, fits: &dyn Fn(&str) -> bool) -> Vec<Located> {
        let mut pods: BTreeMap<u64, Located> = BTreeMap::new();
        for (address, holder, _) in self.identities.held_addresses() {
            let Some((netns, name)) = holder
                .netns
                .and_then(|netns| Some((netns, self.identities.known_pod(netns)?)))
            else {
                continue;
            };
            if fits(&name) && is_reached(address) {
                let pod = pods.entry(netns).or_insert_with(|| Located {
                    node: self.node_name(holder.node),
                    netns: Some(netns),
                    ..Located::new(&name, Kind::Pod)
                });
                pod.addresses.push(address);
            }
        }
        // One may have lost its addresses.
        for point in self.tap_points.iter() {
            let netns = point.pod_netns();
            let named = netns.and_then(|netns| Some((netns, self.identities.known_pod(netns)?)));
            if let Some((netns, name)) = named
                && fits(&name)
            {
                pods.entry(netns).or_insert_with(|| Located {
                    node: Some(Arc::clone(&point.node_name)),
                    netns: Some(netns),
                    ..Located::new(&name, Kind::Pod)
                });
            }
        }
        let mut pods: Vec<_> = pods.into_values().collect();
        pods.iter_mut()
            .for_each(|pod| pod.addresses.sort_unstable());
        pods.order_by(|one, other| one.name.cmp(&other.name));
        pods
    }

    fn nodes_named(&self, fits: &dyn Fn(&str) -> bool) -> Vec<Located> {
        let mut found = Vec::new();
        for (number, name) in self.nodes.iter().enumerate().filter(|(_, name)| fits(name)) {
            let points = || {
                let points = self.tap_points.iter();
                points.filter(move |point| point.node == number && !point.in_pod)
            };
            found.push(Located {
                node: Some(Arc::clone(name)),
                netns: points().map(|point| point.netns_id).next(),
                addresses: self.addresses_of_node(number),
                ..Located::new(name, Kind::Node)
            });
        }
        for (name, addresses) in self.identities.cluster_nodes(fits) {
            if !found.iter().any(|known| known.name == *name) {
                found.push(Located {
                    node: Some(Arc::clone(name)),
                    addresses: addresses.to_vec(),
                    ..Located::new(name, Kind::Node)
                });
            }
        }
        found
    }

    /// The addresses of a traced node, those of its uplinks first.
    fn addresses_of_node(&self, node: usize) -> Vec<IpAddr> {
        let uplinks: Vec<u32> = self
            .tap_points
            .iter()
            .filter(|point| point.node == node && !point.in_pod && point.role == Role::Uplink)
            .map(|point| point.ifindex)
            .collect();
        let space = self.facts.get(&node).and_then(|facts| facts.spaces.first());
        let devices = space.into_iter().flat_map(|space| &space.devices);
        let devices = devices.filter(|device| uplinks.contains(&device.ifindex));
        let of_uplinks = devices.flat_map(|device| &device.addresses);
        let of_uplinks: Vec<_> = of_uplinks.map(|own| own.address).collect();
        let held = self.identities.held_addresses();
        let held = held.filter(|(_, holder, _)| holder.node == node && holder.netns.is_none());
        let mut addresses: Vec<_> = held
            .map(|(address, ..)| address)
            .filter(|address| is_reached(*address))
            .collect();
        addresses.order_by_key(|address| (!of_uplinks.contains(address), *address));
        addresses
    }

    /// The names of all on the traced nodes that have an address now, in order.
    #[must_use]
    pub fn holders(&self, address: IpAddr) -> Vec<Arc<str>> {
        let held = self.identities.held_addresses();
        let held = held.filter(|(held, ..)| *held == address);
        let mut names: Vec<Arc<str>> = held
            .filter_map(|(_, holder, _)| match holder.netns {
                Some(netns) => Some(self.identities.pod(netns)),
                None => self.node_name(holder.node),
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether a namespace of the traced nodes has an address now: what it sends there stays in it.
    #[must_use]
    pub fn has_address(&self, netns: u64, address: IpAddr) -> bool {
        let node_of = |node| {
            let mut points = self.tap_points.iter();
            points.any(|point| point.node == node && !point.in_pod && point.netns_id == netns)
        };
        let mut held = self.identities.held_addresses();
        held.any(|(held, holder, _)| {
            let is_its = match holder.netns {
                Some(of_pod) => of_pod == netns,
                None => node_of(holder.node),
            };
            held == address && is_its
        })
    }

    /// Whoever has an address, as far as that is known.
    #[must_use]
    pub fn locate_address(&self, address: IpAddr, now_ns: u64) -> Located {
        let own = || Located {
            addresses: vec![address],
            ..Located::new(&address.to_string().into(), Kind::Address)
        };
        let identities = &self.identities;
        if let Some(holder) = identities.likely_holder_at(address, now_ns) {
            let node = self.node_name(holder.node);
            return match holder.netns {
                Some(netns) => Located {
                    netns: Some(netns),
                    node,
                    kind: Kind::Pod,
                    name: identities.pod(netns),
                    ..own()
                },
                None => {
                    let mut points = self.tap_points.iter();
                    let point = points.find(|point| point.node == holder.node && !point.in_pod);
                    Located {
                        netns: point.map(|point| point.netns_id),
                        kind: Kind::Node,
                        name: node.clone().unwrap_or_else(|| own().name),
                        node,
                        ..own()
                    }
                }
            };
        }
        if let Some(pod) = identities.remote_pod(address, now_ns) {
            return Located {
                node: pod.node.clone(),
                kind: Kind::Pod,
                name: Arc::clone(&pod.name),
                ..own()
            };
        }
        let node = identities.remote_node(address);
        Located {
            node: node.or_else(|| identities.node_of_range(address)).cloned(),
            ..own()
        }
    }
}

/// Whether others reach an address.
fn is_reached(address: IpAddr) -> bool {
    !address.is_loopback() && !crate::packet::is_link_local(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::fixture::{NETNS1, NODE, world};

    #[test]
    fn pods_and_nodes_are_found_by_name_and_by_address() {
        let world = world();
        let found = world.locate(&|name| name == "default/mypod1");
        let [pod] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(
            (pod.netns, pod.node.as_deref()),
            (Some(NETNS1), Some("worker1"))
        );
        assert_eq!(pod.addresses, ["10.244.1.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(world.locate(&|name| name.ends_with("/nobody")), []);
        let node = &world.locate(&|name| name == "worker1")[0];
        assert_eq!((node.kind, node.netns), (Kind::Node, Some(NODE)));
        assert_eq!(node.addresses, ["10.244.1.1".parse::<IpAddr>().unwrap()]);
        let by_address = world.locate_address(pod.addresses[0], 1);
        assert_eq!((&by_address.name, by_address.kind), (&pod.name, Kind::Pod));
        let nobody = world.locate_address("203.0.113.1".parse().unwrap(), 1);
        assert_eq!((&*nobody.name, nobody.kind), ("203.0.113.1", Kind::Address));
    }
}
