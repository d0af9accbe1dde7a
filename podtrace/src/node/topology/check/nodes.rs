//! Checks of a node itself, and of several nodes against each other.
use std::net::IpAddr;

use super::Found;
use crate::node::topology::{Interface, NodeTopology, State, Tunnel};

pub(super) fn check(node: &NodeTopology, found: &mut Found) {
    for uplink in &node.uplinks {
        if matches!(
            uplink.state,
            State::Down | State::NoCarrier | State::LowerLayerDown
        ) {
            found.error(
                &uplink.name,
                if node.uplinks.len() == 1 {
                    "the uplink is down: nothing leaves the node".to_owned()
                } else {
                    "the uplink is down: what is routed by it does not leave the node".to_owned()
                },
                format!("ip link set {} up, and see to its cable", uplink.name),
            );
        }
    }
    let has = |family: fn(&IpAddr) -> bool| {
        let mut addresses = node.spaces().flat_map(|pod| &pod.addresses);
        addresses.any(family)
    };
    if has(IpAddr::is_ipv4) {
        check_ipv4_forwarding(node, found);
    }
    if has(IpAddr::is_ipv6) && node.forwarding.ipv6 == Some(false) {
        found.error(
            "ip_forward",
            "IPv6 forwarding is off: IPv6 packets of pods do not leave the node".to_owned(),
            "sysctl -w net.ipv6.conf.all.forwarding=1".to_owned(),
        );
    }
}

/// The node's setting sets those of its interfaces, which decide.
fn check_ipv4_forwarding(node: &NodeTopology, found: &mut Found) {
    let off: Vec<&Interface> = forwarders(node)
        .filter(|interface| interface.forwards_ipv4 == Some(false))
        .collect();
    let any = forwarders(node).next().is_some();
    if node.forwarding.ipv4 == Some(false) && (!off.is_empty() || !any) {
        found.error(
            "ip_forward",
            "IPv4 forwarding is off: IPv4 packets of pods do not leave the node".to_owned(),
            "sysctl -w net.ipv4.ip_forward=1".to_owned(),
        );
        return;
    }
    for Interface { name, .. } in off {
        found.error(
            name,
            "IPv4 forwarding is off on it: what comes in here goes nowhere".to_owned(),
            format!("echo 1 > /proc/sys/net/ipv4/conf/{name}/forwarding"),
        );
    }
}

/// The interfaces by which packets of pods come in.
fn forwarders(node: &NodeTopology) -> impl Iterator<Item = &Interface> {
    let bridges = node.bridges.iter();
    let bridges = bridges.filter(|bridge| node.is_overlay(bridge));
    let tunnels = node.tunnels.iter().map(|tunnel| &tunnel.interface);
    bridges.map(|bridge| &bridge.interface).chain(tunnels)
}

/// Checks that need several nodes.
pub(super) fn check_together(nodes: &[NodeTopology], found: &mut Found) {
    for (number, node) in nodes.iter().enumerate() {
        for tunnel in &node.tunnels {
            found.node.clone_from(&node.name);
            for other in nodes.iter().skip(number + 1) {
                check_ports(tunnel, other, found);
            }
            for other in nodes.iter().filter(|other| other.name != node.name) {
                check_macs(tunnel, other, found);
            }
        }
    }
}

fn check_ports(tunnel: &Tunnel, other: &NodeTopology, found: &mut Found) {
    let differing = other
        .tunnels
        .iter()
        .filter(|theirs| theirs.vni == tunnel.vni && theirs.port != tunnel.port);
    for theirs in differing {
        let name = &tunnel.interface.name;
        found.error(
            name,
            format!(
                "UDP port {} here, {} on {}: VXLAN packets between the two are lost",
                tunnel.port, theirs.port, other.name
            ),
            format!("give {name} one port on all nodes"),
        );
    }
}

/// A recreated flannel.1 has a new MAC address.
fn check_macs(tunnel: &Tunnel, other: &NodeTopology, found: &mut Found) {
    for theirs in other
        .tunnels
        .iter()
        .filter(|theirs| theirs.vni == tunnel.vni)
    {
        let stale = tunnel.routes.iter().filter(|route| {
            route.vtep.is_some() && route.vtep == theirs.local && route.mac != theirs.interface.mac
        });
        for route in stale {
            let (Some(here), Some(there)) = (route.mac, theirs.interface.mac) else {
                continue;
            };
            found.error(
                &format!("route {}", route.subnet),
                format!(
                    "it leads to the MAC address {here}, but {} of {} has {there}",
                    theirs.interface.name, other.name
                ),
                "restart flanneld on this node, so that it writes the new address".to_owned(),
            );
        }
    }
}
