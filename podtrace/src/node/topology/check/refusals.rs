//! Checks of routes and policy rules that refuse packets (`blackhole`, `unreachable`, `prohibit`):
//! healthy where they cover what nobody has, as a plugin's for its own block of addresses.
use std::net::IpAddr;

use super::{Found, Severity};
use crate::{
    model::{
        facts::{NodeFacts, Space},
        subnet::AddressPrefix,
        tables::{Route, Rule, RuleAction},
    },
    packet::is_link_local,
    rules::{
        At, Cause, View, all_of,
        route::{self, Wanted},
    },
};

/// Upper bound of the addresses that a rule is tried for.
const TRIED_MAX: usize = 64;

pub(super) fn check(view: View<'_>, node: &NodeFacts, found: &mut Found) {
    let refusing = node.spaces.iter().filter(|space| refuses(space));
    let mut known = None;
    for space in refusing {
        let known = known.get_or_insert_with(|| Known::of(view, node));
        // Any of its interfaces stands for the namespace.
        if let Some(at) = view.within(space.netns) {
            check_routes(view, at, known, found);
            check_rules(view, at, known, found);
        }
    }
}

fn refuses(space: &Space) -> bool {
    let mut routes = space.tables.routes.iter();
    routes.any(|route| route.kind.is_refusal() && route.len > 0)
        || space.rules.iter().any(is_refusal)
}

fn is_refusal(rule: &Rule) -> bool {
    matches!(rule.action, RuleAction::Refuse(_)) && !rule.is_conditional
}

/// Who is to be reached.
struct Known {
    /// The addresses of pods.
    pods: Vec<IpAddr>,
    /// The subnets behind the tunnels of the node.
    far: Vec<AddressPrefix>,
}

impl Known {
    fn of(view: View<'_>, node: &NodeFacts) -> Self {
        let pods = view.all().filter(|at| at.space.in_pod);
        let pods = pods.flat_map(|at| at.device.addresses.iter().map(|own| own.address));
        let pods = pods.filter(|address| !is_link_local(*address) && !address.is_loopback());
        let tunnels = all_of(node).filter(|at| at.device.vxlan.is_some());
        let far = tunnels.flat_map(|at| {
            let routes = at.space.tables.routes.iter();
            routes.filter(move |route| route.ifindex == Some(at.device.ifindex) && route.len > 0)
        });
        Self {
            pods: pods.collect(),
            far: far.map(Route::subnet).collect(),
        }
    }
}

fn check_routes(view: View<'_>, at: At<'_>, known: &Known, found: &mut Found) {
    let refusals = at.space.tables.routes.iter();
    let refusals = refusals.filter(|route| route.kind.is_refusal() && route.len > 0);
    for refusal in refusals {
        let subnet = refusal.subnet();
        let refused = |to: IpAddr| {
            let wanted = Wanted {
                to,
                from: None,
                input: None,
            };
            let (cause, is_doubtful) = route::onward(view, at, wanted).err()?;
            let is_it =
                matches!(&cause, Cause::RefusedByRoute { subnet: Some(of), .. } if *of == subnet);
            (is_it && !is_doubtful).then_some(cause)
        };
        let pods = known.pods.iter().filter(|pod| subnet.covers(**pod));
        let of_pod = { pods }.find_map(|pod| refused(*pod));
        let is_far = |far: &AddressPrefix| far.len <= subnet.len && far.covers(subnet.address);
        let far = || {
            known
                .far
                .iter()
                .any(is_far)
                .then(|| refused(subnet.address))
        };
        let (severity, cause) = match of_pod {
            Some(cause) => (Severity::Error, Some(cause)),
            None => (Severity::Warning, far().flatten()),
        };
        if let Some(cause) = cause {
            found.cause(severity, &format!("route {subnet}"), &cause);
        }
    }
}

fn check_rules(view: View<'_>, at: At<'_>, known: &Known, found: &mut Found) {
    for rule in at.space.rules.iter().filter(|rule| is_refusal(rule)) {
        let fits = |prefix: Option<AddressPrefix>, address: IpAddr| {
            address.is_ipv4() == rule.is_ipv4 && prefix.is_none_or(|own| own.covers(address))
        };
        let pods = || known.pods.iter().copied();
        let Some(from) = pods().find(|pod| fits(rule.from, *pod)) else {
            continue;
        };
        let far = known.far.iter().map(|far| far.address);
        let to = pods().chain(far).filter(|to| fits(rule.to, *to));
        let to = to.filter(|to| *to != from && !at.is_local(*to));
        let refused = to.take(TRIED_MAX).find_map(|to| {
            let wanted = Wanted {
                to,
                from: Some(from),
                input: rule.input.as_deref(),
            };
            let (cause, is_doubtful) = route::onward(view, at, wanted).err()?;
            let is_rule = matches!(cause, Cause::RefusedByRoute { subnet: None, .. });
            (is_rule && !is_doubtful).then_some(cause)
        });
        if let Some(cause) = refused {
            found.cause(Severity::Warning, "ip rule", &cause);
        }
    }
}
