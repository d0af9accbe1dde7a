//! Tap points: the interfaces at which packets are seen.
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::packet::{Framing, Mac};

/// The role of an interface on the path of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A pod's interface: eth0.
    Pod,
    /// A loopback interface.
    Loopback,
    /// The node's end of a pod's veth or netkit pair.
    Veth,
    /// A bridge, cni0; or a port of a switch through which the node itself is reached.
    Bridge,
    /// A VXLAN tunnel: flannel.1.
    Vxlan,
    /// The interface by which packets leave the node: eth0.
    Uplink,
    /// Any other interface, tapped because it was asked for.
    Other,
    /// An interface of a plain capture; nothing more is known of it.
    Capture,
}

impl Role {
    /// Rank for tapping: the lower, the more packets pass and the earlier it is tapped.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Uplink => 0,
            Self::Vxlan => 1,
            Self::Bridge => 2,
            Self::Pod | Self::Veth => 3,
            Self::Other | Self::Capture => 4,
            Self::Loopback => 5,
        }
    }
}

/// An interface to tap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapPoint {
    /// The node it belongs to, as in the list of nodes.
    pub node: usize,
    /// The node's name.
    pub node_name: Arc<str>,
    /// Whether it is in a pod's network namespace, not in the node's own.
    pub in_pod: bool,
    /// Id of the pod's namespace at the other end of a veth of the node.
    pub leads_to: Option<u64>,
    /// Name of the interface at that other end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_name: Option<Arc<str>>,
    /// Id of its namespace. Not an open handle, which would keep the namespace of a dead
    /// pod alive.
    #[serde(alias = "netns_cookie")] // Sessions before 2026-12.
    pub netns_id: u64,
    /// Its index there.
    pub ifindex: u32,
    /// Its name there, made safe for a terminal.
    pub name: Arc<str>,
    /// Its role.
    pub role: Role,
    /// What its packets start with.
    pub framing: Framing,
    /// LINKTYPE_ number of another tool's capture, if podtrace decodes that link layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured_link: Option<u16>,
    /// Whether it is a port of a bridge, switch or bond, which receives the packets that come
    /// in by it.
    #[serde(default)]
    pub is_port: bool,
    /// Its MAC address, where it has one.
    pub mac: Option<Mac>,
}

impl TapPoint {
    /// Id of the pod's namespace that it is in.
    #[must_use]
    pub fn pod_netns(&self) -> Option<u64> {
        self.in_pod.then_some(self.netns_id)
    }

    /// Id of the pod's namespace that it is in or leads to.
    #[must_use]
    pub fn nearest_pod(&self) -> Option<u64> {
        self.pod_netns().or(self.leads_to)
    }

    /// The node and the namespace that it is in: nodes of several sessions may share an id.
    #[must_use]
    pub fn netns(&self) -> (usize, u64) {
        (self.node, self.netns_id)
    }
}
