//! The kernel's answers about links, routes, neighbours and filters.
use podtrace::{
    node::{
        answers,
        tables::{NextHop, remote_subnets},
        uplinks,
    },
    probe::clsact,
};

/// Reads the answers, and follows the tables.
pub(crate) fn run(bytes: &[u8]) {
    let (tables, mut links) = answers::parse(bytes);
    let uplinks = uplinks::uplinks(&links, &tables.routes);
    uplinks::mark(&mut links, &uplinks);
    for link in &links {
        let _ = (link.master_among(&links), link.carries_vxlan(&links));
    }
    for neighbour in &tables.neighbours {
        let _ = tables.route_to(neighbour.address);
    }
    for subnet in remote_subnets(&tables, &links) {
        let reached = tables
            .fdb
            .iter()
            .any(|entry| entry.vtep == Some(subnet.vtep));
        assert!(reached, "{subnet:?} without an entry");
    }
    for route in &tables.routes {
        if let (Some(ifindex), Some(gateway)) = (route.ifindex, route.gateway)
            && let NextHop::Vtep(_, vtep) = tables.next_hop(ifindex, gateway)
        {
            let _ = tables.route_to(vtep);
        }
    }
    let _ = clsact::is_ours(bytes);
}
