//! Routing: policy rules, tables, and what the kernel checks of a packet that it forwards.
use std::net::IpAddr;

use super::{At, Candidate, Cause, View, link, tunnel};
use crate::{
    model::{
        facts::{Device, DeviceKind, Space},
        subnet::AddressPrefix,
        tables::{LOCAL_TABLE, MAIN_TABLE, NeighbourState, Route, RouteKind, Rule, RuleAction},
    },
    packet::{Mac, is_link_local},
};

/// The number of the routing table that is asked last.
const DEFAULT_TABLE: u32 = 253;

/// What is looked up.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The destination.
    pub to: IpAddr,
    /// The source.
    pub from: Option<IpAddr>,
    /// Name of the interface that the packet comes in by; none if the namespace sends it.
    pub input: Option<&'a str>,
}

/// What a look-up has found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The route; none if there is none, or if a policy rule refuses.
    pub route: Option<&'a Route>,
    /// How a policy rule refuses.
    pub refusal: Option<RouteKind>,
    /// Whether another route may be used: rules depend on what is not known, or several next
    /// hops share the packets.
    pub is_doubtful: bool,
}

impl Space {
    /// Looks up a route as the kernel does: rule by rule, in each table the longest prefix.
    #[must_use]
    pub fn look_up(&self, wanted: Wanted<'_>) -> Found<'_> {
        let mut found = Found {
            route: None,
            refusal: None,
            is_doubtful: false,
        };
        let is_ipv4 = wanted.to.is_ipv4();
        let rules = self.rules.iter().filter(|rule| rule.is_ipv4 == is_ipv4);
        if self.rules.is_empty() {
            let usual = [LOCAL_TABLE, MAIN_TABLE, DEFAULT_TABLE];
            let route = usual
                .iter()
                .find_map(|table| self.in_table(*table, wanted.to));
            return self.with_route(found, route);
        }
        for rule in rules {
            if !rule.may_match(wanted) {
                continue;
            }
            let (table, refusal) = match rule.action {
                RuleAction::Table(table) => (Some(table), None),
                RuleAction::Refuse(kind) => (None, Some(kind)),
                RuleAction::Other => (None, None),
            };
            let route = table.and_then(|table| self.in_table(table, wanted.to));
            if rule.is_conditional || rule.action == RuleAction::Other {
                // It may decide, unless its table says nothing.
                found.is_doubtful |= table.is_none() || route.is_some();
                continue;
            }
            if route.is_some() || refusal.is_some() {
                found.refusal = refusal;
                return self.with_route(found, route);
            }
        }
        found
    }

    fn with_route<'a>(&'a self, found: Found<'a>, route: Option<&'a Route>) -> Found<'a> {
        let shares = |route: &Route| {
            let mut others = self.tables.routes.iter();
            others.any(|other| other.is_beside(route))
        };
        Found {
            route,
            is_doubtful: found.is_doubtful || route.is_some_and(shares),
            ..found
        }
    }

    /// The route of a table to an address: the longest prefix, then the least metric.
    fn in_table(&self, table: u32, to: IpAddr) -> Option<&Route> {
        let routes = self.tables.routes.iter();
        let covering = routes
            .filter(|route| route.table == table && route.kind != RouteKind::Other)
            .filter(|route| route.covers(to));
        covering
            .min_by_key(|route| (u8::MAX - route.len, route.metric))
            .filter(|route| route.kind != RouteKind::Throw)
    }
}

impl Route {
    /// Whether it is another next hop for the same packets.
    fn is_beside(&self, other: &Self) -> bool {
        let way = |route: &Self| (route.ifindex, route.gateway);
        let subnet = |route: &Self| (route.table, route.destination, route.len, route.metric);
        way(self) != way(other) && subnet(self) == subnet(other)
    }

    /// Its subnet.
    #[must_use]
    pub fn subnet(&self) -> AddressPrefix {
        AddressPrefix {
            address: self.destination,
            len: self.len,
        }
    }
}

