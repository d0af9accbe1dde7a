//! The cluster's pods, Services and nodes by name.
use std::{net::IpAddr, sync::Arc};

use super::{super::ClusterService, Cluster, RemotePod};

impl Cluster {
    /// The pods that hold addresses now, and whose names fit.
    pub fn pods_named<'a>(
        &'a self,
        fits: &'a dyn Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&'a Arc<RemotePod>, &'a [IpAddr])> {
        let pods = self.pods.values().filter(|holder| fits(&holder.pod.name));
        pods.map(|holder| (&holder.pod, &holder.addresses[..]))
    }

    /// The Services whose names fit, with their names, safe to print.
    pub fn services_named<'a>(
        &'a self,
        fits: &'a dyn Fn(&str) -> bool,
    ) -> impl Iterator<Item = (Arc<str>, &'a ClusterService)> {
        self.services.named(fits)
    }

    /// The nodes whose names fit, with their addresses.
    pub fn nodes_named<'a>(
        &'a self,
        fits: &'a dyn Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a [IpAddr])> {
        self.nodes.named(fits)
    }
}
