//! What the nodes' connection tracking knows of packets that firewalls drop.
use std::collections::HashMap;

use crate::{
    model::drop::KernelDrop,
    node::{conntrack::look_up::FlowLookup, target::Node},
    packet::{DecodeOptions, Network},
};

/// Flows that are looked up at once, at most: each takes two system calls.
const AT_ONCE: usize = 64;

/// The connection tracking of nodes, by the ids of their namespaces.
pub(super) struct FlowStates(HashMap<u64, FlowLookup>);

impl FlowStates {
    /// Connects to that of each node that has one. Must be called before capabilities are given
    /// up.
    pub(super) fn open(nodes: &[Node]) -> Self {
        let open = |node: &Node| Some((node.netns.id, FlowLookup::open(&node.netns).ok()?));
        Self(nodes.iter().filter_map(open).collect())
    }

    /// Adds to packets that a firewall has dropped on a node what is known of their flows.
    pub(super) fn add_to(&self, drops: &mut [KernelDrop]) {
        // A tunnel's packet has a flow of its own.
        let options = DecodeOptions {
            vxlan_ports: Vec::new(),
            key_payload: 0,
            filter: None,
        };
        let of_firewalls = drops.iter_mut().filter(|drop| drop.is_by_firewall());
        for drop in of_firewalls.take(AT_ONCE) {
            let Some(look_up) = self.0.get(&drop.netns) else {
                continue;
            };
            let packet = drop.packet(&options);
            if let (Network::Ip(ip), Some(ends)) = (&packet.network, packet.ends()) {
                drop.tracked = look_up.find(ip.protocol, ends).ok().flatten();
            }
        }
    }
}
