//! The lab's addressing scheme. Nodes count from 1, pods on a node from 1.

use std::net::{Ipv4Addr, Ipv6Addr};

/// MTU inside the overlay: 1500 minus the 50 bytes of VXLAN.
pub const OVERLAY_MTU: u32 = 1450;
/// VXLAN network identifier of flannel.
pub const VNI: u32 = 1;

/// `192.168.77.1N`, on a /24.
pub fn underlay4(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 77, 10 + node)
}

/// `fd77::1N`, on a /64.
pub fn underlay6(node: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x10 + u16::from(node))
}

/// `10.244.N.host`, on a /24.
pub fn overlay4(node: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, node, host)
}

/// `fd00:10:244:N::host`, on a /64.
pub fn overlay6(node: u8, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x10, 0x244, node.into(), 0, 0, 0, host.into())
}

/// Last part of a pod's address: the bridge has 1.
pub fn pod_host(pod: u8) -> u8 {
    pod + 1
}

/// MAC address of a node's `flannel.1`.
pub fn vtep_mac(node: u8) -> [u8; 6] {
    [0x0e, 0xf1, 0, 0, 0, node]
}

/// Host end of a pod's veth pair.
pub fn veth(node: u8, pod: u8) -> String {
    format!("veth{node:02}{pod:02}")
}
