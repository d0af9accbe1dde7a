//! The parts of a node's pod network, and its problems.
//!
//! [`collect`] reads it: interfaces, tables, namespaces, processes and what the container
//! runtime knows. [`check`] finds its problems. The types here serialise as the output of
//! `podtrace topology -o json`, which `docs/json.md` describes.
pub mod check;
mod collect;
mod containers;
mod sharing;

use std::net::IpAddr;

use serde::Serialize;

pub use check::{Checked, Problem, Severity, check};
pub use collect::{NodeInput, TopologyError, collect, facts};
pub use sharing::Sharing;

use super::{links::AddressPrefix, processes::Namespaces};
use crate::{
    cgroup::Runtime,
    field::{object, texts},
    packet::Mac,
};

object! {
    /// All requested nodes.
    pub Topology as "topology" (Clone, Debug, Default, PartialEq, Eq) {
        /// the nodes
        nodes: Vec<NodeTopology>,
        /// the problems, the worst first
        problems: Vec<Problem>,
        then checked: Checked,
    }
}

object! {
    /// One node.
    pub NodeTopology as "node" (Clone, Debug, Default, PartialEq, Eq) {
        /// its name
        name: String,
        /// release of the running kernel
        kernel: String,
        /// the container runtime that named the pods
        runtime: Option<String>,
        /// inodes of the node's own namespaces, by kind
        namespaces: Namespaces,
        /// whether it forwards packets
        forwarding: Forwarding,
        /// the interfaces by which packets leave the node, and those on top of them, such as a bond
        uplinks: Vec<Interface>,
        /// VXLAN interfaces: flannel.1
        tunnels: Vec<Tunnel>,
        /// bridges: cni0
        bridges: Vec<Bridge>,
        /// other interfaces, but for loopback and the pods' veths
        others: Vec<Interface>,
        /// routes of all tables but the kernel's `local` one
        routes: Vec<Route>,
        /// pods with a network of their own
        pods: Vec<Pod>,
        /// pods in the node's network namespace
        host_network_pods: Vec<Pod>,
        /// namespaces tied to the node by a veth, without a known pod
        unnamed: Vec<Pod>,
        /// what podtrace could not find out, one statement each
        unknown: Vec<String>,
    }
}

