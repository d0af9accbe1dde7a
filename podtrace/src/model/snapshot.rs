//! Snapshots of the nodes, and cgroups looked up between two snapshots.
use std::{collections::HashSet, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::subnet::RemoteSubnet;

/// A snapshot of the nodes: everything that exists at that time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// When it was taken.
    pub time: SnapshotTime,
    /// The namespaces of pods.
    pub namespaces: Vec<NamespaceInfo>,
    /// Addresses by holder.
    pub addresses: HashSet<(IpAddr, Holder)>,
    /// In a repeated snapshot of a recording: since when each holder has had an address
    /// that it already had in an earlier snapshot.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_since: Vec<(IpAddr, Holder, u64)>,
    /// The subnets behind the tunnels of each node.
    pub subnets: Vec<Vec<RemoteSubnet>>,
    /// UDP ports that carry VXLAN.
    pub vxlan_ports: Vec<u16>,
    /// Whether there are containers without a cgroup v2 of their own.
    pub has_v1_containers: bool,
    /// Whether the sockets of pods are watched.
    pub watches_sockets: bool,
    /// Whether events mark the kernel's own sockets
    /// ([`podtrace_ebpf::record::CGROUP_KERNEL`]).
    #[serde(rename = "tells_kernel")]
    pub marks_kernel: bool,
}

/// Times of a snapshot of the nodes, nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SnapshotTime {
    /// When it began.
    pub began_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// The previous snapshot was valid until then: until the first change since, or the
    /// beginning of this one.
    pub steady_until_ns: u64,
    /// How many changes of the nodes there had been when it began.
    pub changes: u64,
}

impl SnapshotTime {
    /// Changes all times.
    pub fn map_times(&mut self, map: impl Fn(u64) -> u64) {
        for ns in [
            &mut self.began_ns,
            &mut self.ended_ns,
            &mut self.steady_until_ns,
        ] {
            *ns = map(*ns);
        }
    }
}

/// A pod's network namespace, as a snapshot of the node shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceInfo {
    /// Its id ([`crate::netns::Ids`]).
    #[serde(alias = "cookie")] // Sessions before 2026-12.
    pub id: u64,
    /// Number of its node.
    pub node: usize,
    /// Its name while no pod is known, safe for a terminal.
    pub fallback: Arc<str>,
    /// The pod by a table of names given by the user, safe for a terminal.
    pub given: Option<Arc<str>>,
    /// The pod's uid by the cgroups of its processes.
    pub pod_uid: Option<String>,
    /// Whether it has processes, all of them in cgroups whose sockets are watched.
    pub watched: bool,
}

/// The holder of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// Number of the node.
    pub node: usize,
    /// Id of the pod's network namespace; none for the node itself.
    pub netns: Option<u64>,
}

/// A cgroup, looked up when a record first showed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCgroup {
    /// Its id.
    pub id: u64,
    /// When the record was made, nanoseconds of CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// Where it was.
    pub path: CgroupPath,
    /// The processes in it, if it is no container's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<CgroupMembers>,
}

/// The processes of a cgroup at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupMembers {
    /// Number of processes.
    pub count: u64,
    /// The first of them, [`CgroupMembers::NAMED_MAX`] at most.
    pub named: Vec<CgroupMember>,
}

impl CgroupMembers {
    /// Upper bound of the named processes.
    pub const NAMED_MAX: usize = 4;
}

/// A process of a cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupMember {
    /// Its number.
    pub pid: u32,
    /// Its name, at most 15 bytes and chosen by itself: not safe for a terminal.
    pub command: String,
}

/// The result of looking up a cgroup by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupPath {
    /// Its path below the root of the tree, such as `/kubepods/…`.
    At(String),
    /// It was removed.
    #[serde(rename = "gone")]
    Removed,
    /// It could not be looked up.
    Unknown,
}
