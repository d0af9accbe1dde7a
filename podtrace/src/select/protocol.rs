//! Protocols by name or number.
use std::str::FromStr;

use crate::packet::{Network, Packet};

/// The names, each with the numbers of IP protocols that it stands for.
pub const NAMES: [(&str, &[u8]); 10] = [
    ("icmp", &[1, 58]),
    ("icmp6", &[58]),
    ("igmp", &[2]),
    ("tcp", &[6]),
    ("udp", &[17]),
    ("gre", &[47]),
    ("esp", &[50]),
    ("ah", &[51]),
    ("ospf", &[89]),
    ("sctp", &[132]),
];
const ARP: &str = "arp";

/// A protocol of the innermost packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// ARP.
    Arp,
    /// Protocols of IP by a name of [`NAMES`].
    Named(&'static str, &'static [u8]),
    /// A protocol of IP by its number.
    Number(u8),
}

/// The text is neither the name nor the number of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoProtocol;

impl FromStr for Protocol {
    type Err = NoProtocol;

    fn from_str(text: &str) -> Result<Self, NoProtocol> {
        if text.eq_ignore_ascii_case(ARP) {
            return Ok(Self::Arp);
        }
        let mut names = NAMES.iter();
        let named = names.find(|(name, _)| text.eq_ignore_ascii_case(name));
        named
            .map(|(name, numbers)| Self::Named(name, numbers))
            .or_else(|| text.parse().ok().map(Self::Number))
            .ok_or(NoProtocol)
    }
}

impl Protocol {
    /// The names that libpcap has for it; none if it has no such. What is not IP needs none: the
    /// kernel passes over IP packets only.
    pub(super) fn in_kernel(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Arp => Some(&[]),
            Self::Named("icmp", _) => Some(&["icmp", "icmp6"]),
            Self::Named("icmp6", _) => Some(&["icmp6"]),
            Self::Named("igmp", _) => Some(&["igmp"]),
            Self::Named("tcp", _) => Some(&["tcp"]),
            Self::Named("udp", _) => Some(&["udp"]),
            Self::Named("sctp", _) => Some(&["sctp"]),
            Self::Named("esp", _) => Some(&["esp"]),
            Self::Named(..) | Self::Number(_) => None,
        }
    }

    /// Whether a packet has it.
    #[must_use]
    pub fn is_of(self, packet: &Packet) -> bool {
        match (self, packet.ip_protocol()) {
            (Self::Arp, _) => matches!(packet.network, Network::Arp(_)),
            (Self::Named(_, numbers), Some(number)) => numbers.contains(&number),
            (Self::Number(wanted), Some(number)) => wanted == number,
            (_, None) => false,
        }
    }
}
