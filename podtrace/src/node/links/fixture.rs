//! Interfaces for tests.
use super::*;

/// An interface that is up, without addresses.
pub(in crate::node) fn link(ifindex: u32, kind: LinkKind) -> Link {
    Link {
        ifindex,
        name: format!("if{ifindex}"),
        kind,
        peer: None,
        peer_nsid: None,
        framing: Framing::Ethernet,
        addresses: Vec::new(),
        prefixes: Vec::new(),
        mtu: 1450,
        mac: None,
        no_arp: false,
        up: true,
        oper: OperState::Unknown,
        master: None,
        port: None,
        packets: 0,
        is_uplink: false,
    }
}
