//! Builds the model of a node's pods from namespaces, processes and the data of the
//! runtime.
use std::collections::{BTreeMap, HashSet};

use super::{
    node::{Writer, names},
    space::Space,
};
use crate::{
    model::pod,
    node::{
        links::{Link, LinkKind},
        processes::{NsKind, Process},
        tables::RouteKind,
        topology::{HostEnd, NodeTopology, Pod, PodInterface, Sharing, containers::FirstProcesses},
    },
    order::Order as _,
    packet::is_link_local,
    text::sanitize::sanitize,
};

impl Writer<'_> {
    /// Adds the namespaces: known pods, and others.
    pub(super) fn pods(&self, node: &mut NodeTopology) {
        let mut seen = HashSet::new();
        for space in &self.raw.spaces {
            let known = self
                .raw
                .input
                .pods
                .iter()
                .find(|pod| !pod.host_network && pod.ready && pod.netns_id == Some(space.id));
            seen.extend(known.map(|pod| &pod.uid));
            let pod = self.pod(space, known);
            if known.is_some() || space.given.is_some() {
                node.pods.push(pod);
            } else {
                node.unnamed.push(pod);
            }
        }
        let ready = self.raw.input.pods.iter().filter(|pod| pod.ready);
        for pod in ready.filter(|pod| !pod.host_network && !seen.contains(&pod.uid)) {
            let name = sanitize(&pod.full_name());
            let text = format!("the network namespace of {name} was not found");
            node.unknown.push(text);
        }
        node.pods.order_by(|a, b| a.name.cmp(&b.name));
        node.unnamed.order_by(|a, b| a.name.cmp(&b.name));
    }

    fn pod(&self, space: &Space, known: Option<&pod::Pod>) -> Pod {
        let inside: Vec<&Process> = self
            .scan
            .processes
            .iter()
            .filter(|process| process.namespaces.get(NsKind::Net) == Some(space.inode))
            .collect();
        let from_cgroup = inside
            .iter()
            .find_map(|process| process.container.pod_uid.as_deref());
        let uid = known
            .map(|pod| pod.uid.as_str())
            .or(from_cgroup)
            .map(sanitize);
        let interfaces = self.pod_interfaces(space);
        let on_interfaces = interfaces.iter().flat_map(|own| &own.interface.addresses);
        let addresses = on_interfaces.map(|prefix| prefix.address);
        let addresses = addresses
            .filter(|address| !is_link_local(*address))
            .collect();
        let name = known.map(|pod| sanitize(&pod.full_name()));
        Pod {
            name: name
                .or_else(|| space.given.clone())
                .unwrap_or_else(|| space.fallback(uid.as_deref())),
            uid,
            netns: Some(space.inode),
            netns_path: space.path.clone(),
            addresses: known.map_or(addresses, |pod| pod.addresses.clone()),
            interfaces,
            gateways: space.gateways(),
            ..self.with_containers(known, &inside)
        }
    }

    /// The part of a pod that comes from its processes.
    fn with_containers(&self, known: Option<&pod::Pod>, inside: &[&Process]) -> Pod {
        let containers = match known {
            Some(pod) => FirstProcesses::of(&self.scan.processes).of_pod(pod),
            None => FirstProcesses::of(inside.iter().copied()).all(),
        };
        let with_process = containers
            .iter()
            .filter(|container| container.pid.is_some());
        let namespaces: Vec<_> = with_process.map(|container| container.namespaces).collect();
        Pod {
            sharing: Sharing::of(&namespaces, &self.own),
            containers,
            ..Pod::default()
        }
    }

    fn pod_interfaces(&self, space: &Space) -> Vec<PodInterface> {
        let names = names(&space.links);
        let links = space.links.iter();
        links
            .filter(|link| link.kind != LinkKind::Loopback)
            .map(|link| PodInterface {
                interface: self.interface(link, &names),
                host: self.host_end(space, link),
            })
            .collect()
    }

    fn host_end(&self, space: &Space, link: &Link) -> Option<HostEnd> {
        let (_, index) = space.ties.iter().find(|(own, _)| *own == link.ifindex)?;
        let host = self.raw.links.iter().find(|host| host.ifindex == *index)?;
        Some(HostEnd {
            interface: self.interface(host, &self.names),
            routed: self.raw.tables.routes.iter().any(|route| {
                route.kind == RouteKind::Unicast
                    && route.ifindex == Some(*index)
                    && !is_link_local(route.destination)
            }),
        })
    }

    /// Adds the hostNetwork pods, as known from the runtime or from their processes.
    pub(super) fn host_network_pods(&self, node: &mut NodeTopology) {
        let named = self.raw.input.pods.iter();
        for pod in named.filter(|pod| pod.host_network && pod.ready) {
            node.host_network_pods.push(Pod {
                name: sanitize(&pod.full_name()),
                uid: Some(sanitize(&pod.uid)),
                netns: Some(self.raw.input.netns.inode),
                ..self.with_containers(Some(pod), &[])
            });
        }
        let known: HashSet<&str> = self
            .raw
            .input
            .pods
            .iter()
            .map(|pod| pod.uid.as_str())
            .collect();
        let mut others: BTreeMap<&str, Vec<&Process>> = BTreeMap::new();
        for process in &self.scan.processes {
            let here = process.namespaces.get(NsKind::Net) == Some(self.raw.input.netns.inode);
            if let (true, Some(uid)) = (here, process.container.pod_uid.as_deref())
                && !known.contains(uid)
            {
                others.entry(uid).or_default().push(process);
            }
        }
        for (uid, processes) in others {
            node.host_network_pods.push(Pod {
                name: format!("pod:{}", sanitize(uid)),
                uid: Some(sanitize(uid)),
                netns: Some(self.raw.input.netns.inode),
                ..self.with_containers(None, &processes)
            });
        }
        node.host_network_pods.order_by(|a, b| a.name.cmp(&b.name));
    }
}
