//! Names of addresses, namespaces and sockets.
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::Identities;
use crate::{
    identity::{
        kubernetes::{Cluster, ClusterService, RemotePod, ServicePort},
        local_pods::PodName,
        sockets::SocketOwner,
    },
    model::pod::HostPort,
};

impl Identities {
    /// What the first cluster knows that knows anything.
    fn by_clusters<'a, T>(&'a self, find: impl Fn(&'a Cluster) -> Option<T>) -> Option<T> {
        self.clusters.values().find_map(find)
    }

    /// The pod on another node that had the address at a time, by the API.
    #[must_use]
    pub fn remote_pod(&self, address: IpAddr, ts_ns: u64) -> Option<&Arc<RemotePod>> {
        // The snapshots of the nodes know their own addresses better; if they are
        // uncertain, so is the API.
        if self.addresses.is_known(address) {
            return None;
        }
        self.by_clusters(|cluster| cluster.pod_by_address(address, ts_ns))
    }

    /// The node that has the address, by the API.
    #[must_use]
    pub fn remote_node(&self, address: IpAddr) -> Option<&Arc<str>> {
        self.by_clusters(|cluster| cluster.node_by_address(address))
    }

    /// The node whose pods have addresses like this one, by the API.
    #[must_use]
    pub fn node_of_range(&self, address: IpAddr) -> Option<&Arc<str>> {
        self.by_clusters(|cluster| cluster.node_by_pod_range(address))
    }

    /// The port of a Service that clients reached at an address and a port at a time, by the
    /// API: at the Service's own addresses, or as a node port.
    #[must_use]
    pub fn service_at(
        &self,
        protocol: u8,
        address: IpAddr,
        port: u16,
        ts_ns: u64,
    ) -> Option<&Arc<ServicePort>> {
        let find = |address| {
            self.by_clusters(|cluster| cluster.service_at(protocol, address, port, ts_ns))
        };
        find(Some(address)).or_else(|| find(None).filter(|_| self.is_of_node(address, ts_ns)))
    }

    /// The Service that a pod's address with a port was behind at a time, by the API: its name
    /// and the pod's port.
    #[must_use]
    pub fn service_behind(
        &self,
        protocol: u8,
        address: IpAddr,
        port: u16,
        ts_ns: u64,
    ) -> Option<&Arc<ServicePort>> {
        self.by_clusters(|cluster| cluster.service_behind(protocol, address, port, ts_ns))
    }

    /// The port of a node, `outside`, that leads to a port of a pod at a time, by the runtime.
    #[must_use]
    pub fn host_port_at(
        &self,
        protocol: u8,
        outside: (IpAddr, u16),
        inside: (IpAddr, u16),
        ts_ns: u64,
    ) -> Option<&Arc<ServicePort>> {
        let pod = self
            .pods
            .by_netns(self.likely_holder_at(inside.0, ts_ns)?.netns?)?;
        let leads = |port: &&(HostPort, Arc<ServicePort>)| {
            let HostPort { address, .. } = port.0;
            let is_open = address.is_none_or(|address| address == outside.0);
            is_open
                && (port.0.protocol, port.0.port, port.0.pod_port)
                    == (protocol, outside.1, inside.1)
        };
        let port = pod.host_ports.iter().find(leads)?;
        self.is_of_node(outside.0, ts_ns).then_some(&port.1)
    }

    /// The pods that the API tells of and whose names fit, with their addresses.
    pub fn cluster_pods<'a>(
        &'a self,
        fits: &'a dyn Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&'a Arc<RemotePod>, &'a [IpAddr])> {
        let clusters = self.clusters.values();
        clusters.flat_map(move |cluster| cluster.pods_named(fits))
    }

    /// The Services whose names fit, with their names.
    pub fn cluster_services<'a>(
        &'a self,
        fits: &'a dyn Fn(&str) -> bool,
    ) -> impl Iterator<Item = (Arc<str>, &'a ClusterService)> {
        let clusters = self.clusters.values();
        clusters.flat_map(move |cluster| cluster.services_named(fits))
    }

    /// The nodes that the API tells of and whose names fit, with their addresses.
    pub fn cluster_nodes<'a>(
        &'a self,
        fits: &'a dyn Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a [IpAddr])> {
        let clusters = self.clusters.values();
        clusters.flat_map(move |cluster| cluster.nodes_named(fits))
    }

    /// Whether a node has the address at a time.
    fn is_of_node(&self, address: IpAddr, ts_ns: u64) -> bool {
        address.is_loopback()
            || match self.likely_holder_at(address, ts_ns) {
                Some(holder) => holder.netns.is_none(),
                None => self.remote_node(address).is_some(),
            }
    }

    /// The pod that a namespace belongs to, or the best known name for it.
    #[must_use]
    pub fn pod(&self, netns: u64) -> Arc<str> {
        if let Some(pod) = self.known_pod(netns) {
            return pod;
        }
        self.namespaces.get(&netns).map_or_else(
            || format!("netns-id:{netns}").into(),
            |known| Arc::clone(&known.info.fallback),
        )
    }

    /// The pod that a namespace belongs to, if that is known.
    #[must_use]
    pub fn known_pod(&self, netns: u64) -> Option<Arc<str>> {
        let info = self.namespaces.get(&netns).map(|known| &known.info);
        if let Some(given) = info.and_then(|info| info.given.as_ref()) {
            return Some(Arc::clone(given));
        }
        Some(Arc::clone(&self.pod_in(netns)?.full))
    }

    /// The pod that a namespace belongs to, by the runtime.
    fn pod_in(&self, netns: u64) -> Option<&Arc<PodName>> {
        let info = self.namespaces.get(&netns).map(|known| &known.info);
        let by_uid = || self.pods.by_uid(info?.pod_uid.as_deref()?);
        self.pods.by_netns(netns).or_else(by_uid)
    }

    /// The UID of the pod that a namespace belongs to, if its runtime tells.
    #[must_use]
    pub fn pod_uid(&self, netns: u64) -> Option<Arc<str>> {
        let pod = self.pod_in(netns)?;
        Some(Arc::clone(&pod.uid)).filter(|uid| !uid.is_empty())
    }

    /// The labels of a pod by its name, as its runtime has them.
    #[must_use]
    pub fn labels(&self, pod: &str) -> Option<&BTreeMap<String, String>> {
        self.pods.by_name(pod).map(|pod| &pod.labels)
    }

    /// The owner of a socket, by its cgroup.
    #[must_use]
    pub fn socket_owner(&self, cgroup: u64) -> SocketOwner {
        self.sockets.owner(cgroup, &self.pods)
    }

    /// The owner of a socket that has sent a kind of packet that the kernel sends too.
    #[must_use]
    pub fn sender_like_the_kernel(&self, cgroup: u64) -> SocketOwner {
        self.sockets.sender_like_the_kernel(cgroup, &self.pods)
    }
}
