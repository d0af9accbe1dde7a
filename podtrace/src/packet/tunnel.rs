//! Tunnels: the outer headers, and the UDP ports that identify VXLAN.
use std::net::IpAddr;

use podtrace_ebpf::{
    config::VXLAN_PORTS_MAX,
    parse::{Carrier, PROTOCOL_GRE},
};

use super::IPPROTO_UDP;

/// flannel's UDP port of VXLAN.
pub const FLANNEL_PORT: u16 = 8472;
/// The assigned UDP port of VXLAN (RFC 7348).
pub const VXLAN_PORT: u16 = 4789;

/// The outer headers of a packet in a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Outer source.
    pub source: IpAddr,
    /// Outer destination: the far end of the tunnel.
    pub destination: IpAddr,
    /// The headers between the outer and the inner packet.
    pub carrier: Carrier,
    /// IPv4 identification of the outer packet, or its IPv6 flow label.
    pub id: u32,
    /// Identification of the outer packet if this is its first fragment.
    pub fragment: Option<u32>,
}

impl Tunnel {
    /// The IP protocol of the outer packet.
    pub(crate) fn protocol(&self) -> u8 {
        match self.carrier {
            Carrier::Vxlan(_) | Carrier::Geneve(_) => IPPROTO_UDP,
            Carrier::Gre(_) => PROTOCOL_GRE,
            Carrier::Ip(protocol) => protocol,
        }
    }

    /// The kind of the tunnel.
    #[must_use]
    pub fn kind(&self) -> TunnelKind {
        match (self.carrier, self.source) {
            (Carrier::Vxlan(_), _) => TunnelKind::Vxlan,
            (Carrier::Geneve(_), _) => TunnelKind::Geneve,
            (Carrier::Gre(_), _) => TunnelKind::Gre,
            (Carrier::Ip(4), IpAddr::V4(_)) => TunnelKind::Ipip,
            (Carrier::Ip(4), IpAddr::V6(_)) => TunnelKind::FourInSix,
            (Carrier::Ip(_), IpAddr::V4(_)) => TunnelKind::SixInFour,
            (Carrier::Ip(_), IpAddr::V6(_)) => TunnelKind::SixInSix,
        }
    }
}

/// The kinds of tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelKind {
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// GRE (RFC 2784).
    Gre,
    /// IPv4 in IPv4 (RFC 2003).
    Ipip,
    /// IPv6 in IPv4 (RFC 4213).
    SixInFour,
    /// IPv4 in IPv6 (RFC 2473).
    FourInSix,
    /// IPv6 in IPv6 (RFC 2473).
    SixInSix,
}

impl TunnelKind {
    /// Its name in text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vxlan => "VXLAN",
            Self::Geneve => "Geneve",
            Self::Gre => "GRE",
            Self::Ipip => "IPIP",
            Self::SixInFour | Self::FourInSix | Self::SixInSix => self.as_str(),
        }
    }

    /// Its name in JSON and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Gre => "gre",
            Self::Ipip => "ipip",
            Self::SixInFour => "6in4",
            Self::FourInSix => "4in6",
            Self::SixInSix => "6in6",
        }
    }
}

/// UDP ports of VXLAN given by the user, in addition to those known otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VxlanPorts([u16; VXLAN_PORTS_MAX]);

impl VxlanPorts {
    /// None if there are too many.
    #[must_use]
    pub fn new(given: &[u16]) -> Option<Self> {
        let mut ports = [0; VXLAN_PORTS_MAX];
        ports.get_mut(..given.len())?.copy_from_slice(given);
        Some(Self(ports))
    }

    /// The form of the kernel side: 0 stands for no port.
    pub(crate) fn array(self) -> [u16; VXLAN_PORTS_MAX] {
        self.0
    }

    /// The known ports and these.
    pub(crate) fn with(self, known: &[u16]) -> Vec<u16> {
        let given = self.0.into_iter().filter(|port| *port != 0);
        let mut ports = known.to_vec();
        ports.extend(given);
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_ports_come_beside_the_known() {
        let given = VxlanPorts::new(&[VXLAN_PORT, FLANNEL_PORT, 500]).unwrap();
        assert_eq!(given.with(&[FLANNEL_PORT]), [500, VXLAN_PORT, FLANNEL_PORT]);
        assert_eq!(VxlanPorts::default().with(&[7]), [7]);
        assert_eq!(VxlanPorts::new(&[1; VXLAN_PORTS_MAX + 1]), None);
    }
}
