//! Questions for a neighbour's address, and their answers: ARP (RFC 826) and neighbour
//! discovery (RFC 4861).
use std::net::IpAddr;

use super::{Network, Packet, Transport};

const ARP_REQUEST: u16 = 1;
const ARP_REPLY: u16 = 2;

/// A question for the holder of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The address.
    pub(crate) about: IpAddr,
    /// The address that asks.
    pub(crate) by: IpAddr,
    /// Whether it is a probe for whether the address is free (RFC 5227, RFC 4862).
    pub(crate) is_probe: bool,
}

impl Packet {
    /// The question in the packet, unless it only announces its sender.
    pub(crate) fn question(&self) -> Option<Question> {
        let (about, by): (IpAddr, IpAddr) = match (&self.network, self.transport) {
            (Network::Arp(arp), _) if arp.operation == ARP_REQUEST && arp.sender != arp.target => {
                (arp.target.into(), arp.sender.into())
            }
            (
                Network::Ip(ip),
                Transport::Neighbor {
                    advertisement: false,
                    target,
                    ..
                },
            ) => (target.into(), ip.source),
            _ => return None,
        };
        Some(Question {
            about,
            by,
            is_probe: by.is_unspecified(),
        })
    }

    /// The question that the packet answers: about which address, and by whom.
    pub(crate) fn answers(&self) -> Option<(IpAddr, IpAddr)> {
        match (&self.network, self.transport) {
            (Network::Arp(arp), _) if arp.operation == ARP_REPLY => {
                Some((arp.sender.into(), arp.target.into()))
            }
            (
                Network::Ip(ip),
                Transport::Neighbor {
                    advertisement: true,
                    target,
                    ..
                },
            ) => Some((target.into(), ip.destination)),
            _ => None,
        }
    }
}
