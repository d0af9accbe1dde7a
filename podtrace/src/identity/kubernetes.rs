//! Remote pods and nodes, from the Kubernetes API.
//!
//! [`ClusterSource::find`] says which cluster, [`watch()`] follows its pods and
//! nodes and sends what changes, [`Cluster`] holds who has which address. Without
//! the feature `kubernetes` there is no client, and the first says so.
#[cfg(any(test, not(feature = "kubernetes")))]
mod absent;
#[cfg(feature = "kubernetes")]
mod api;
mod state;
mod way;

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

#[cfg(not(feature = "kubernetes"))]
pub use absent::{ClusterConfig, ClusterError, ClusterSource, watch};
#[cfg(feature = "kubernetes")]
pub use api::{ClusterConfig, ClusterError, ClusterSource, watch};
pub use state::{Cluster, RemotePod};

/// What is followed; each on its own, so that one can fail alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// All pods of the cluster.
    Pods,
    /// All nodes of the cluster.
    Nodes,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pods => "pods",
            Self::Nodes => "nodes",
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
    /// The node that it was given to; none while it waits for one.
    pub node: Option<String>,
    /// Its addresses; empty under `host_network`, where the API gives the
    /// node's: those belong to no pod.
    pub addresses: Vec<IpAddr>,
    /// Whether it lives in its node's network namespace.
    pub host_network: bool,
    /// Whether it runs or is to run; once it has succeeded or failed its
    /// addresses are free for others.
    pub phase_running: bool,
    /// When the object was made: nanoseconds since 1970 (UTC), whole seconds.
    pub created_ns: i64,
    /// When its node took it on, before it had a network: nanoseconds since
    /// 1970 (UTC), whole seconds. No packet of it is older.
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
    /// Its internal and external addresses, and those that flannel says it
    /// tunnels from.
    pub addresses: Vec<IpAddr>,
    /// The ranges its pods get their addresses from, as `10.244.2.0/24`.
    pub pod_cidrs: Vec<String>,
}

/// What [`watch()`] tells of the cluster. For either resource what it sends is:
/// `Restart`, everything there is, `Synced`, then changes; and again from
/// `Restart` whenever changes may have been missed. A `Restart` may follow
/// another before `Synced`: only the last one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterUpdate {
    /// A list begins. What was known still holds until `Synced`.
    Restart(Resource),
    /// A pod that is there, or has changed.
    Pod(ClusterPod),
    /// A pod is gone.
    PodGone {
        /// UID of the pod object.
        uid: String,
    },
    /// A node that is there, or has changed.
    Node(ClusterNode),
    /// A node is gone.
    NodeGone {
        /// Name of the node.
        name: String,
    },
    /// The list is complete: what was not told of since `Restart` is gone.
    Synced(Resource),
    /// The server cannot be followed for now, and is tried again. Said once
    /// in an outage, and a second time only when the reason has become one
    /// that somebody must act on.
    Unavailable {
        /// What cannot be followed.
        resource: Resource,
        /// Why, in one line that is safe to print.
        reason: String,
    },
    /// The outage is over; sent only after `Unavailable`, and once the watch
    /// has had time to tell what happened meanwhile.
    Available(Resource),
}
