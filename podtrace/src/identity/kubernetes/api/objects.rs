//! The parts of the API's objects that are read; the rest is never kept.
mod endpoints;
mod service;

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

use super::{ClusterNode, ClusterPod, ClusterService, ClusterServicePort, ClusterUpdate, Resource};

/// Upper bound of a name in Kubernetes; a longer one is invalid.
const MAX_NAME: usize = 253;

/// Upper bound of the addresses of a pod or node: a dual stack has two.
const MAX_ADDRESSES: usize = 8;

/// Flannel's annotations of a node with its tunnel addresses.
const FLANNEL_PUBLIC_IPS: [&str; 2] = [
    "flannel.alpha.coreos.com/public-ip",
    "flannel.alpha.coreos.com/public-ipv6",
];

/// A page of a list.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    pub(super) metadata: ListMetadata,
    items: Option<Vec<Object>>,
}

/// What a page says of its list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListMetadata {
    /// Asks for the next page; none or empty if this is the last one.
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
    /// The version of the cluster at the begin of the list.
    pub(super) resource_version: Option<String>,
}

/// A pod, a node, a Service or an EndpointSlice: one type, so that the binary has only one of what
/// lists and watches them. Their fields have no names in common that mean different things.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Object {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
    endpoints: Option<Vec<Endpoint>>,
    ports: Option<Vec<Port>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    uid: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    // Of a pod.
    node_name: Option<String>,
    host_network: Option<bool>,
    // Of a node.
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
    // Of a Service.
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    #[serde(rename = "externalIPs")]
    external_ips: Option<Vec<String>>,
    ports: Option<Vec<Port>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    // Of a pod.
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<Ip>>,
    start_time: Option<Time>,
    // Of a node.
    addresses: Option<Vec<NodeAddress>>,
    // Of a Service.
    load_balancer: Option<LoadBalancer>,
}

/// An address of a pod or of a load balancer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Ip {
    ip: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    ingress: Option<Vec<Ip>>,
}

/// A port of a Service or of the pods behind one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    name: Option<String>,
    protocol: Option<String>,
    port: Option<i32>,
    node_port: Option<i32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    addresses: Option<Vec<String>>,
}

impl List {
    /// What the objects of the page, which are all of this resource, tell.
    pub(super) fn updates(self, resource: Resource) -> impl Iterator<Item = ClusterUpdate> {
        let items = self.items.into_iter().flatten();
        items.filter_map(move |object| object.present(resource))
    }
}

impl Object {
    /// The version of the cluster when it was as it is.
    pub(super) fn version(&self) -> Option<String> {
        self.metadata.resource_version.clone()
    }

    /// The update while it exists; none if it is malformed.
    pub(super) fn present(self, resource: Resource) -> Option<ClusterUpdate> {
        match resource {
            Resource::Pods => cluster_pod(self).map(ClusterUpdate::Pod),
            Resource::Nodes => cluster_node(self).map(ClusterUpdate::Node),
            Resource::Services => service::cluster_service(self).map(ClusterUpdate::Service),
            Resource::EndpointSlices => endpoints::endpoints(self).map(ClusterUpdate::Endpoints),
        }
    }

    /// The update once it is deleted; none if it is malformed.
    pub(super) fn removal(self, resource: Resource) -> Option<ClusterUpdate> {
        let Metadata { uid, name: own, .. } = self.metadata;
        Some(match resource {
            Resource::Pods => ClusterUpdate::PodDeleted { uid: name(uid)? },
            Resource::Nodes => ClusterUpdate::NodeDeleted { name: name(own)? },
            Resource::Services => ClusterUpdate::ServiceDeleted { uid: name(uid)? },
            Resource::EndpointSlices => ClusterUpdate::EndpointsDeleted { uid: name(uid)? },
        })
    }
}

fn cluster_pod(object: Object) -> Option<ClusterPod> {
    let metadata = object.metadata;
    let spec = object.spec.unwrap_or_default();
    let status = object.status.unwrap_or_default();
    let host_network = spec.host_network.unwrap_or(false);
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let started_ns = status.start_time.as_ref().and_then(utc_ns);
    Some(ClusterPod {
        uid: name(metadata.uid)?,
        namespace: name(metadata.namespace)?,
        name: name(metadata.name)?,
        node: name(spec.node_name),
        addresses: if host_network {
            Vec::new()
        } else {
            pod_addresses(status)
        },
        host_network,
        phase_running: !ended,
        created_ns: created_ns(metadata.creation_timestamp),
        started_ns,
        deleted: metadata.deletion_timestamp.is_some(),
    })
}

fn pod_addresses(status: Status) -> Vec<IpAddr> {
    let listed = status.pod_ips.unwrap_or_default();
    let all = listed.into_iter().filter_map(|listed| listed.ip);
    distinct(all.chain(status.pod_ip), MAX_ADDRESSES)
}

