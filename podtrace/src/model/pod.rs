//! A pod and its containers.
use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

/// A pod on a node, as the node's container runtime knows it. The strings are unchanged:
/// sanitize them before printing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name within the namespace.
    pub name: String,
    /// UID of the pod object: unlike name and address, never reused.
    pub uid: String,
    /// The runtime's id of the pod's sandbox.
    pub sandbox_id: String,
    /// Whether it lives in the node's own network namespace: it then has no
    /// address of its own.
    pub host_network: bool,
    /// Whether its sandbox is up; a pod that is down owns no address.
    pub ready: bool,
    /// Addresses of the pod; empty under `host_network`.
    pub addresses: Vec<IpAddr>,
    /// Labels of the pod object.
    pub labels: BTreeMap<String, String>,
    /// When the sandbox was made: nanoseconds since 1970 (UTC).
    pub created_ns: i64,
    /// Id of its network namespace ([`crate::netns::Ids`]); none under
    /// `host_network` and when the namespace is not known.
    #[serde(alias = "netns_cookie")] // Sessions before 2026-12.
    pub netns_id: Option<u64>,
    /// Inode of its network namespace, as in `net:[4026532281]`.
    pub netns_inode: Option<u64>,
    /// Path of its network namespace as the runtime has it.
    pub netns_path: Option<String>,
    /// Cgroup of the pod, as the runtime spells it.
    pub cgroup_parent: Option<String>,
    /// The ports of the node that lead to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_ports: Vec<HostPort>,
    /// Its containers, in order of creation; without the sandbox's own.
    pub containers: Vec<Container>,
}

/// A port of the node that leads to a port of a pod (`hostPort`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPort {
    /// Number of the IP protocol.
    pub protocol: u8,
    /// The node's port.
    pub port: u16,
    /// The only address of the node that it is open at, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The pod's port.
    pub pod_port: u16,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// The runtime's id, 64 hexadecimal digits with containerd and CRI-O.
    pub id: String,
    /// Name within the pod.
    pub name: String,
    /// Image, as the pod asked for it.
    pub image: String,
    /// Whether it runs.
    pub running: bool,
    /// How often it was started before.
    pub attempt: u32,
    /// When it was made: nanoseconds since 1970 (UTC).
    pub created_ns: i64,
}

impl Pod {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}