impl Rule {
    fn may_match(&self, wanted: Wanted<'_>) -> bool {
        let covers = |prefix: Option<AddressPrefix>, address: Option<IpAddr>| match prefix {
            Some(prefix) => address.is_some_and(|address| prefix.covers(address)),
            None => true,
        };
        let input = self.input.as_deref();
        covers(self.from, wanted.from)
            && covers(self.to, Some(wanted.to))
            && (input.is_none() || input == wanted.input || self.is_conditional)
    }
}

/// Whether `rp_filter` refuses a packet from `source` that comes in by `at`; the kernel has it
/// for IPv4 alone.
#[must_use]
pub fn reverse_path(view: View<'_>, at: At<'_>, source: IpAddr) -> Option<Cause> {
    let settings = (at.space.settings.rp_filter, at.device.settings.rp_filter);
    let mode = settings.0.max(settings.1).unwrap_or(0);
    if mode == 0 || source.is_ipv6() || source.is_unspecified() {
        return None;
    }
    let found = at.space.look_up(Wanted {
        to: source,
        from: None,
        input: None,
    });
    let back = found.route.filter(|route| !route.kind.is_refusal());
    let leads_here = back.is_some_and(|route| route.ifindex == Some(at.device.ifindex));
    if found.is_doubtful || leads_here || mode > 1 && back.is_some() {
        return None;
    }
    let back = back.and_then(|route| at.space.device(route.ifindex?));
    Some(Cause::ReversePath {
        at: view.place(at),
        source,
        back: back.map(|device| device.name.clone()),
    })
}

/// Whether the route to a pod's address leads by another interface than `near`, which the pod is
/// behind.
#[must_use]
pub fn astray(view: View<'_>, near: At<'_>, address: IpAddr) -> Option<Cause> {
    let found = near.space.look_up(Wanted {
        to: address,
        from: None,
        input: None,
    });
    let route = found.route.filter(|_| !found.is_doubtful)?;
    let by = near.space.device(route.ifindex?)?;
    (route.kind == RouteKind::Unicast && by.ifindex != near.device.ifindex).then(|| {
        Cause::RouteAstray {
            owner: view.owner(near).to_string(),
            to: address,
            by: by.name.clone(),
            right: near.device.name.clone(),
        }
    })
}

/// Whether packets of a family that come in by `at` are not forwarded.
#[must_use]
pub fn forwarding(view: View<'_>, at: At<'_>, is_ipv4: bool) -> Option<Cause> {
    let (all, own) = if is_ipv4 {
        let all = at.space.settings.ipv4_forward;
        (all, at.device.settings.ipv4_forward.or(all))
    } else {
        // That of the interface decides over nothing else than router advertisements.
        let all = at.space.settings.ipv6_forward;
        (all, all)
    };
    (own == Some(false)).then(|| Cause::ForwardingOff {
        at: view.place(at),
        is_all: all == Some(false),
        is_ipv4,
    })
}

/// The next step of a packet that is routed.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// The interface by which it leaves; none if it is for the namespace itself.
    pub by: Option<At<'a>>,
    /// The next hop: the gateway, or the destination.
    pub next: IpAddr,
    /// Whether another way is possible.
    pub is_doubtful: bool,
}

/// Where a route leads from a namespace.
///
/// # Errors
/// The cause if it leads nowhere, and whether there may be another way.
pub fn onward<'a>(
    view: View<'a>,
    at: At<'a>,
    wanted: Wanted<'_>,
) -> Result<Onward<'a>, (Cause, bool)> {
    let found = at.space.look_up(wanted);
    let fail = |cause| (cause, found.is_doubtful);
    let owner = || view.owner(at);
    if let Some(kind) = found.refusal {
        return Err(fail(Cause::RefusedByRoute {
            owner: owner(),
            subnet: None,
            kind,
            table: MAIN_TABLE,
        }));
    }
    let to = wanted.to;
    // The routes of an interface go with it.
    let no_route = || match on_link(at, to).and_then(|near| link::down(view, near)) {
        Some(down) => down,
        None => Cause::NoRoute { owner: owner(), to },
    };
    let route = found.route.ok_or_else(|| fail(no_route()))?;
    if route.kind.is_refusal() {
        return Err(fail(Cause::RefusedByRoute {
            owner: owner(),
            subnet: Some(route.subnet()),
            kind: route.kind,
            table: route.table,
        }));
    }
    let by = route.ifindex.and_then(|ifindex| at.beside(ifindex));
    Ok(Onward {
        by: by.filter(|_| route.kind != RouteKind::Local),
        next: route.gateway.unwrap_or(to),
        is_doubtful: found.is_doubtful,
    })
}

