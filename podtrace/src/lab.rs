//! The lab: a flannel network of several nodes in network namespaces.
//!
//! It creates nothing in the caller's own namespace except names in `/run/netns`.

mod build;
pub mod fault;
mod flannel;
pub mod guard;
mod name;
pub mod plan;
pub mod service;
pub mod traffic;
mod wire;

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use thiserror::Error;

use crate::netns::{NetNs, NetNsError};
use name::NsName;
pub use name::Swept;

static LABS: AtomicU32 = AtomicU32::new(0);

/// The size of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabSpec {
    /// Number of nodes, 1 to 9.
    pub nodes: usize,
    /// Pods on each node, at most 250.
    pub pods_per_node: usize,
    /// Whether there is IPv6 beside IPv4.
    pub ipv6: bool,
}

/// Errors of building or sweeping a lab.
#[derive(Debug, Error)]
pub enum LabError {
    /// More nodes or pods than the addressing scheme holds, or none.
    #[error(
        "build a lab of {nodes} nodes with {pods_per_node} pods each: \
         1 to 9 nodes and at most 250 pods a node are possible"
    )]
    Spec {
        /// Requested nodes.
        nodes: usize,
        /// Requested pods on each node.
        pods_per_node: usize,
    },
    /// Only a pair of nodes can be joined by a cable.
    #[error("join {nodes} nodes to a network: 1 or 2 are possible")]
    Join {
        /// Nodes given.
        nodes: usize,
    },
    /// A step that goes through the file system or the scheduler failed.
    #[error("{operation} {object}")]
    System {
        /// What was attempted.
        operation: &'static str,
        /// The object of the operation.
        object: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A namespace could not be entered.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// The kernel refused a netlink request.
    #[error("{operation} {object} in {netns}")]
    Netlink {
        /// What was attempted.
        operation: &'static str,
        /// The object of the request.
        object: String,
        /// The namespace.
        netns: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A link or an address was not usable in time.
    #[error("wait for {object} to be ready in {netns}: deadline passed")]
    NotReady {
        /// Link or addresses waited for.
        object: String,
        /// The namespace.
        netns: String,
    },
}

/// A pod of the lab.
#[derive(Debug, Clone)]
pub struct LabPod {
    /// `default/mypodK`, where K counts all pods of the lab from 1.
    pub name: String,
    /// The pod's namespace.
    pub netns: NetNs,
    /// Address of its `eth0`.
    pub ipv4: Ipv4Addr,
    /// IPv6 address of its `eth0`; not assigned in a lab without IPv6.
    pub ipv6: Ipv6Addr,
    /// The host end of its veth pair, in the node's namespace.
    pub veth: String,
}

/// A node of the lab.
#[derive(Debug, Clone)]
pub struct LabNode {
    /// `node1`, `node2`, …
    pub name: String,
    /// The node's own namespace.
    pub netns: NetNs,
    /// Its address on the underlay, the VXLAN endpoint.
    pub underlay: Ipv4Addr,
    /// MAC address of its `flannel.1`.
    pub vtep_mac: [u8; 6],
    /// Its pods.
    pub pods: Vec<LabPod>,
}

/// A running lab. Dropping it removes everything it created.
#[derive(Debug)]
pub struct Lab {
    /// `podtrace-<pid>-<counter>`, the prefix of its namespaces' names.
    pub id: String,
    /// The nodes.
    pub nodes: Vec<LabNode>,
    /// Removes the names when dropped; namespaces end with their last holder.
    _names: Vec<NsName>,
}

impl Lab {
    /// Sweeps leftovers and builds a lab. May be called from anywhere: it runs on a thread and
    /// a runtime of its own.
    pub fn new(spec: LabSpec) -> Result<Self, LabError> {
        spec.check()?;
        Self::sweep()?;
        let counter = LABS.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}{}-{counter}", name::PREFIX, process::id());
        let (nodes, names) = on_own_runtime(async || build::build(&id, spec).await)?;
        Ok(Self {
            id,
            nodes,
            _names: names,
        })
    }

    /// Removes the names that labs of dead processes left in `/run/netns`; reports those
    /// that it cannot remove.
    pub fn sweep() -> Result<Swept, LabError> {
        name::sweep()
    }

    /// One line for each pod: `<netns file name> <namespace/pod>`.
    #[must_use]
    pub fn pod_table(&self) -> String {
        let mut table = String::new();
        for pod in self.nodes.iter().flat_map(|node| &node.pods) {
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{} {}", pod.netns.name, pod.name);
        }
        table
    }
}

/// Turns one or two existing namespaces into the nodes of a flannel network, addressed as
/// [`plan`] says: `lo` up, forwarding on, the uplink `eth0` and `flannel.1` (both only with
/// two nodes). A CNI plugin adds bridge and pods. Nothing outlives the namespaces.
pub fn join_nodes(nodes: &[NetNs], ipv6: bool) -> Result<(), LabError> {
    if !(1..=2).contains(&nodes.len()) {
        return Err(LabError::Join { nodes: nodes.len() });
    }
    on_own_runtime(async || flannel::join(nodes, ipv6).await)
}

impl LabSpec {
    fn check(self) -> Result<(), LabError> {
        if (1..=9).contains(&self.nodes) && self.pods_per_node <= 250 {
            return Ok(());
        }
        Err(LabError::Spec {
            nodes: self.nodes,
            pods_per_node: self.pods_per_node,
        })
    }
}

/// Runs a future to its end, independent of the caller's runtime.
fn on_own_runtime<T: Send>(
    work: impl AsyncFnOnce() -> Result<T, LabError> + Send,
) -> Result<T, LabError> {
    let fail = |source| LabError::System {
        operation: "start",
        object: "the lab's runtime".to_owned(),
        source,
    };
    thread::scope(|scope| {
        let builder = thread::Builder::new()
            .name("lab".to_owned())
            .spawn_scoped(scope, || {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(fail)?
                    .block_on(work())
            })
            .map_err(fail)?;
        match builder.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_sizes_are_refused() {
        for (nodes, pods_per_node) in [(0, 1), (10, 1), (1, 251)] {
            let spec = LabSpec {
                nodes,
                pods_per_node,
                ipv6: false,
            };
            assert!(matches!(Lab::new(spec), Err(LabError::Spec { .. })));
        }
    }
}
