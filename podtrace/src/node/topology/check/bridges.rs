//! Checks of the bridges that carry the overlay's pods.
use super::{Found, widest_tunnel};
use crate::node::topology::{Bridge, NodeTopology, State};

pub(super) fn check(node: &NodeTopology, found: &mut Found) {
    for bridge in node.bridges.iter().filter(|bridge| node.is_overlay(bridge)) {
        check_one(node, bridge, found);
    }
}

fn check_one(node: &NodeTopology, bridge: &Bridge, found: &mut Found) {
    let (name, mtu) = (&bridge.interface.name, bridge.interface.mtu);
    if bridge.interface.state == State::Down {
        found.error(
            name,
            "the bridge is down: its pods reach nothing".to_owned(),
            format!("ip link set {name} up"),
        );
        // This may cause the other problems.
        return;
    }
    let Some(tunnel) = widest_tunnel(node) else {
        return;
    };
    if bridge.interface.global().next().is_none() {
        found.error(
            name,
            "the bridge has no address: its pods have no gateway".to_owned(),
            format!("ip addr add <first address of the node's pod subnet> dev {name}"),
        );
    }
    let (other, allowed) = (&tunnel.interface.name, tunnel.interface.mtu);
    if mtu > allowed {
        found.warning(
            name,
            format!("MTU {mtu} is larger than {allowed} of {other}"),
            format!("ip link set {name} mtu {allowed}, and the same for its pods"),
        );
    }
}
