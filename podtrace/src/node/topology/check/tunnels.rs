//! Checks of VXLAN interfaces: MTU, and that every route ends at a VTEP.
use std::net::IpAddr;

use super::Found;
use crate::node::topology::{NodeTopology, State, Tunnel, TunnelRoute};

pub(super) fn check(node: &NodeTopology, tunnel: &Tunnel, found: &mut Found) {
    let name = &tunnel.interface.name;
    if tunnel.interface.state == State::Down {
        found.error(
            name,
            "it is down: pods of other nodes are not reached".to_owned(),
            format!(
                "ip link set {name} up; the kernel has dropped its routes, so restart flanneld"
            ),
        );
    }
    check_mtu(node, tunnel, found);
    for route in &tunnel.routes {
        check_route(node, tunnel, route, found);
    }
}

fn check_mtu(node: &NodeTopology, tunnel: &Tunnel, found: &mut Found) {
    let uplink = node
        .uplinks
        .iter()
        .find(|uplink| Some(&uplink.name) == tunnel.underlay.as_ref());
    let Some(uplink) = uplink else {
        return;
    };
    let (overhead, family) = match tunnel.local {
        Some(IpAddr::V6(_)) => (70, "IPv6"),
        _ => (50, "IPv4"),
    };
    let allowed = uplink.mtu.saturating_sub(overhead);
    let (name, mtu) = (&tunnel.interface.name, tunnel.interface.mtu);
    if mtu > allowed {
        found.error(
            name,
            format!(
                "MTU {mtu} is larger than {} with MTU {} allows, which is {allowed}: VXLAN over \
                 {family} adds {overhead} bytes",
                uplink.name, uplink.mtu
            ),
            format!("ip link set {name} mtu {allowed}, and the same for bridge and pods"),
        );
    }
}

fn check_route(node: &NodeTopology, tunnel: &Tunnel, route: &TunnelRoute, found: &mut Found) {
    let (name, subject) = (&tunnel.interface.name, format!("route {}", route.subnet));
    let gateway = route.gateway;
    match (route.mac, route.vtep) {
        // A learning tunnel floods instead.
        (None, _) | (_, None) if tunnel.learning => {}
        (None, _) => found.error(
            &subject,
            format!("no neighbour entry for its next hop {gateway} on {name}"),
            format!(
                "ip neigh replace {gateway} lladdr <MAC of the other node's {name}> dev {name} nud permanent"
            ),
        ),
        (Some(mac), None) => found.error(
            &subject,
            format!("no forwarding entry for {mac} (next hop {gateway}) on {name}"),
            format!("bridge fdb replace {mac} dev {name} dst <address of the other node>"),
        ),
        (Some(_), Some(vtep)) => {
            if !reaches(node, vtep) {
                found.error(
                    &subject,
                    format!("no route leads to its VTEP {vtep}"),
                    format!("ip route get {vtep}"),
                );
            }
        }
    }
}

/// Whether the longest prefix that covers an address is not a refusal. It ignores which
/// table the policy rules would use: any table will do.
fn reaches(node: &NodeTopology, address: IpAddr) -> bool {
    let covering = node
        .routes
        .iter()
        .filter(|route| route.subnet.covers(address));
    covering
        .max_by_key(|route| route.subnet.len)
        .is_some_and(|route| !route.refused)
}