/// The interface whose subnet has an address.
fn on_link(at: At<'_>, address: IpAddr) -> Option<At<'_>> {
    let covers = |device: &&Device| device.addresses.iter().any(|own| own.covers(address));
    let device = at.space.devices.iter().find(covers)?;
    Some(At { device, ..at })
}

/// The MAC address of a next hop, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextMac {
    /// This one.
    Known(Mac),
    /// Asked for, not answered yet.
    Asked,
    /// Asked for, and not answered.
    Failed,
    /// No entry.
    Missing,
}

/// The MAC address that frames for `next` get on an interface.
#[must_use]
pub fn next_mac(at: At<'_>, next: IpAddr) -> NextMac {
    let mut neighbours = at.space.tables.neighbours.iter();
    let neighbour = neighbours
        .find(|neighbour| neighbour.ifindex == at.device.ifindex && neighbour.address == next);
    match neighbour.map(|neighbour| (neighbour.state, neighbour.mac)) {
        Some((NeighbourState::Failed, _)) => NextMac::Failed,
        Some((NeighbourState::Incomplete, _)) => NextMac::Asked,
        Some((_, Some(mac))) => NextMac::Known(mac),
        Some((_, None)) | None => NextMac::Missing,
    }
}

/// Whether the next hop on an interface cannot be told a frame: it has no entry and nobody is
/// asked, or it did not answer.
#[must_use]
pub fn neighbour(view: View<'_>, at: At<'_>, next: IpAddr) -> Option<Cause> {
    if !has_neighbours(at, next) {
        return None;
    }
    let learns = at.device.vxlan.as_ref().is_none_or(|vxlan| vxlan.learning);
    match next_mac(at, next) {
        NextMac::Known(_) => None,
        NextMac::Failed if learns => Some(silent(view, at, next)),
        NextMac::Asked if learns => Some(silent(view, at, next).while_asked(true)),
        NextMac::Missing if learns => None,
        // Frames of a question have no forwarding entry.
        _ => Some(Cause::NeighbourMissing {
            at: view.place(at),
            address: next,
            right: tunnel::mac_of(view, at, next),
        }),
    }
}

/// That packets may wait for the answer of a next hop which an interface has no entry for.
#[must_use]
pub fn unresolved(view: View<'_>, at: At<'_>, next: IpAddr) -> Option<Candidate> {
    let is_missing = has_neighbours(at, next) && next_mac(at, next) == NextMac::Missing;
    is_missing.then(|| Candidate::Neighbour {
        at: view.place(at).to_string(),
        address: next,
    })
}

/// Whether an interface asks for the MAC addresses of its next hops: tunnels of IP have no
/// neighbours, nor has what is on the link only.
fn has_neighbours(at: At<'_>, next: IpAddr) -> bool {
    let is_asked = matches!(
        at.device.kind,
        DeviceKind::Veth | DeviceKind::Bridge | DeviceKind::Vxlan | DeviceKind::Other
    );
    is_asked && at.device.mac.is_some() && !is_link_local(next)
}

/// Why nobody answers a question for a next hop on an interface.
#[must_use]
pub fn silent(view: View<'_>, at: At<'_>, next: IpAddr) -> Cause {
    let owner = view.owners(next).next();
    if owner.is_none() && view.is_whole() && is_of_pods(at, next) {
        return Cause::NoOwner {
            address: next,
            behind: None,
        };
    }
    let unbridged = |at| link::unbridged(view, view.peer(at)?);
    let cause = unbridged(at)
        .or_else(|| unbridged(owner?))
        .or_else(|| link::off_link(view, at, next))
        .or_else(|| elsewhere(view, at, owner?, next))
        .or_else(|| mute(view, owner?, next))
        .or_else(|| deaf(view, owner?, asker(at, next)?, next));
    if let Some(cause) = cause {
        return cause;
    }
    Cause::NeighbourFailed {
        at: view.place(at),
        address: next,
        owner: owner.map(|owner| Box::new(view.place(owner))),
        is_asked: false,
    }
}

