//! The tables by which a node sends packets: routes, neighbours, bridge forwarding.
//!
//! Flannel describes the way to a subnet by three entries: a route through flannel.1
//! (`10.244.2.0/24 via 10.244.2.0`), a permanent neighbour (`10.244.2.0 -> MAC`) and a
//! forwarding entry (`MAC -> VTEP`). The VTEP names the remote node; [`remote_subnets`]
//! follows the three.
pub(super) mod read;

pub use read::{TablesError, read, read_routes, read_rules};

use super::links::{Link, LinkKind};
use crate::model::subnet::RemoteSubnet;
pub use crate::model::tables::{
    FdbEntry, LOCAL_TABLE, MAIN_TABLE, Neighbour, NeighbourState, NextHop, Route, RouteKind, Tables,
};

/// The subnets that VXLAN interfaces lead to, with the VTEP of each; a route
/// that leads to no VTEP is left out.
#[must_use]
pub fn remote_subnets(tables: &Tables, links: &[Link]) -> Vec<RemoteSubnet> {
    let device = |ifindex: u32| {
        links
            .iter()
            .find(|link| link.ifindex == ifindex && matches!(link.kind, LinkKind::Vxlan(_)))
    };
    tables
        .routes
        .iter()
        .filter(|route| route.kind == RouteKind::Unicast)
        .filter_map(|route| {
            let device = device(route.ifindex?)?;
            let NextHop::Vtep(_, vtep) = tables.next_hop(device.ifindex, route.gateway?) else {
                return None;
            };
            Some(RemoteSubnet {
                prefix: route.destination,
                len: route.len,
                vtep,
                device: device.name.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
