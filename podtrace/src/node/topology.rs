//! The parts of a node's pod network, and its problems.
//!
//! [`collect`] reads it: interfaces, tables, namespaces, processes and what the container
//! runtime knows. [`check`] finds its problems. The types here serialise as the output of
//! `podtrace topology -o json`: strings are safe for a terminal, absent fields are unknown
//! or none. New fields may come; these keep their meaning.
pub mod check;
mod collect;
mod containers;
mod sharing;

use std::net::IpAddr;

use serde::Serialize;

pub use check::{Checked, Problem, Severity, check};
pub use collect::{NodeInput, TopologyError, collect};
pub use sharing::Sharing;

use super::{links::AddressPrefix, processes::Namespaces};
use crate::{cgroup::Runtime, packet::Mac};

/// All requested nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Topology {
    /// The nodes.
    pub nodes: Vec<NodeTopology>,
    /// The problems, the worst first; see [`check`].
    pub problems: Vec<Problem>,
    /// What was looked at for them, and what was not.
    #[serde(flatten)]
    pub checked: Checked,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeTopology {
    /// Its name.
    pub name: String,
    /// Release of the running kernel.
    pub kernel: String,
    /// The container runtime that named the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The namespaces of the node itself.
    pub namespaces: Namespaces,
    /// Whether it forwards packets.
    pub forwarding: Forwarding,
    /// The interfaces that carry VXLAN packets; without VXLAN, those of the default routes.
    pub uplinks: Vec<Interface>,
    /// VXLAN interfaces: flannel.1.
    pub tunnels: Vec<Tunnel>,
    /// Bridges: cni0.
    pub bridges: Vec<Bridge>,
    /// Other interfaces, but for loopback and the pods' veths.
    pub others: Vec<Interface>,
    /// Routes of all tables but the kernel's `local` one.
    pub routes: Vec<Route>,
    /// Pods with a network of their own.
    pub pods: Vec<Pod>,
    /// Pods in the node's network namespace.
    pub host_network_pods: Vec<Pod>,
    /// Namespaces tied to the node by a veth, without a known pod.
    pub unnamed: Vec<Pod>,
    /// What podtrace could not find out, one statement each.
    pub unknown: Vec<String>,
}

/// Whether a node forwards packets between interfaces; absent if it cannot be read, for
/// example on a node without IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forwarding {
    /// `net.ipv4.ip_forward`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<bool>,
    /// `net.ipv6.conf.all.forwarding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<bool>,
}

/// Whether an interface can carry packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It can.
    #[default]
    Up,
    /// It was not set up, or was set down.
    Down,
    /// No cable, or no port of a bridge is up.
    NoCarrier,
    /// The interface below it is down: the other end of a veth.
    LowerLayerDown,
    /// Waits for something.
    Waiting,
}

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// Whether it can carry packets.
    pub state: State,
    /// Largest packet in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Its MAC address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Its addresses, as `10.244.1.1/24`.
    pub addresses: Vec<AddressPrefix>,
    /// The bridge that it is a port of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// Whether IPv4 packets that come in here are forwarded
    /// (`net.ipv4.conf.<name>.forwarding`); read for bridges and tunnels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwards_ipv4: Option<bool>,
}

/// A VXLAN interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tunnel {
    /// The interface.
    #[serde(flatten)]
    pub interface: Interface,
    /// VXLAN network identifier.
    pub vni: u32,
    /// UDP destination port.
    pub port: u16,
    /// The node's VTEP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<IpAddr>,
    /// Name of the interface that carries its packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub underlay: Option<String>,
    /// Whether it learns VTEPs from packets.
    pub learning: bool,
    /// The subnets behind it.
    pub routes: Vec<TunnelRoute>,
    /// Its forwarding entries.
    pub fdb: Vec<FdbEntry>,
}

/// A subnet behind a tunnel: route, neighbour and forwarding entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TunnelRoute {
    /// The subnet.
    pub subnet: AddressPrefix,
    /// The next hop.
    pub gateway: IpAddr,
    /// Its MAC address; absent without a neighbour entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// The VTEP of that MAC address; absent without a forwarding entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vtep: Option<IpAddr>,
}

/// A forwarding entry of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FdbEntry {
    /// The MAC address.
    pub mac: Mac,
    /// The VTEP that frames for it go to.
    pub vtep: IpAddr,
}

/// A bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bridge {
    /// The interface.
    #[serde(flatten)]
    pub interface: Interface,
    /// Names of its ports.
    pub ports: Vec<String>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The subnet; `0.0.0.0/0` or `::/0` for the default route.
    pub subnet: AddressPrefix,
    /// The next hop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Name of the interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Number of the routing table; 254 is `main`.
    pub table: u32,
    /// Whether packets are refused: blackhole, unreachable, prohibit.
    pub refused: bool,
}

/// A pod, or a namespace that looks like one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// `namespace/name`; if unknown, another name that identifies it.
    pub name: String,
    /// UID of the pod object, from the runtime or from cgroup paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Inode of its network namespace, as in `net:[4026532281]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<u64>,
    /// Its addresses as the runtime has them, else as its interfaces do.
    pub addresses: Vec<IpAddr>,
    /// Its interfaces, but for loopback; none for a hostNetwork pod.
    pub interfaces: Vec<PodInterface>,
    /// Next hops of its default routes.
    pub gateways: Vec<IpAddr>,
    /// Its containers, the sandbox first.
    pub containers: Vec<Container>,
    /// Which namespaces the containers share; absent without a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
}

/// A pod's interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PodInterface {
    /// The interface.
    #[serde(flatten)]
    pub interface: Interface,
    /// The node's end, for a veth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostEnd>,
}

/// The node's end of a pod's veth pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostEnd {
    /// The interface.
    #[serde(flatten)]
    pub interface: Interface,
    /// Whether a route of the node leads to it.
    pub routed: bool,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Container {
    /// The runtime's id.
    pub id: String,
    /// Its name in the pod, from the runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its image, from the runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The kind of runtime that made it, if its cgroup shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Runtime>,
    /// Whether it is the sandbox, which holds the pod's namespaces.
    pub sandbox: bool,
    /// Its first process as podtrace sees it; absent when none was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// That process's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The namespaces of that process.
    pub namespaces: Namespaces,
}

impl Container {
    /// Twelve digits of the id, as `docker ps` and `crictl ps` show them.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

impl NodeTopology {
    /// Everything that has a veth: pods, then namespaces without a known pod.
    pub fn spaces(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().chain(&self.unnamed)
    }
}

#[cfg(test)]
pub(crate) mod fixture;
