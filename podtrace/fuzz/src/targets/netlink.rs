//! The kernel's answers about links, routes, neighbours, filters and firewalls.
use std::net::IpAddr;

use podtrace::{
    model::{facts::Space, hook::Hook, tables::NextHop},
    node::{answers, tables::remote_subnets, uplinks},
    probe::clsact,
    rules::{
        firewall::{Asked, candidates, tell},
        route::Wanted,
    },
};

/// Reads the answers, and follows the tables.
pub(crate) fn run(bytes: &[u8]) {
    let (tables, mut links) = answers::parse(bytes);
    let uplinks = uplinks::uplinks(&links, &tables.routes);
    uplinks::mark(&mut links, &uplinks);
    for link in &links {
        let _ = (link.master_among(&links), link.carries_vxlan(&links));
    }
    for subnet in remote_subnets(&tables, &links) {
        let reached = tables
            .fdb
            .iter()
            .any(|entry| entry.vtep == Some(subnet.vtep));
        assert!(reached, "{subnet:?} without an entry");
    }
    let space = Space {
        tables,
        ..Space::default()
    };
    let look_up = |to: IpAddr| {
        let wanted = Wanted {
            to,
            from: None,
            input: None,
        };
        let _ = space.look_up(wanted);
    };
    for neighbour in &space.tables.neighbours {
        look_up(neighbour.address);
    }
    for route in &space.tables.routes {
        if let (Some(ifindex), Some(gateway)) = (route.ifindex, route.gateway)
            && let NextHop::Vtep(_, vtep) = space.tables.next_hop(ifindex, gateway)
        {
            look_up(vtep);
        }
    }
    let _ = clsact::is_ours(bytes);
    let ruleset = answers::parse_rules(bytes);
    for hook in [Hook::Input, Hook::Forward] {
        let found = candidates(&ruleset, hook.of_ip(), &Asked::default()).into_iter();
        let told = tell(found.map(|found| (String::new(), found)).collect());
        told.iter()
            .for_each(|candidate| drop(candidate.to_string()));
    }
}
