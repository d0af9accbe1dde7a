//! Finds the interfaces by which packets leave a node.
use std::collections::HashSet;

use super::{
    links::{Link, LinkKind},
    tables::{LOCAL_TABLE, Route, RouteKind},
};
use crate::packet::is_link_local;

/// Indices of the interfaces by which packets leave the node, given all of its interfaces and
/// routes: those that carry its VXLAN packets, hardware and tunnels that routes lead through or
/// that have addresses, hardware ports of a bridge or switch, and the interfaces below these:
/// the ports of a bond, the interface below a VLAN device.
///
/// As a rule, a veth pair leads to a pod. A veth with a route through a gateway is the
/// cable of a node that is itself a container; [`mark_cables`] knows others.
#[must_use]
pub fn uplinks(links: &[Link], routes: &[Route]) -> HashSet<u32> {
    let (routed, gated) = (by_any(routes), by_gateway(routes));
    let leads_out = |link: &&Link| match link.kind {
        _ if link.carries_vxlan(links) => true,
        LinkKind::Other | LinkKind::Tunnel => {
            routed.contains(&link.ifindex) || link.has_global_address() || is_port(link, links)
        }
        LinkKind::Veth => link.peer_nsid.is_some() && gated.contains(&link.ifindex),
        _ => false,
    };
    let mut found = HashSet::new();
    let mut new: Vec<_> = links.iter().filter(leads_out).collect();
    while let Some(link) = new.pop() {
        if found.insert(link.ifindex) {
            let below = link.lower_among(links);
            new.extend(below.filter(|lower| lower.kind != LinkKind::Bridge));
        }
    }
    found
}

/// Marks the interfaces with these indices as uplinks, in addition to those that are marked.
pub fn mark(links: &mut [Link], uplinks: &HashSet<u32>) {
    for link in links {
        link.is_uplink |= uplinks.contains(&link.ifindex);
    }
}

/// Marks as uplinks the veths that no pod is at the other end of, and that look like cables:
/// those with a subnet, and ports of a bridge that leads to the next router, as those of
/// [`by_gateway`] do.
pub fn mark_cables(links: &mut [Link], gated: &HashSet<u32>, leads_to_pod: impl Fn(&Link) -> bool) {
    let leads_out = |link: &Link| {
        let master = link.master_among(links);
        master.is_some_and(|master| gated.contains(&master.ifindex))
    };
    let is_cable = |link: &&Link| {
        link.kind == LinkKind::Veth
            && link.peer_nsid.is_some()
            && (link.is_in_a_subnet() || leads_out(link))
            && !leads_to_pod(link)
    };
    let cables = links.iter().filter(is_cable);
    let cables = cables.map(|link| link.ifindex).collect();
    mark(links, &cables);
}

/// Indices of the interfaces of all routes that leave the node.
fn by_any(routes: &[Route]) -> HashSet<u32> {
    outward(routes).filter_map(|route| route.ifindex).collect()
}

/// Indices of the interfaces of routes to the next router, and of default routes.
#[must_use]
pub fn by_gateway(routes: &[Route]) -> HashSet<u32> {
    outward(routes)
        .filter(|route| route.gateway.is_some() || route.len == 0)
        .filter_map(|route| route.ifindex)
        .collect()
}

fn outward(routes: &[Route]) -> impl Iterator<Item = &Route> {
    routes.iter().filter(|route| {
        route.kind == RouteKind::Unicast
            && route.table != LOCAL_TABLE
            && !is_link_local(route.destination)
            && !route.destination.is_multicast()
    })
}

fn is_port(link: &Link, links: &[Link]) -> bool {
    let master = link.master_among(links);
    master.is_some_and(|master| matches!(master.kind, LinkKind::Bridge | LinkKind::Switch))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::node::{
        links::{Vxlan, fixture::link},
        tables::MAIN_TABLE,
    };

    fn route(destination: &str, len: u8, gateway: Option<&str>, ifindex: u32) -> Route {
        Route {
            destination: destination.parse().unwrap(),
            len,
            gateway: gateway.map(|gateway| gateway.parse::<IpAddr>().unwrap()),
            ifindex: Some(ifindex),
            table: MAIN_TABLE,
            kind: RouteKind::Unicast,
            metric: 0,
            source: None,
        }
    }

    fn found(links: &[Link], routes: &[Route]) -> Vec<u32> {
        let mut found: Vec<_> = uplinks(links, routes).into_iter().collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn hardware_with_a_route_is_an_uplink_without_tunnels() {
        let links = [
            link(1, LinkKind::Loopback),
            link(2, LinkKind::Other),
            link(3, LinkKind::Other),
            link(4, LinkKind::Other),
        ];
        let mut own = route("192.0.2.2", 32, None, 4);
        own.table = LOCAL_TABLE;
        let routes = [
            route("0.0.0.0", 0, Some("192.0.2.1"), 2),
            route("10.9.0.0", 16, None, 3),
            route("fe80::", 64, None, 4),
            own,
        ];
        assert_eq!(found(&links, &routes), [2, 3]);
        assert_eq!(found(&links, &[]), Vec::<u32>::new());
    }

    #[test]
    fn vxlan_carrier_is_an_uplink_among_others() {
        let vxlan = LinkKind::Vxlan(Vxlan {
            underlay: Some(2),
            ..Vxlan::default()
        });
        let links = [
            link(2, LinkKind::Veth),
            link(3, LinkKind::Other),
            link(4, vxlan),
        ];
        let routes = [
            route("0.0.0.0", 0, None, 3),
            route("10.244.2.0", 24, Some("10.244.2.0"), 4),
        ];
        assert_eq!(found(&links, &routes), [2, 3]);
    }

    #[test]
    fn veth_to_a_remote_router_is_an_uplink() {
        let mut cable = link(2, LinkKind::Veth);
        cable.peer_nsid = Some(0);
        let mut of_pod = link(3, LinkKind::Veth);
        of_pod.peer_nsid = Some(1);
        // Like cilium_host: both ends are on the node.
        let within = link(4, LinkKind::Veth);
        let routes = [
            route("10.244.2.0", 24, Some("192.0.2.12"), 2),
            route("10.244.1.5", 32, None, 3),
            route("10.0.0.0", 8, Some("10.0.0.1"), 4),
        ];
        assert_eq!(found(&[cable, of_pod, within], &routes), [2]);
    }

    #[test]
    fn bridged_hardware_is_an_uplink_and_so_is_a_bond_with_its_ports() {
        let below = |ifindex, master| Link {
            master: Some(master),
            ..link(ifindex, LinkKind::Other)
        };
        let links = [
            below(2, 5),
            below(3, 6),
            below(4, 7),
            link(5, LinkKind::Bridge),
            link(6, LinkKind::Switch),
            link(7, LinkKind::Other),
        ];
        let routes = [
            route("192.0.2.0", 24, None, 5),
            route("::", 0, Some("fe80::1"), 7),
        ];
        assert_eq!(found(&links, &routes), [2, 3, 4, 7]);
    }
}
