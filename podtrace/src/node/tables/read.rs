//! Reads the tables by rtnetlink.
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures_util::TryStreamExt as _;
use rtnetlink::{
    Handle, IpVersion,
    packet_route::{
        AddressFamily,
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage},
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia},
        rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage},
    },
};
use thiserror::Error;

use super::{FdbEntry, Neighbour, NeighbourState, Route, RouteKind, Tables};
use crate::{
    model::{
        subnet::AddressPrefix,
        tables::{self, Rule},
    },
    netns::{NetNs, NetNsError, netlink::answer},
    order::Order as _,
    packet::Mac,
    text::sanitize::sanitize,
};

/// `NUD_*` of linux/neighbour.h.
const NUD_INCOMPLETE: u16 = 0x01;
const NUD_FAILED: u16 = 0x20;
const NUD_PERMANENT: u16 = 0x80;

/// Why a namespace's tables are not known.
#[derive(Debug, Error)]
pub enum TablesError {
    /// The namespace could not be entered.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// The kernel refused a dump.
    #[error("failed to list the {what} of {netns}")]
    Dump {
        /// Routes, rules, neighbours or forwarding entries.
        what: &'static str,
        /// The namespace.
        netns: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Reads all tables of a namespace.
///
/// # Errors
/// When the namespace cannot be entered or the kernel refuses.
pub async fn read(netns: &NetNs) -> Result<Tables, TablesError> {
    let handle = netns.netlink()?;
    let mut tables = Tables {
        routes: read_routes(netns).await?,
        ..Tables::default()
    };
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let neighbours = dump_neighbours(&handle, family).await;
        let neighbours = neighbours.map_err(error(netns, "neighbours"))?;
        let neighbours = neighbours.iter().filter_map(neighbour);
        tables.neighbours.extend(neighbours);
    }
    let fdb = dump_neighbours(&handle, AddressFamily::Bridge).await;
    let fdb = fdb.map_err(error(netns, "forwarding entries"))?;
    tables.fdb = fdb.iter().filter_map(fdb_entry).collect();
    Ok(tables)
}

/// Reads the routes of a namespace, of all tables and both families.
///
/// # Errors
/// When the namespace cannot be entered or the kernel refuses.
pub async fn read_routes(netns: &NetNs) -> Result<Vec<Route>, TablesError> {
    let handle = netns.netlink()?;
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let messages = dump_routes(&handle, family).await;
        let messages = messages.map_err(error(netns, "routes"))?;
        routes.extend(messages.iter().flat_map(routes_of));
    }
    Ok(routes)
}

/// Reads the policy rules of a namespace, of both families, in order of their priority.
///
/// # Errors
/// When the namespace cannot be entered or the kernel refuses.
pub async fn read_rules(netns: &NetNs) -> Result<Vec<Rule>, TablesError> {
    let handle = netns.netlink()?;
    let mut rules = Vec::new();
    for version in [IpVersion::V4, IpVersion::V6] {
        let dump = handle.rule().get(version).execute();
        let messages: Vec<_> = dump.try_collect().await.map_err(error(netns, "rules"))?;
        rules.extend(messages.iter().filter_map(rule));
    }
    rules.order_by_key(|rule| rule.priority);
    Ok(rules)
}

fn rule(message: &RuleMessage) -> Option<Rule> {
    let header = &message.header;
    let is_ipv4 = match header.family {
        AddressFamily::Inet => true,
        AddressFamily::Inet6 => false,
        _ => return None,
    };
    let mut rule = Rule {
        priority: 0,
        is_ipv4,
        from: None,
        to: None,
        input: None,
        is_conditional: header.tos != 0 || header.flags.contains(RuleFlags::Invert),
        action: match header.action {
            RuleAction::ToTable => tables::RuleAction::Table(header.table.into()),
            RuleAction::Blackhole => tables::RuleAction::Refuse(RouteKind::Blackhole),
            RuleAction::Unreachable => tables::RuleAction::Refuse(RouteKind::Unreachable),
            RuleAction::Prohibit => tables::RuleAction::Refuse(RouteKind::Prohibit),
            _ => tables::RuleAction::Other,
        },
    };
    let prefix = |address: IpAddr, len| AddressPrefix { address, len };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Source(address) => rule.from = Some(prefix(*address, header.src_len)),
            RuleAttribute::Destination(address) => {
                rule.to = Some(prefix(*address, header.dst_len));
            }
            RuleAttribute::Iifname(name) => rule.input = Some(sanitize(name)),
            RuleAttribute::Table(table) => {
                if let tables::RuleAction::Table(known) = &mut rule.action {
                    *known = *table;
                }
            }
            RuleAttribute::FwMark(0)
            | RuleAttribute::FwMask(_)
            | RuleAttribute::Protocol(_)
            | RuleAttribute::SuppressPrefixLen(u32::MAX)
            | RuleAttribute::SuppressIfGroup(u32::MAX) => {}
            _ => rule.is_conditional = true,
        }
    }
    Some(rule)
}

fn error(netns: &NetNs, what: &'static str) -> impl FnOnce(rtnetlink::Error) -> TablesError {
    let netns = netns.name.clone();
    move |source| TablesError::Dump {
        what,
        netns,
        source: answer(source),
    }
}