object! {
    /// Whether a node forwards packets between interfaces; absent if it cannot be read, for
    /// example on a node without IPv6.
    pub Forwarding as "forwarding" (Clone, Copy, Debug, Default, PartialEq, Eq) {
        /// `net.ipv4.ip_forward`
        ipv4: Option<bool>,
        /// `net.ipv6.conf.all.forwarding`
        ipv6: Option<bool>,
    }
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

object! {
    /// One interface.
    pub Interface as "interface" (Clone, Debug, Default, PartialEq, Eq) {
        /// its name
        name: String,
        /// its index
        ifindex: u32,
        /// whether it can carry packets: `up`, `down`, `no_carrier`, `lower_layer_down` or `waiting`
        state: State,
        /// largest packet in bytes, without the Ethernet header
        mtu: u32,
        /// its MAC address
        mac: Option<Mac>,
        /// its addresses, as `10.244.1.1/24`
        addresses: Vec<AddressPrefix>,
        /// the bridge that it is a port of
        bridge: Option<String>,
        /// whether IPv4 packets that come in here are forwarded
        /// (`net.ipv4.conf.<name>.forwarding`); read for bridges and tunnels
        forwards_ipv4: Option<bool>,
    }
}

object! {
    /// A VXLAN interface.
    pub Tunnel as "VXLAN interface" (Clone, Debug, Default, PartialEq, Eq) {
        first interface: Interface,
        /// VXLAN network identifier
        vni: u32,
        /// UDP destination port
        port: u16,
        /// the node's VTEP
        local: Option<IpAddr>,
        /// name of the interface that carries its packets
        underlay: Option<String>,
        /// whether it learns VTEPs from packets
        learning: bool,
        /// the subnets behind it
        routes: Vec<TunnelRoute>,
        /// its forwarding entries
        fdb: Vec<FdbEntry>,
    }
}

object! {
    /// A subnet behind a tunnel: route, neighbour and forwarding entry.
    pub TunnelRoute as "VXLAN route" (Clone, Debug, PartialEq, Eq) {
        /// the subnet
        subnet: AddressPrefix,
        /// the next hop
        gateway: IpAddr,
        /// its MAC address; absent without a neighbour entry
        mac: Option<Mac>,
        /// the VTEP of that MAC address; absent without a forwarding entry
        vtep: Option<IpAddr>,
    }
}

object! {
    /// A forwarding entry of a tunnel.
    pub FdbEntry as "forwarding entry" (Clone, Debug, PartialEq, Eq) {
        /// the MAC address
        mac: Mac,
        /// the VTEP that frames for it go to
        vtep: IpAddr,
    }
}

object! {
    /// A bridge.
    pub Bridge as "bridge" (Clone, Debug, Default, PartialEq, Eq) {
        first interface: Interface,
        /// names of its ports
        ports: Vec<String>,
    }
}

object! {
    /// A route.
    pub Route as "route" (Clone, Debug, PartialEq, Eq) {
        /// the subnet; `0.0.0.0/0` or `::/0` for the default route
        subnet: AddressPrefix,
        /// the next hop
        gateway: Option<IpAddr>,
        /// name of the interface
        interface: Option<String>,
        /// number of the routing table; 254 is `main`
        table: u32,
        /// whether packets are refused: blackhole, unreachable, prohibit
        refused: bool,
    }
}

object! {
    /// A pod, or a namespace that looks like one.
    pub Pod as "pod" (Clone, Debug, Default, PartialEq, Eq) {
        /// `namespace/name`; if unknown, another name that identifies it
        name: String,
        /// UID of the pod object, from the runtime or from cgroup paths
        uid: Option<String>,
        /// inode of its network namespace, as in `net:[4026532281]`
        netns: Option<u64>,
        /// a path that opens it on the node
        netns_path: Option<String>,
        /// its addresses as the runtime has them, else as its interfaces do
        addresses: Vec<IpAddr>,
        /// its interfaces, but for loopback; none for a hostNetwork pod
        interfaces: Vec<PodInterface>,
        /// next hops of its default routes
        gateways: Vec<IpAddr>,
        /// its containers, the sandbox first
        containers: Vec<Container>,
        /// which namespaces the containers share; absent without a process
        sharing: Option<Sharing>,
    }
}

object! {
    /// A pod's interface.
    pub PodInterface as "pod interface" (Clone, Debug, Default, PartialEq, Eq) {
        first interface: Interface,
        /// the node's end, for a veth
        host: Option<HostEnd>,
    }
}

object! {
    /// The node's end of a pod's veth pair.
    pub HostEnd as "host end" (Clone, Debug, Default, PartialEq, Eq) {
        first interface: Interface,
        /// whether a route of the node leads to it
        routed: bool,
    }
}

object! {
    /// A container.
    pub Container as "container" (Clone, Debug, Default, PartialEq, Eq) {
        /// the runtime's id
        id: String,
        /// its name in the pod, from the runtime
        name: Option<String>,
        /// its image, from the runtime
        image: Option<String>,
        /// the kind of runtime that made it, if its cgroup shows it: `containerd`, `cri-o` or `docker`
        made_by: Option<Runtime>,
        /// whether it is the sandbox, which holds the pod's namespaces
        sandbox: bool,
        /// its first process as podtrace sees it; absent when none was found
        pid: Option<u32>,
        /// that process's name
        command: Option<String>,
        /// inodes of that process's namespaces, by kind
        namespaces: Namespaces,
    }
}

texts!(AddressPrefix, Mac, Runtime, State);

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
