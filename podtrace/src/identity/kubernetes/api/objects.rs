//! The parts of the API's objects that are read; the rest is never kept.
mod endpoints;
mod service;

use std::{fmt::Debug, net::IpAddr};

use k8s_openapi::{
    api::core::v1,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::core::{ApiResource, Object};
use serde::{Deserialize, de::DeserializeOwned};

use super::{ClusterNode, ClusterPod, ClusterService, ClusterServicePort, ClusterUpdate, Resource};

pub(super) use endpoints::SliceObject;

/// Upper bound of a name in Kubernetes; a longer one is invalid.
const MAX_NAME: usize = 253;

/// Upper bound of the addresses of a pod or node: a dual stack has two.
const MAX_ADDRESSES: usize = 8;

/// Flannel's annotations of a node with its tunnel addresses.
const FLANNEL_PUBLIC_IPS: [&str; 2] = [
    "flannel.alpha.coreos.com/public-ip",
    "flannel.alpha.coreos.com/public-ipv6",
];

/// The parts of a pod that are read.
pub(super) type PodObject = Object<PodSpec, PodStatus>;
/// The parts of a node that are read.
pub(super) type NodeObject = Object<NodeSpec, NodeStatus>;
/// The parts of a Service that are read.
pub(super) type ServiceObject = Object<service::Spec, service::Status>;

/// An object that can be followed.
pub(super) trait Followed:
    kube::Resource<DynamicType = ApiResource> + Clone + Debug + DeserializeOwned + Send + 'static
{
    /// The resource that it belongs to.
    const RESOURCE: Resource;

    /// Its name in the API.
    fn api_resource() -> ApiResource;

    /// The update while it exists; none if it is malformed.
    fn present(self) -> Option<ClusterUpdate>;

    /// The update once it is deleted; none if it is malformed.
    fn removal(self) -> Option<ClusterUpdate>;
}

impl Followed for PodObject {
    const RESOURCE: Resource = Resource::Pods;

    fn api_resource() -> ApiResource {
        ApiResource::erase::<v1::Pod>(&())
    }

    fn present(self) -> Option<ClusterUpdate> {
        cluster_pod(self).map(ClusterUpdate::Pod)
    }

    fn removal(self) -> Option<ClusterUpdate> {
        let uid = name(self.metadata.uid)?;
        Some(ClusterUpdate::PodDeleted { uid })
    }
}

impl Followed for NodeObject {
    const RESOURCE: Resource = Resource::Nodes;

    fn api_resource() -> ApiResource {
        ApiResource::erase::<v1::Node>(&())
    }

    fn present(self) -> Option<ClusterUpdate> {
        cluster_node(self).map(ClusterUpdate::Node)
    }

    fn removal(self) -> Option<ClusterUpdate> {
        let name = name(self.metadata.name)?;
        Some(ClusterUpdate::NodeDeleted { name })
    }
}

impl Followed for ServiceObject {
    const RESOURCE: Resource = Resource::Services;

    fn api_resource() -> ApiResource {
        ApiResource::erase::<v1::Service>(&())
    }

    fn present(self) -> Option<ClusterUpdate> {
        service::cluster_service(self).map(ClusterUpdate::Service)
    }

    fn removal(self) -> Option<ClusterUpdate> {
        let uid = name(self.metadata.uid)?;
        Some(ClusterUpdate::ServiceDeleted { uid })
    }
}

/// `spec` of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    node_name: Option<String>,
    host_network: Option<bool>,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
    start_time: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: Option<String>,
}

/// `spec` of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeSpec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
}

/// `status` of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeStatus {
    addresses: Option<Vec<NodeAddress>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

fn cluster_pod(object: PodObject) -> Option<ClusterPod> {
    let ObjectMeta {
        uid,
        namespace,
        name: object_name,
        creation_timestamp,
        deletion_timestamp,
        ..
    } = object.metadata;
    let status = object.status.unwrap_or_default();
    let host_network = object.spec.host_network.unwrap_or(false);
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let started_ns = status.start_time.as_ref().and_then(utc_ns);
    Some(ClusterPod {
        uid: name(uid)?,
        namespace: name(namespace)?,
        name: name(object_name)?,
        node: name(object.spec.node_name),
        addresses: if host_network {
            Vec::new()
        } else {
            pod_addresses(status)
        },
        host_network,
        phase_running: !ended,
        created_ns: creation_timestamp.as_ref().and_then(utc_ns).unwrap_or(0),
        started_ns,
        deleted: deletion_timestamp.is_some(),
    })
}

fn pod_addresses(status: PodStatus) -> Vec<IpAddr> {
    let listed = status.pod_ips.unwrap_or_default();
    let all = listed.into_iter().filter_map(|listed| listed.ip);
    distinct(all.chain(status.pod_ip), MAX_ADDRESSES)
}

fn cluster_node(object: NodeObject) -> Option<ClusterNode> {
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
    let mut pod_cidrs = object.spec.pod_cidrs.unwrap_or_default();
    if pod_cidrs.is_empty() {
        pod_cidrs.extend(object.spec.pod_cidr);
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
        let object: PodObject = serde_json::from_value(object).unwrap();
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
            let object: PodObject =
                serde_json::from_value(json!({"metadata": metadata, "spec": {}})).unwrap();
            assert_eq!(object.present(), None);
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
        let object: NodeObject = serde_json::from_value(object).unwrap();
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
