//! Answers of the Kubernetes API: lists and watched events, one in each line.
use podtrace::identity::kubernetes::{Cluster, ClusterUpdate, Resource, api::answers};

/// Nanoseconds from one update to the next.
const STEP_NS: u64 = 20_000_000_000;

/// How many ports are looked up at each address.
const PORTS: usize = 16;

/// Follows the cluster that the answers tell of: names are safe to show.
pub(crate) fn run(bytes: &[u8]) {
    let mut cluster = Cluster::new(1_790_000_000_000_000_000);
    let mut addresses = Vec::new();
    let mut ports = Vec::new();
    let mut now_ns = 0;
    for update in answers::updates(bytes) {
        now_ns += STEP_NS;
        match &update {
            ClusterUpdate::Pod(pod) => addresses.extend(&pod.addresses),
            ClusterUpdate::Node(node) => addresses.extend(&node.addresses),
            ClusterUpdate::Service(service) => {
                addresses.extend(&service.addresses);
                ports.extend(service.ports.iter().map(|port| (port.protocol, port.port)));
            }
            ClusterUpdate::Unavailable { reason, .. } => is_safe(reason),
            _ => {}
        }
        cluster.apply(update, now_ns);
        let _ = Resource::ALL.map(|resource| cluster.unavailable(resource));
    }
    for address in addresses {
        for at_ns in [0, now_ns / 2, now_ns] {
            if let Some(pod) = cluster.pod_by_address(address, at_ns) {
                is_safe(&pod.name);
                is_safe(pod.node.as_deref().unwrap_or_default());
            }
        }
        for (protocol, port) in ports.iter().take(PORTS) {
            let service = cluster.service_at(*protocol, Some(address), *port, now_ns);
            is_safe(service.map_or("", |service| &service.name));
        }
        let _ = cluster.node_by_pod_range(address);
        is_safe(cluster.node_by_address(address).map_or("", |name| name));
    }
}

fn is_safe(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}
