//! Subnets: those of addresses, and those behind the tunnels of a node.
use std::{fmt, net::IpAddr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

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

/// An address with the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressPrefix {
    /// The interface's own address.
    pub address: IpAddr,
    /// Length of the prefix in bits.
    pub len: u8,
}

impl AddressPrefix {
    /// Whether an address is in the same subnet.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        covers(self.address, self.len, address)
    }
}

/// `10.244.1.0/24`
impl fmt::Display for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl Serialize for AddressPrefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AddressPrefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = text.split_once('/');
        let parsed = parts.and_then(|(address, len)| {
            Some(Self {
                address: address.parse().ok()?,
                len: len.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| D::Error::custom("no address with the length of its prefix"))
    }
}
