//! Names, addresses and frames of a node with two pods.
use std::net::IpAddr;

use crate::packet::Mac;

/// The name of a node.
pub(crate) fn node_name(node: u8) -> String {
    format!("worker{node}")
}

pub(crate) fn container(node: u8, pod: u64) -> String {
    format!("{node}{pod}").repeat(32)
}

pub(crate) fn pod_address(node: u8, pod: u64) -> IpAddr {
    format!("10.244.{node}.{}", 2 + pod).parse().unwrap()
}

pub(crate) fn uplink_address(node: u8) -> IpAddr {
    format!("192.168.77.1{node}").parse().unwrap()
}

pub(crate) fn mac(netns: u64) -> Mac {
    Mac([2, 0, 0, 0, 0, netns.to_le_bytes()[0]])
}

/// An Ethernet frame with a UDP packet of this IPv4 identification.
pub(crate) fn frame(from: IpAddr, to: IpAddr, id: u16, receiver: Mac) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) else {
        panic!("IPv4");
    };
    let mut frame = Vec::new();
    frame.extend(receiver.0);
    frame.extend([2, 0, 0, 0, 0, 2, 8, 0]);
    frame.extend([0x45, 0, 0, 36]);
    frame.extend(id.to_be_bytes());
    frame.extend([0, 0, 64, 17, 0, 0]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend([0x13, 0x88, 0, 53, 0, 16, 0, 0]);
    frame.extend(*b"payload!");
    frame
}

/// The frame in VXLAN, as the uplink sees it.
pub(crate) fn tunnelled(inner: &[u8], from: IpAddr, to: IpAddr) -> Vec<u8> {
    let mut outer = frame(from, to, 0, mac(1));
    outer.truncate(14 + 20);
    let len = |more: usize| {
        u16::try_from(more + 16 + inner.len())
            .unwrap()
            .to_be_bytes()
    };
    outer[16..18].copy_from_slice(&len(20));
    outer.extend([0x30, 0, 0x21, 0x18]);
    outer.extend(len(0));
    outer.extend([0, 0, 8, 0, 0, 0, 0, 0, 1, 0]);
    outer.extend(inner);
    outer
}