async fn dump_routes(
    handle: &Handle,
    family: AddressFamily,
) -> Result<Vec<RouteMessage>, rtnetlink::Error> {
    let mut question = RouteMessage::default();
    question.header.address_family = family;
    handle.route().get(question).execute().try_collect().await
}

async fn dump_neighbours(
    handle: &Handle,
    family: AddressFamily,
) -> Result<Vec<NeighbourMessage>, rtnetlink::Error> {
    let request = handle.neighbours().get().set_address_family(family);
    request.execute().try_collect().await
}

/// One route for each next hop of the message.
pub(in crate::node) fn routes_of(message: &RouteMessage) -> Vec<Route> {
    let header = &message.header;
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return Vec::new(),
    };
    let mut route = Route {
        destination: unspecified,
        len: header.destination_prefix_length,
        gateway: None,
        ifindex: None,
        table: header.table.into(),
        kind: kind(header.kind),
        metric: 0,
        source: None,
    };
    let mut several = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => {
                route.destination = ip(address).unwrap_or(unspecified);
            }
            RouteAttribute::PrefSource(address) => route.source = ip(address),
            RouteAttribute::Oif(index) => route.ifindex = Some(*index),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::MultiPath(hops) => several.extend(hops),
            other => route.gateway = route.gateway.or_else(|| gateway(other)),
        }
    }
    if several.is_empty() {
        return vec![route];
    }
    several
        .into_iter()
        .map(|hop| Route {
            ifindex: Some(hop.interface_index),
            gateway: hop.attributes.iter().find_map(gateway),
            ..route.clone()
        })
        .collect()
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        // An IPv4 route can have an IPv6 address as next hop.
        RouteAttribute::Via(RouteVia::Inet(address)) => Some((*address).into()),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some((*address).into()),
        _ => None,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn kind(kind: RouteType) -> RouteKind {
    match kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Local => RouteKind::Local,
        RouteType::BlackHole => RouteKind::Blackhole,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Prohibit => RouteKind::Prohibit,
        RouteType::Throw => RouteKind::Throw,
        _ => RouteKind::Other,
    }
}

pub(in crate::node) fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let state = u16::from(message.header.state);
    Some(Neighbour {
        address: destination(message)?,
        ifindex: message.header.ifindex,
        mac: mac(message),
        state: match state {
            _ if state & NUD_PERMANENT != 0 => NeighbourState::Permanent,
            _ if state & NUD_FAILED != 0 => NeighbourState::Failed,
            _ if state & NUD_INCOMPLETE != 0 => NeighbourState::Incomplete,
            _ => NeighbourState::Known,
        },
    })
}

pub(in crate::node) fn fdb_entry(message: &NeighbourMessage) -> Option<FdbEntry> {
    let master = message.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::Controller(index) => Some(*index),
        _ => None,
    });
    Some(FdbEntry {
        mac: mac(message)?,
        ifindex: message.header.ifindex,
        vtep: destination(message),
        master,
        own: message.header.flags.contains(NeighbourFlags::Own),
        permanent: u16::from(message.header.state) & NUD_PERMANENT != 0,
    })
}

fn destination(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some((*address).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
            Some((*address).into())
        }
        // Forwarding entries have a family of their own.
        NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => {
            let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(bytes.as_slice()).map(IpAddr::from);
            v4.or(v6).ok()
        }
        _ => None,
    })
}

fn mac(message: &NeighbourMessage) -> Option<Mac> {
    message.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::LinkLayerAddress(bytes) => {
            <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::route::RouteNextHop;

    use super::*;

    #[test]
    fn every_next_hop_is_a_route() {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.kind = RouteType::Unicast;
        let hop = |index, gateway: [u8; 4]| {
            let mut hop = RouteNextHop::default();
            hop.interface_index = index;
            let address = RouteAddress::Inet(gateway.into());
            hop.attributes = vec![RouteAttribute::Gateway(address)];
            hop
        };
        let hops = vec![hop(2, [10, 0, 0, 1]), hop(3, [10, 0, 1, 1])];
        message.attributes = vec![RouteAttribute::MultiPath(hops), RouteAttribute::Table(1000)];
        let routes = routes_of(&message);
        let brief: Vec<_> = routes
            .iter()
            .map(|route| (route.ifindex, route.gateway.map(|g| g.to_string())))
            .collect();
        assert_eq!(
            brief,
            [
                (Some(2), Some("10.0.0.1".into())),
                (Some(3), Some("10.0.1.1".into()))
            ]
        );
        assert!(
            routes
                .iter()
                .all(|route| route.table == 1000 && route.len == 0)
        );
    }

    #[test]
    fn forwarding_entry_is_read_in_both_families() {
        let bytes = [vec![192, 168, 77, 12], vec![0xfd; 16], vec![1, 2]];
        let vteps = bytes.map(|bytes| {
            let mut message = NeighbourMessage::default();
            message.header.flags = NeighbourFlags::Own;
            message.attributes = vec![
                NeighbourAttribute::LinkLayerAddress(vec![1; 6]),
                NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)),
            ];
            let entry = fdb_entry(&message).unwrap();
            assert!(entry.own && !entry.permanent && entry.mac == Mac([1; 6]));
            entry.vtep
        });
        assert_eq!(vteps[0], Some([192, 168, 77, 12].into()));
        assert!(vteps[1].unwrap().is_ipv6() && vteps[2].is_none());
    }
}