/// Whether an interface answers no ARP.
fn mute(view: View<'_>, at: At<'_>, address: IpAddr) -> Option<Cause> {
    let is_mute = address.is_ipv4() && at.device.no_arp == Some(true);
    is_mute.then(|| Cause::ArpOff { at: view.place(at) })
}

/// The address that an interface asks from.
fn asker(at: At<'_>, next: IpAddr) -> Option<IpAddr> {
    let mut own = at.device.addresses.iter().map(|own| own.address);
    own.find(|address| address.is_ipv4() == next.is_ipv4())
}

/// Whether a node asks for a pod's address by another interface than the one that the pod is behind.
fn elsewhere(view: View<'_>, at: At<'_>, owner: At<'_>, address: IpAddr) -> Option<Cause> {
    let near = view.peer(owner).filter(|_| owner.space.in_pod)?;
    let right = near.bridge().unwrap_or(near);
    let is_apart = right.space.netns == at.space.netns && !right.is(at) && !at.space.in_pod;
    is_apart.then(|| Cause::RouteAstray {
        owner: view.owner(at).to_string(),
        to: address,
        by: at.device.name.clone(),
        right: right.device.name.clone(),
    })
}

/// Why a namespace does not answer a question for its address that comes in by `at`: it answers
/// only to whom it would route by that interface, and for what it takes itself (`arp_process` of
/// net/ipv4/arp.c).
#[must_use]
pub fn deaf(view: View<'_>, at: At<'_>, asker: IpAddr, address: IpAddr) -> Option<Cause> {
    if address.is_ipv6() || !at.is_local(address) {
        return None;
    }
    let forged = link::own_source(view, at, asker);
    if let Some(cause) = forged.or_else(|| reverse_path(view, at, asker)) {
        return Some(cause);
    }
    let found = at.space.look_up(Wanted {
        to: address,
        from: Some(asker),
        input: Some(&at.device.name),
    });
    if found.is_doubtful {
        return None;
    }
    let refused = |subnet, kind, table| Cause::RefusedByRoute {
        owner: view.owner(at),
        subnet,
        kind,
        table,
    };
    match (found.refusal, found.route) {
        (Some(kind), _) => Some(refused(None, kind, MAIN_TABLE)),
        (None, Some(route)) if route.kind.is_refusal() => {
            Some(refused(Some(route.subnet()), route.kind, route.table))
        }
        // Another table is asked before that of its own addresses.
        (None, Some(route)) if route.kind == RouteKind::Unicast && knows_own(at, address) => {
            let by = route.ifindex.and_then(|ifindex| at.beside(ifindex))?;
            Some(Cause::RouteAstray {
                owner: view.owner(at).to_string(),
                to: address,
                by: by.device.name.clone(),
                right: at.device.name.clone(),
            })
        }
        _ => None,
    }
}

/// Whether the table of its own addresses, as it is known, has one.
fn knows_own(at: At<'_>, address: IpAddr) -> bool {
    let mut routes = at.space.tables.routes.iter();
    routes.any(|route| {
        route.table == LOCAL_TABLE && route.kind == RouteKind::Local && route.covers(address)
    })
}

/// Whether an address is in the subnet of a bridge, whose ports are all known.
#[must_use]
pub fn is_of_pods(at: At<'_>, address: IpAddr) -> bool {
    at.device.kind == DeviceKind::Bridge
        && at
            .device
            .addresses
            .iter()
            .any(|own| own.len > 0 && own.covers(address))
}

/// The entries of a table of connections that is about to refuse new ones, and their upper
/// bound.
#[must_use]
pub fn full_conntrack(space: &Space) -> Option<(u32, u32)> {
    let (count, max) = (
        space.settings.conntrack_count?,
        space.settings.conntrack_max?,
    );
    let is_nearly_full = max > 0 && u64::from(count) * 10 >= u64::from(max) * 9;
    is_nearly_full.then_some((count, max))
}

#[cfg(test)]
mod tests;
