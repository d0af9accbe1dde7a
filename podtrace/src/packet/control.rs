//! Traffic that networks send for themselves.
use podtrace_ebpf::parse::Llc;

use super::{
    Network, Packet, Transport,
    protocol::{IPPROTO_ICMP, IPPROTO_ICMPV6},
};

const IPPROTO_IGMP: u8 = 2;
/// Advertisement and solicitation of routers (RFC 1256).
const ROUTER_DISCOVERY: [u8; 2] = [9, 10];
/// Multicast listeners (RFC 2710, RFC 3810), and neighbour discovery (RFC 4861).
const LISTENERS: [u8; 4] = [130, 131, 132, 143];
const NEIGHBOURS: std::ops::RangeInclusive<u8> = 133..=137;
/// Service access point of the spanning tree protocol.
const SAP_STP: u8 = 0x42;
/// Organisation of PVST+ and CDP.
const CISCO: u32 = 0x0c;

impl Packet {
    /// Whether it is of a protocol by which a network finds its neighbours, groups and trees: ARP,
    /// neighbour discovery and router solicitations, MLD, IGMP, STP, LLDP, LACP.
    #[must_use]
    pub(crate) fn is_control(&self) -> bool {
        match &self.network {
            Network::Arp(_) => true,
            Network::Ip(ip) => match (ip.protocol, self.transport) {
                (IPPROTO_IGMP, _) | (_, Transport::Neighbor { .. }) => true,
                (IPPROTO_ICMP, Transport::Icmp { kind, .. }) => ROUTER_DISCOVERY.contains(&kind),
                (IPPROTO_ICMPV6, Transport::Icmp { kind, .. }) => {
                    LISTENERS.contains(&kind) || NEIGHBOURS.contains(&kind)
                }
                _ => false,
            },
            Network::Llc(Llc { dsap, snap, .. }) => {
                *dsap == SAP_STP
                    || snap.is_some_and(|(organisation, _)| organisation == CISCO)
                    || self.ends_at_cable()
            }
            Network::Other => self.ends_at_cable(),
            Network::Unreadable => false,
        }
    }

    /// Whether the frame is for the device at the other end of the cable, such as a switch
    /// (IEEE 802.1D): LLDP, LACP, STP. No bridge passes it on.
    pub(crate) fn ends_at_cable(&self) -> bool {
        let to = self.link.map(|link| link.destination.0);
        to.is_some_and(|to| to[..5] == [0x01, 0x80, 0xc2, 0, 0] && to[5] < 0x10)
    }
}

#[cfg(test)]
mod tests {
    use crate::packet::{DecodeOptions, Framing, Packet};

    /// A frame with a payload; of IP, with a header in front of it.
    fn frame(destination: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = [&destination[..], &[2; 6], &ethertype.to_be_bytes()].concat();
        frame.extend(payload);
        frame.resize(frame.len().max(100), 0);
        frame
    }

    fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let header = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, protocol, 0, 0];
        let mut packet = [&header[..], &[10, 0, 0, 1], &[10, 0, 0, 2], payload].concat();
        packet.resize(28, 0);
        frame([4; 6], 0x0800, &packet)
    }

    fn ipv6(protocol: u8, kind: u8) -> Vec<u8> {
        let header = [0x60, 0, 0, 0, 0, 32, protocol, 255];
        let packet = [&header[..], &[0xfe; 16], &[0xff; 16], &[kind]].concat();
        frame([4; 6], 0x86dd, &packet)
    }

    #[test]
    fn networks_send_for_themselves() {
        let options = DecodeOptions {
            vxlan_ports: Vec::new(),
            key_payload: 0,
            filter: None,
        };
        let lldp = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
        let arp = [0, 1, 8, 0, 6, 4, 0, 1];
        for (bytes, expected) in [
            (frame([0xff; 6], 0x0806, &arp), true),
            (ipv4(2, &[0x16]), true),
            (ipv4(1, &[10]), true),
            // An echo request, an unreachable port, a datagram.
            (ipv4(1, &[8]), false),
            (ipv4(1, &[3, 3]), false),
            (ipv4(17, &[]), false),
            (ipv6(58, 130), true),
            (ipv6(58, 133), true),
            (ipv6(58, 134), true),
            (ipv6(58, 135), true),
            (ipv6(58, 136), true),
            (ipv6(58, 143), true),
            (ipv6(58, 1), false),
            (ipv6(58, 128), false),
            (ipv6(17, 135), false),
            (frame(lldp, 0x88cc, &[]), true),
            (frame([4; 6], 0x88cd, &[]), false),
            // The length of a frame of STP.
            (frame([1, 0x80, 0xc2, 0, 0, 0], 38, &[0x42, 0x42, 3]), true),
        ] {
            let length = u32::try_from(bytes.len()).unwrap();
            let packet = Packet::decode(&bytes, length, Framing::Ethernet, &options);
            assert_eq!(packet.is_control(), expected, "{packet:?}");
        }
    }
}
