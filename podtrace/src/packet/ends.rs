//! The ends of a packet, which address translation changes.
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Network, Packet};

/// Addresses and ports of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ends {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source and destination port, of TCP and UDP.
    pub ports: Option<(u16, u16)>,
}

impl Ends {
    /// The ends of a reply.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            ports: self.ports.map(|(from, to)| (to, from)),
        }
    }

    /// The source, with its port.
    #[must_use]
    pub fn from(&self) -> (IpAddr, Option<u16>) {
        (self.source, self.ports.map(|(from, _)| from))
    }

    /// The destination, with its port.
    #[must_use]
    pub fn to(&self) -> (IpAddr, Option<u16>) {
        (self.destination, self.ports.map(|(_, to)| to))
    }
}

impl Packet {
    /// The ends of an IP packet.
    #[must_use]
    pub fn ends(&self) -> Option<Ends> {
        let Network::Ip(ip) = &self.network else {
            return None;
        };
        Some(Ends {
            source: ip.source,
            destination: ip.destination,
            ports: self.ports(),
        })
    }
}
