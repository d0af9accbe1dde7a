//! What the facts of nodes say about the way of packets: one function for each rule of the
//! kernel that drops them.
//!
//! Pure: facts in, causes out. Verdicts apply the rules to a packet, `podtrace topology` to the
//! nodes as they are.
pub mod advice;
pub mod candidate;
pub mod cause;
pub mod firewall;
pub mod link;
pub mod port;
pub mod route;
pub mod tunnel;

#[cfg(test)]
pub(crate) mod fixture;

use std::{net::IpAddr, sync::Arc};

use crate::{
    model::facts::{Device, DeviceKind, NodeFacts, Space},
    packet::Mac,
};
pub use candidate::Candidate;
pub use cause::{Cause, Entry, Owner, Place};

/// The name of the pod in a namespace, if it is known.
pub type PodNames<'a> = &'a dyn Fn(u64) -> Option<Arc<str>>;

/// The facts of all known nodes.
#[derive(Clone, Copy)]
pub struct View<'a> {
    nodes: &'a [&'a NodeFacts],
    pods: PodNames<'a>,
}

/// An interface with its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The node.
    pub node: &'a NodeFacts,
    /// The namespace.
    pub space: &'a Space,
    /// The interface.
    pub device: &'a Device,
}

impl<'a> View<'a> {
    /// The facts of these nodes. `pods`: the names of the pods in their namespaces.
    #[must_use]
    pub fn new(nodes: &'a [&'a NodeFacts], pods: PodNames<'a>) -> Self {
        Self { nodes, pods }
    }

    /// Whether nothing is left out of the facts of any node.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.nodes.iter().all(|facts| !facts.is_cut)
    }

    /// How many nodes are known.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// An interface by its node, its namespace and its index there.
    #[must_use]
    pub fn find(&self, node: usize, netns: u64, ifindex: u32) -> Option<At<'a>> {
        let node = self.nodes.iter().find(|facts| facts.node == node)?;
        let space = node.spaces.iter().find(|space| space.netns == netns)?;
        let device = space.device(ifindex)?;
        Some(At {
            node,
            space,
            device,
        })
    }

    /// All interfaces.
    pub fn all(self) -> impl Iterator<Item = At<'a>> {
        self.nodes.iter().flat_map(|node| all_of(node))
    }

    /// An interface of a namespace.
    #[must_use]
    pub fn within(self, netns: u64) -> Option<At<'a>> {
        self.all().find(|at| at.space.netns == netns)
    }

    /// The interfaces with an address, but for loopback.
    pub fn owners(self, address: IpAddr) -> impl Iterator<Item = At<'a>> {
        self.all().filter(move |at| at.has(address))
    }

    /// The other end of a veth.
    #[must_use]
    pub fn peer(&self, at: At<'a>) -> Option<At<'a>> {
        let (netns, ifindex) = at.device.peer?;
        self.find(at.node.node, netns, ifindex)
    }

    /// The interface and its owner by name.
    #[must_use]
    pub fn place(&self, at: At<'_>) -> Place {
        Place {
            node: at.node.name.as_str().into(),
            pod: self.pod(at),
            interface: at.device.name.as_str().into(),
            path: at.space.path.as_deref().map(Into::into),
        }
    }

    /// The pod or node that an interface is in.
    #[must_use]
    pub fn owner(&self, at: At<'_>) -> Owner {
        self.place(at).owned_by()
    }

    fn pod(&self, at: At<'_>) -> Option<Arc<str>> {
        let name = || (self.pods)(at.space.netns);
        let unnamed = || Arc::from(format!("netns:{}", at.space.netns));
        at.space.in_pod.then(|| name().unwrap_or_else(unnamed))
    }
}

/// All interfaces of a node and its pods.
pub fn all_of(node: &NodeFacts) -> impl Iterator<Item = At<'_>> {
    node.spaces.iter().flat_map(move |space| {
        space.devices.iter().map(move |device| At {
            node,
            space,
            device,
        })
    })
}

impl<'a> At<'a> {
    /// Another interface of the same namespace.
    #[must_use]
    pub fn beside(&self, ifindex: u32) -> Option<Self> {
        let device = self.space.device(ifindex)?;
        Some(Self { device, ..*self })
    }

    /// The interface that this one belongs to: a bridge, a bond, a VRF.
    #[must_use]
    pub fn master(&self) -> Option<Self> {
        self.beside(self.device.master?)
    }

    /// The bridge that it is a port of.
    #[must_use]
    pub fn bridge(&self) -> Option<Self> {
        self.master()
            .filter(|master| master.device.kind == DeviceKind::Bridge)
    }

    /// Whether it has an address of its own.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.device.kind != DeviceKind::Loopback
            && self
                .device
                .addresses
                .iter()
                .any(|own| own.address == address)
    }

    /// Whether its namespace takes packets for an address.
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        let mut devices = self.space.devices.iter();
        devices.any(|device| device.addresses.iter().any(|own| own.address == address))
    }

    /// Whether it is the interface itself, not one that looks like it.
    #[must_use]
    pub fn is(&self, other: At<'_>) -> bool {
        self.node.node == other.node.node
            && self.space.netns == other.space.netns
            && self.device.ifindex == other.device.ifindex
    }

    /// Whether it has a MAC address that others send to.
    #[must_use]
    pub fn has_mac(&self, mac: Mac) -> bool {
        self.device.mac == Some(mac) && self.device.kind != DeviceKind::Loopback
    }
}
