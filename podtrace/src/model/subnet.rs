//! The subnets behind the tunnels of a node.
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::packet::covers;

/// A subnet behind another node's VTEP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteSubnet {
    /// The subnet's first address.
    pub prefix: IpAddr,
    /// Length of the prefix in bits.
    pub len: u8,
    /// The other node's VTEP.
    pub vtep: IpAddr,
    /// The VXLAN interface it is reached through.
    pub device: String,
}

/// The VTEP of the longest prefix that covers an address.
#[must_use]
pub fn vtep_of(subnets: &[RemoteSubnet], address: IpAddr) -> Option<IpAddr> {
    subnets
        .iter()
        .filter(|subnet| covers(subnet.prefix, subnet.len, address))
        .max_by_key(|subnet| subnet.len)
        .map(|subnet| subnet.vtep)
}
