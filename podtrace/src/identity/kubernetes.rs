//! Remote pods and nodes, and Services, from the Kubernetes API.
//!
//! [`ClusterSource::find`] chooses the cluster, [`watch()`] follows its pods, nodes and
//! Services and sends changes, [`Cluster`] holds the owners of addresses. Without the feature
//! `kubernetes` there is no client, and the first returns an error.
#[cfg(any(test, not(feature = "kubernetes")))]
mod absent;
#[cfg(feature = "kubernetes")]
#[doc(hidden)]
pub mod api;
mod config_source;
mod state;

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

#[cfg(not(feature = "kubernetes"))]
pub use absent::{AgentPod, Agents, ClusterConfig, ClusterError, ClusterSource, Exec, Said, watch};
#[cfg(feature = "kubernetes")]
pub use api::{AgentPod, Agents, ClusterConfig, ClusterError, ClusterSource, Exec, Said, watch};
pub use state::{Cluster, RemotePod, ServicePort};

/// Who is looked for.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// By a name, which a pod, a Service or a node may have.
    Named {
        /// Its namespace; none for any.
        namespace: Option<&'a str>,
        /// Its name.
        name: &'a str,
    },
    /// By an address.
    Address(IpAddr),
}

/// A followed resource; each has a watch of its own, so that one can fail alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// All pods of the cluster.
    Pods,
    /// All nodes of the cluster.
    Nodes,
    /// All Services of the cluster.
    Services,
    /// The pods behind all Services of the cluster.
    EndpointSlices,
}

impl Resource {
    /// All resources.
    pub const ALL: [Self; 4] = [
        Self::Pods,
        Self::Nodes,
        Self::Services,
        Self::EndpointSlices,
    ];
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pods => "pods",
            Self::Nodes => "nodes",
            Self::Services => "Services",
            Self::EndpointSlices => "EndpointSlices",
        })
    }
}

/// A pod as the API knows it. Strings are as the server gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterPod {
    /// UID of the pod object: unlike name and address, never reused.
    pub uid: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name within the namespace.
    pub name: String,
    /// The node that it is scheduled to; none while it waits for one.
    pub node: Option<String>,
    /// Its addresses; empty under `host_network`, where the API gives the node's addresses,
    /// which belong to no pod.
    pub addresses: Vec<IpAddr>,
    /// Whether it lives in its node's network namespace.
    pub host_network: bool,
    /// Whether it runs or will run; once it has succeeded or failed, others may use its
    /// addresses.
    pub phase_running: bool,
    /// When the object was made: nanoseconds since 1970 (UTC), whole seconds.
    pub created_ns: i64,
    /// When its node accepted it, before it had a network: nanoseconds since 1970 (UTC),
    /// whole seconds. None of its packets is older.
    pub started_ns: Option<i64>,
    /// Whether it is being deleted; it may run on for its grace period.
    pub deleted: bool,
}

/// A node as the API knows it. Strings are as the server gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterNode {
    /// Name of the node.
    pub name: String,
    /// Its internal and external addresses, and flannel's tunnel addresses.
    pub addresses: Vec<IpAddr>,
    /// The address ranges of its pods, as `10.244.2.0/24`.
    pub pod_cidrs: Vec<String>,
}

/// A Service as the API knows it. Strings are as the server gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterService {
    /// UID of the Service object: unlike name and address, never reused.
    pub uid: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name within the namespace.
    pub name: String,
    /// Its cluster addresses, external addresses and addresses of load balancers.
    pub addresses: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ClusterServicePort>,
    /// When the object was made: nanoseconds since 1970 (UTC), whole seconds.
    pub created_ns: i64,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterServicePort {
    /// Name within the Service; it needs none if it is the only one.
    pub name: Option<String>,
    /// IP protocol number.
    pub protocol: u8,
    /// The port at the Service's addresses.
    pub port: u16,
    /// The port at the addresses of each node.
    pub node_port: Option<u16>,
}

/// An update that [`watch()`] sends. For each resource it sends `Restart`, all objects,
/// `Synced`, then changes; and again from `Restart` whenever changes may have been missed.
/// A `Restart` may follow another before `Synced`: only the last one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterUpdate {
    /// A list begins. The known state still holds until `Synced`.
    Restart(Resource),
    /// A pod exists, or has changed.
    Pod(ClusterPod),
    /// A pod was deleted.
    #[serde(rename = "pod_gone")]
    PodDeleted {
        /// UID of the pod object.
        uid: String,
    },
    /// A node exists, or has changed.
    Node(ClusterNode),
    /// A node was deleted.
    #[serde(rename = "node_gone")]
    NodeDeleted {
        /// Name of the node.
        name: String,
    },
    /// A Service exists, or has changed.
    Service(ClusterService),
    /// A Service was deleted.
    ServiceDeleted {
        /// UID of the Service object.
        uid: String,
    },
    /// Pods are behind a Service, or others are: the addresses and ports are theirs, the name is
    /// the Service's, and the UID that of the EndpointSlice.
    Endpoints(ClusterService),
    /// An EndpointSlice was deleted.
    #[serde(rename = "endpoints_gone")]
    EndpointsDeleted {
        /// UID of the object.
        uid: String,
    },
    /// The list is complete: objects not reported since `Restart` were deleted.
    Synced(Resource),
    /// The server cannot be followed for now, and will be tried again. Sent once in an
    /// outage, and a second time only if the reason has become one that needs action.
    Unavailable {
        /// What cannot be followed.
        resource: Resource,
        /// Why, in one line that is safe to print.
        reason: String,
    },
    /// The outage is over; sent only after `Unavailable`, once the watch has had time to
    /// report what happened meanwhile.
    Available(Resource),
}
