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
