//! The relations of an interface to the others of its namespace.
use std::net::IpAddr;

use super::{AddressPrefix, Link, LinkKind};
use crate::packet::{Framing, is_link_local};

impl Link {
    /// Whether VXLAN packets leave through it, given the interfaces of its namespace.
    #[must_use]
    pub fn carries_vxlan(&self, all: &[Self]) -> bool {
        all.iter().any(|other| {
            matches!(&other.kind, LinkKind::Vxlan(vxlan) if vxlan.underlay == Some(self.ifindex))
        })
    }

    /// The bridge, switch or bond that receives the packets that come in by it, given the
    /// interfaces of its namespace. A VRF receives none.
    #[must_use]
    pub fn master_among<'a>(&self, all: &'a [Self]) -> Option<&'a Self> {
        let master = self.master?;
        let mut others = all.iter();
        others.find(|other| other.ifindex == master && other.kind != LinkKind::Internal)
    }

    /// The interfaces by which its packets leave, given those of its namespace: the ports of a
    /// bond, or the interface below a VLAN device or a macvlan.
    pub fn lower_among<'a>(&self, all: &'a [Self]) -> impl Iterator<Item = &'a Self> {
        let (kind, index, framing) = (&self.kind, self.ifindex, self.framing);
        let below = self.peer.filter(|_| self.peer_nsid.is_none());
        let is_stacked = *kind == LinkKind::Other && framing == Framing::Ethernet;
        all.iter().filter(move |other| {
            is_stacked && (other.master == Some(index) || Some(other.ifindex) == below)
        })
    }

    /// Whether it has an address of a subnet that others have addresses of too: a cable, not
    /// the node's end of a pod's veth.
    #[must_use]
    pub fn is_in_a_subnet(&self) -> bool {
        let global = |prefix: &&AddressPrefix| !is_link_local(prefix.address);
        let mut prefixes = self.prefixes.iter().filter(global);
        prefixes.any(|prefix| match prefix.address {
            IpAddr::V4(_) => prefix.len < 32,
            IpAddr::V6(_) => prefix.len < 128,
        })
    }

    /// Whether it has an address that is valid beyond the link.
    #[must_use]
    pub fn has_global_address(&self) -> bool {
        let mut addresses = self.addresses.iter();
        addresses.any(|address| !is_link_local(*address))
    }

    /// Whether this interface of a pod's namespace is the other end of a veth of the node.
    /// Indices are unique within a namespace only: the caller compares [`Self::peer_nsid`].
    #[must_use]
    pub fn is_peer_of(&self, host: &Self) -> bool {
        self.kind == LinkKind::Veth
            && host.peer == Some(self.ifindex)
            && self.peer == Some(host.ifindex)
    }
}
