//! Look-ups of routes.
use super::*;
use crate::rules::fixture::{FLANNEL, UPLINK, healthy, ip, prefix, route};

fn rule(priority: u32, from: Option<&str>, action: RuleAction) -> Rule {
    Rule {
        priority,
        is_ipv4: true,
        from: from.map(prefix),
        to: None,
        input: None,
        is_conditional: false,
        action,
    }
}

fn found(space: &Space, to: &str) -> Option<(u32, Option<IpAddr>)> {
    let wanted = Wanted {
        to: ip(to),
        from: Some(ip("10.244.1.2")),
        input: None,
    };
    let route = space.look_up(wanted).route?;
    Some((route.ifindex?, route.gateway))
}

#[test]
fn longest_prefix_then_metric_decides() {
    let mut space = healthy().remove(0).spaces.remove(0);
    let far = Some(ip("10.244.2.0"));
    assert_eq!(found(&space, "10.244.2.9"), Some((FLANNEL, far)));
    assert_eq!(found(&space, "1.1.1.1"), None);
    assert_eq!(found(&space, "2000::1"), None);
    for (gateway, metric) in [("192.168.77.1", 100), ("192.168.77.2", 50)] {
        let route = route("0.0.0.0/0", Some(gateway), UPLINK);
        space.tables.routes.push(Route { metric, ..route });
    }
    let better = Some(ip("192.168.77.2"));
    assert_eq!(found(&space, "1.1.1.1"), Some((UPLINK, better)));
}

#[test]
fn rules_are_asked_in_order_and_may_refuse() {
    let mut space = healthy().remove(0).spaces.remove(0);
    let table = |space: &mut Space, kind| {
        let default = route("0.0.0.0/0", Some("192.168.77.1"), UPLINK);
        space.tables.routes.push(Route {
            table: 100,
            kind,
            ..default
        });
    };
    table(&mut space, RouteKind::Unicast);
    let rules = |from| {
        vec![
            rule(100, from, RuleAction::Table(100)),
            rule(200, None, RuleAction::Table(MAIN_TABLE)),
        ]
    };
    space.rules = rules(Some("10.244.1.0/24"));
    assert_eq!(found(&space, "10.244.2.9").unwrap().0, UPLINK);
    space.rules = rules(Some("10.99.0.0/16"));
    assert_eq!(found(&space, "10.244.2.9").unwrap().0, FLANNEL);
    space.rules[0] = rule(100, None, RuleAction::Refuse(RouteKind::Prohibit));
    let wanted = Wanted {
        to: ip("10.244.2.9"),
        from: None,
        input: None,
    };
    assert_eq!(space.look_up(wanted).refusal, Some(RouteKind::Prohibit));
    space.rules = rules(None);
    space.tables.routes.retain(|route| route.table != 100);
    table(&mut space, RouteKind::Throw);
    assert_eq!(found(&space, "10.244.2.9").unwrap().0, FLANNEL);
}

/// Who does not answer ARP, and why: by the facts of who asks and of who has the address.
#[test]
fn silence_has_a_cause_where_facts_tell() {
    use crate::{
        model::facts::NodeFacts,
        rules::fixture::{CNI0, POD, VETH1, netns_of, netns_of_pod},
    };
    type Fault = fn(&mut Space);
    const POD1: (u64, u32) = (11, POD);
    const BRIDGE: (u64, u32) = (1, CNI0);
    assert_eq!(POD1.0, netns_of_pod(1, 1));
    let unbridged: Fault = |node| {
        let veth = node
            .devices
            .iter_mut()
            .find(|device| device.ifindex == VETH1);
        veth.unwrap().master = None;
    };
    let routed: Fault = |node| {
        let veth = node
            .devices
            .iter_mut()
            .find(|device| device.ifindex == VETH1);
        veth.unwrap().master = None;
        node.tables.routes.push(route("10.244.1.2/32", None, VETH1));
    };
    let strict: Fault = |node| {
        node.settings.rp_filter = Some(1);
        node.tables
            .routes
            .push(route("10.244.1.2/32", None, UPLINK));
    };
    let refused: Fault = |node| {
        node.rules = vec![
            rule(
                0,
                Some("10.244.1.0/24"),
                RuleAction::Refuse(RouteKind::Blackhole),
            ),
            rule(32_766, None, RuleAction::Table(MAIN_TABLE)),
        ];
    };
    let nothing: Fault = |_| {};
    for (fault, asker, address, name) in [
        (nothing, POD1, "10.244.1.1", "neighbour_failed"),
        (unbridged, POD1, "10.244.1.1", "no_bridge"),
        (unbridged, BRIDGE, "10.244.1.2", "no_bridge"),
        (routed, POD1, "10.244.1.1", "neighbour_failed"),
        (strict, POD1, "10.244.1.1", "reverse_path"),
        (refused, POD1, "10.244.1.1", "refused_by_route"),
        // As a policy rule sends it.
        (nothing, (1, UPLINK), "10.244.1.2", "route_astray"),
        (nothing, (1, UPLINK), "192.168.77.12", "neighbour_failed"),
    ] {
        let mut facts = healthy();
        let node = facts[0]
            .spaces
            .iter_mut()
            .find(|space| space.netns == netns_of(1));
        fault(node.unwrap());
        let nodes: Vec<&NodeFacts> = facts.iter().collect();
        let view = View::new(&nodes, &|_| None);
        let at = view.find(0, asker.0, asker.1).unwrap();
        let cause = silent(view, at, ip(address));
        assert_eq!(cause.name(), name, "{asker:?} {address}: {cause}");
    }
}