fn cluster_node(object: Object) -> Option<ClusterNode> {
    let spec = object.spec.unwrap_or_default();
    let status = object.status.unwrap_or_default();
    let mut annotations = object.metadata.annotations.unwrap_or_default();
    let listed = status.addresses.unwrap_or_default();
    let own = listed
        .into_iter()
        .filter(|address| matches!(address.kind.as_str(), "InternalIP" | "ExternalIP"))
        .map(|address| address.address);
    let tunnel = FLANNEL_PUBLIC_IPS
        .iter()
        .filter_map(|key| annotations.remove(*key));
    let mut pod_cidrs = spec.pod_cidrs.unwrap_or_default();
    if pod_cidrs.is_empty() {
        pod_cidrs.extend(spec.pod_cidr);
    }
    pod_cidrs.truncate(MAX_ADDRESSES);
    Some(ClusterNode {
        name: name(object.metadata.name)?,
        addresses: distinct(own.chain(tunnel), MAX_ADDRESSES),
        pod_cidrs,
    })
}

/// The distinct addresses among these texts, `max` at most.
fn distinct(texts: impl Iterator<Item = String>, max: usize) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for address in texts.filter_map(|text| text.parse().ok()) {
        if addresses.len() < max && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn name(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && text.len() <= MAX_NAME)
}

/// When an object was made; 0 if it does not say.
fn created_ns(time: Option<Time>) -> i64 {
    time.as_ref().and_then(utc_ns).unwrap_or(0)
}

fn utc_ns(time: &Time) -> Option<i64> {
    i64::try_from(time.0.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(spec: Value, status: Value) -> ClusterPod {
        let object = json!({
            "metadata": {
                "uid": "u1", "namespace": "default", "name": "a", "labels": {"app": "x"},
                "creationTimestamp": "2026-11-24T20:00:00Z",
            },
            "spec": spec,
            "status": status,
        });
        let object: Object = serde_json::from_value(object).unwrap();
        cluster_pod(object).unwrap()
    }

    #[test]
    fn a_pod_keeps_its_place_and_addresses() {
        let pod = pod(
            json!({"nodeName": "worker2", "containers": [{"name": "c"}]}),
            json!({
                "phase": "Running", "podIP": "10.244.2.7", "startTime": "2026-11-24T20:00:01Z",
                "podIPs": [{"ip": "10.244.2.7"}, {"ip": "fd00::7"}, {"ip": "rubbish"}, {}],
            }),
        );
        let addresses: Vec<IpAddr> =
            vec!["10.244.2.7".parse().unwrap(), "fd00::7".parse().unwrap()];
        assert_eq!(
            pod,
            ClusterPod {
                uid: "u1".into(),
                namespace: "default".into(),
                name: "a".into(),
                node: Some("worker2".into()),
                addresses,
                host_network: false,
                phase_running: true,
                created_ns: 1_795_550_400_000_000_000,
                started_ns: Some(1_795_550_401_000_000_000),
                deleted: false,
            }
        );
    }

    #[test]
    fn pods_on_the_host_network_have_no_address_and_ended_ones_do_not_run() {
        let host = pod(
            json!({"hostNetwork": true}),
            json!({"podIP": "192.168.56.11"}),
        );
        assert!(host.host_network && host.addresses.is_empty() && host.phase_running);
        for (phase, runs) in [
            ("Pending", true),
            ("Running", true),
            ("Unknown", true),
            ("Succeeded", false),
            ("Failed", false),
        ] {
            let pod = pod(json!({}), json!({"phase": phase, "podIP": "10.244.2.7"}));
            assert_eq!(pod.phase_running, runs, "{phase}");
            assert_eq!(pod.addresses.len(), 1);
        }
    }

    #[test]
    fn objects_without_valid_names_are_ignored() {
        for metadata in [
            json!({"uid": "u1", "namespace": "default"}),
            json!({"namespace": "default", "name": "a"}),
            json!({"uid": "u1", "namespace": "default", "name": ""}),
            json!({"uid": "u1", "namespace": "default", "name": "a".repeat(254)}),
        ] {
            let object: Object =
                serde_json::from_value(json!({"metadata": metadata, "spec": {}})).unwrap();
            assert_eq!(object.present(Resource::Pods), None);
        }
    }

    #[test]
    fn a_node_has_its_own_addresses_and_flannels() {
        let object = json!({
            "metadata": {"name": "worker2", "annotations": {
                "flannel.alpha.coreos.com/public-ip": "172.16.0.12",
                "flannel.alpha.coreos.com/public-ipv6": "fd01::12",
            }},
            "spec": {"podCIDR": "10.244.2.0/24", "podCIDRs": ["10.244.2.0/24", "fd00:2::/64"]},
            "status": {"addresses": [
                {"type": "InternalIP", "address": "192.168.56.12"},
                {"type": "Hostname", "address": "10.0.0.1"},
                {"type": "ExternalIP", "address": "192.168.56.12"},
            ]},
        });
        let object: Object = serde_json::from_value(object).unwrap();
        let node = cluster_node(object).unwrap();
        let addresses = ["192.168.56.12", "172.16.0.12", "fd01::12"];
        assert_eq!(
            node.addresses,
            addresses.map(|a| a.parse::<IpAddr>().unwrap())
        );
        assert_eq!(node.pod_cidrs, ["10.244.2.0/24", "fd00:2::/64"]);
        assert_eq!(node.name, "worker2");
    }
}
