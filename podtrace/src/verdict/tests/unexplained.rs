//! What facts do not explain.
use super::*;

#[test]
fn what_facts_do_not_explain_is_unknown() {
    let marked = |all: &mut Vec<NodeFacts>| {
        let rule = |priority, is_conditional, table| Rule {
            priority,
            is_ipv4: true,
            from: None,
            to: None,
            input: None,
            is_conditional,
            action: RuleAction::Table(table),
        };
        let space = node(all, 1);
        space.rules = vec![
            rule(0, false, LOCAL_TABLE),
            rule(100, true, 100),
            rule(32_766, false, 254),
        ];
        space
            .tables
            .routes
            .retain(|route| route.ifindex != Some(FLANNEL));
        space.tables.routes.push(Route {
            table: 100,
            ..route("0.0.0.0/0", Some("192.168.77.12"), UPLINK)
        });
    };
    let cases: &[Case] = &[
        ("firewall of the pod", nothing, road(1)),
        ("hook FORWARD", nothing, road(3)),
        ("hook OUTPUT", nothing, road(4)),
        ("between the nodes", nothing, road(5)),
        ("hook INPUT", nothing, road(6)),
        ("bridge", nothing, road(8)),
        (
            "conntrack full",
            |all| {
                let settings = &mut node(all, 1).settings;
                (settings.conntrack_count, settings.conntrack_max) = (Some(990), Some(1000));
            },
            road(3),
        ),
        (
            "qdisc",
            |all| {
                device(node(all, 1), FLANNEL).qdiscs = vec![Qdisc {
                    kind: "tbf".into(),
                    drops: 3,
                }]
            },
            road(4),
        ),
        ("rules with marks", marked, road(3)),
        (
            "cut tables",
            |all| {
                all[0].is_cut = true;
                device(node(all, 1), VETH1).up = false;
            },
            road(1),
        ),
        (
            "interface unknown",
            |all| node(all, 1).devices.retain(|device| device.ifindex != CNI0),
            road(3),
        ),
        ("node unknown", |all| drop(all.remove(0)), road(3)),
        (
            "events lost",
            |all| device(node(all, 1), VETH1).up = false,
            road(1).ended(Outcome::EventsLost),
        ),
        ("in flight", nothing, road(1).ended(Outcome::InFlight)),
        ("given up", nothing, road(1).ended(Outcome::GivenUp)),
        ("incomplete", nothing, road(1).ended(Outcome::Unknown)),
        ("no facts", Vec::clear, road(3)),
        ("delivered", nothing, road(10).ended(Outcome::Delivered)),
    ];
    insta::assert_snapshot!(table(cases));
}

#[test]
fn the_kernel_says_what_facts_do_not() {
    let cases: &[Case] = &[
        (
            "firewall",
            nothing,
            road(3).dropped("NETFILTER_DROP", Some("nf_hook_slow")),
        ),
        (
            "confirmed",
            |all| device(node(all, 1), FLANNEL).up = false,
            road(3).dropped("NEIGH_FAILED", None),
        ),
        (
            "contradicted",
            |all| device(node(all, 1), FLANNEL).up = false,
            road(3).dropped("NETFILTER_DROP", None),
        ),
        (
            "not in the table",
            nothing,
            road(3).dropped("SOMETHING_NEW", Some("do_something")),
        ),
        (
            "without a reason",
            nothing,
            road(3).dropped("NOT_SPECIFIED", Some("ip_error")),
        ),
        (
            "no socket",
            nothing,
            road(10).no_socket().dropped("NO_SOCKET", None),
        ),
        (
            "without facts",
            Vec::clear,
            road(3).dropped("TCP_LISTEN_OVERFLOW", None),
        ),
    ];
    insta::assert_snapshot!(table(cases));
    let verdict = judged(nothing, &road(3).dropped("NETFILTER_DROP", None)).unwrap();
    insta::assert_snapshot!(verdict.evidence.join("\n"));
}

#[test]
fn a_healthy_network_has_no_causes() {
    for hops in 1..10 {
        let verdict = judged(nothing, &road(hops)).unwrap();
        assert_eq!(
            verdict.confidence,
            Confidence::Unknown,
            "{hops}: {verdict:?}"
        );
        assert!(verdict.expected_next.is_some(), "{hops}: {verdict:?}");
    }
    for hops in 1..3 {
        let verdict = judged(nothing, &local(hops)).unwrap();
        assert_eq!(
            verdict.confidence,
            Confidence::Unknown,
            "{hops}: {verdict:?}"
        );
    }
}
