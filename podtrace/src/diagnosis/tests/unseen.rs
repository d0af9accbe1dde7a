//! What no tap shows: errors of sending, silence, others with the same address.
use super::*;
use crate::{
    findings::{Finding, Kind, Party},
    model::{
        hook::Hook,
        probes::ErrorKind,
        ruleset::{Action, Ruleset},
        snapshot::{Holder, NamespaceInfo, Snapshot},
    },
    rules::fixture::{netns_of, netns_of_pod},
    verdict::Confidence,
    verdict::tests::firewall::acting,
};

#[test]
fn errors_of_sending_are_no_loss_but_where_the_way_is_closed() {
    use ErrorKind::{Forbidden, Invalid, NoWay, Other, Refused, Untried};
    let world = world(healthy());
    let report = |kind| {
        let mut diagnosis = Diagnosis::new(pair(None), Mode::Probed);
        diagnosis.probe(probes(&world, &diagnosis));
        diagnosis.probed(sent(probed("ping", 3, 0, Some((kind, "no")))));
        diagnosis.conclude(0, &world)
    };
    for (kind, conclusion, cause) in [
        (NoWay, Conclusion::Lost, None),
        (Forbidden, Conclusion::Lost, Some("kernel_drop")),
        (Refused, Conclusion::Refused, None),
        (Invalid, Conclusion::Unknown, None),
        (Untried, Conclusion::Unknown, None),
        (Other, Conclusion::Unknown, None),
    ] {
        let report = report(kind);
        assert_eq!(
            (report.conclusion, report.cause),
            (conclusion, cause),
            "{kind:?}"
        );
    }
}

#[test]
fn who_talks_to_itself_is_reached() {
    let world = world(healthy());
    let own = || road(1).to("10.244.1.2").ended(Outcome::Delivered);
    let itself = || {
        let pair = pair(None);
        let destination = pair.source.clone();
        Pair {
            destination,
            ..pair
        }
    };
    let paths = [echo(1, false, &own()), echo(2, true, &own())];
    let report = diagnose(itself(), &paths, &world).conclude(0, &world);
    assert_eq!((report.request.delivered, report.reply.delivered), (1, 1));
    assert_eq!(report.conclusion, Conclusion::Delivered);
    // The loopback interface of a node has no tap.
    let answered = |to: &str, error| {
        let end = |text: &str| AskedEnd {
            peer: text.parse().unwrap(),
            text: text.to_owned(),
        };
        let pair = Pair {
            source: end("worker1"),
            destination: end(to),
            ..pair(None)
        };
        let mut diagnosis = Diagnosis::new(pair, Mode::Probed);
        diagnosis.probed(sent(probed("ping", 3, 3, error)));
        diagnosis.conclude(0, &world).conclusion
    };
    let refused = Some((ErrorKind::Refused, "Connection refused"));
    assert_eq!(answered("worker1", None), Conclusion::Delivered);
    assert_eq!(answered("127.0.0.1", None), Conclusion::Delivered);
    assert_eq!(answered("127.0.0.1", refused), Conclusion::Refused);
    // Another has answered, where no tap sees it.
    assert_eq!(answered("10.244.2.2", None), Conclusion::Unknown);
}

/// The socket drops what comes from an address that it has not asked.
#[test]
fn replies_that_are_not_translated_back_are_lost() {
    let world = world(healthy());
    let party = |address| Party {
        name: None,
        is_pod: false,
        address: ip(address),
        port: None,
    };
    let nat = Finding {
        kind: Kind::OneWayNat,
        client: party("10.244.1.2"),
        server: party("10.244.2.2"),
        protocol: "icmp".into(),
        sentence: "one-way NAT".into(),
        evidence: Vec::new(),
        confidence: Confidence::Sure,
        rules: Vec::new(),
        advice: None,
        conversations: 1,
        packets: 1,
        first_ns: 0,
        last_ns: 0,
        rests_on_absence: false,
        waits_for: None,
    };
    let paths = [
        echo(1, false, &road(10).ended(Outcome::Delivered)),
        echo(2, true, &answer(10).ended(Outcome::Delivered)),
    ];
    for (found, conclusion, cause) in [
        (vec![nat], Conclusion::Lost, Some("one_way_nat")),
        (Vec::new(), Conclusion::Unknown, None),
    ] {
        let mut diagnosis = diagnose(pair(None), &paths, &world);
        diagnosis.probe(probes(&world, &diagnosis));
        diagnosis.probed(sent(probed("ping", 3, 0, None)));
        diagnosis.find(found, &world);
        let report = diagnosis.conclude(0, &world);
        assert_eq!((report.conclusion, report.cause), (conclusion, cause));
    }
}

#[test]
fn packets_that_another_with_the_address_gets_are_lost() {
    let mut facts = healthy();
    let own = facts[1].spaces[1].devices[0].addresses.clone();
    facts[1].spaces[2].devices[0].addresses.extend(own);
    let mut world = world(facts);
    let holder = |netns| Holder {
        node: 1,
        netns: Some(netns),
    };
    let second = Snapshot {
        namespaces: vec![NamespaceInfo {
            id: 22,
            node: 1,
            given: Some("default/pod22".into()),
            ..NamespaceInfo::default()
        }],
        addresses: [(ip("10.244.2.2"), holder(22))].into(),
        ..Snapshot::default()
    };
    let origin = Origin {
        session: 0,
        nodes: 0..2,
    };
    world.apply(&origin, &Update::Snapshot(Box::new(second)));
    let end = AskedEnd {
        peer: Peer::Named("pod22".parse().unwrap()),
        text: "pod22".into(),
    };
    let pair = Pair {
        source: AskedEnd {
            peer: "10.244.1.2".parse().unwrap(),
            text: "10.244.1.2".into(),
        },
        destination: end,
        ..pair(None)
    };
    let paths = [
        echo(1, false, &road(10).ended(Outcome::Delivered)),
        echo(2, true, &answer(10).ended(Outcome::Delivered)),
    ];
    let report = diagnose(pair, &paths, &world).conclude(0, &world);
    let found = (report.conclusion, report.cause);
    assert_eq!(
        found,
        (Conclusion::Lost, Some("duplicate_address")),
        "{}",
        report.verdict
    );
    let words = report.what.unwrap();
    assert!(words.starts_with("10.244.2.2 is the address of"), "{words}");
}

#[test]
fn silence_is_named() {
    let arrived = || echo(1, false, &road(10).ended(Outcome::Delivered));
    let mut facts = healthy();
    facts[1].spaces[1].settings.ipv4_echo_ignored = Some(true);
    let world_of_sysctl = world(facts);
    let report = diagnose(pair(None), &[arrived()], &world_of_sysctl).conclude(0, &world_of_sysctl);
    assert_eq!(report.cause, Some("echo_ignored"));
    let advice = "ip netns exec pod21 sysctl -w net.ipv4.icmp_echo_ignore_all=0";
    assert_eq!(report.advice.as_deref(), Some(advice));

    let world = world(healthy());
    let asked = syn(1, &road(10).ended(Outcome::Delivered));
    for (overflows, cause) in [(3, "accept_queue_full"), (0, "unknown")] {
        let paths = std::slice::from_ref(&asked);
        let mut diagnosis = diagnose(pair(Some(Protocol::Tcp)), paths, &world);
        diagnosis.probed(Outcomes {
            probed: vec![probed("TCP connection", 3, 0, None)],
            listener: Some(Listener {
                waiting: 2,
                overflows,
            }),
        });
        assert_eq!(diagnosis.conclude(0, &world).cause, Some(cause));
    }
}

#[test]
fn pod_without_an_address_is_told() {
    let mut world = world(healthy());
    let origin = Origin {
        session: 0,
        nodes: 0..2,
    };
    let named = |addresses: &[&str]| {
        let holder = Holder {
            node: 1,
            netns: Some(21),
        };
        let namespaces = [(0, 11), (1, 21)].map(|(node, id)| NamespaceInfo {
            id,
            node,
            given: Some(format!("default/pod{id}").into()),
            ..NamespaceInfo::default()
        });
        let own = Holder {
            node: 0,
            netns: Some(11),
        };
        let addresses = addresses.iter().map(|address| (ip(address), holder));
        Snapshot {
            namespaces: namespaces.into(),
            addresses: addresses.chain([(ip("10.244.1.2"), own)]).collect(),
            ..Snapshot::default()
        }
    };
    let diagnosis = Diagnosis::new(pair(None), Mode::Probed);
    for (addresses, words) in [
        (
            &[][..],
            "nothing is sent: no interface of default/pod21 has an address",
        ),
        (&["fd00::2"], "have no addresses of one family"),
    ] {
        world.apply(&origin, &Update::Snapshot(Box::new(named(addresses))));
        let Err(Unsent::NotHere(said)) = diagnosis.plan(7, false, &world) else {
            panic!("{addresses:?}");
        };
        assert!(said.contains(words), "{said}");
    }
    let evidence = diagnosis.conclude(0, &world).evidence;
    let expected = "no interface of default/pod21 has an IPv4 address";
    assert!(
        evidence.iter().any(|words| words == expected),
        "{evidence:?}"
    );
}

#[test]
fn what_the_kernel_may_hold_for_a_neighbour_is_waited_for() {
    let world = world(healthy());
    let lost = echo(1, false, &road(7));
    let mut diagnosis = Diagnosis::new(pair(None), Mode::Probed);
    diagnosis.advance(1);
    diagnosis.probe(probes(&world, &diagnosis));
    diagnosis.add(&lost, &world);
    assert!(diagnosis.awaits_more(&world));
    diagnosis.advance(1 + HELD_NS);
    assert!(!diagnosis.awaits_more(&world));
}

/// A firewall of the sender's own answers before any tap.
#[test]
fn rule_that_rejects_what_is_sent_is_named() {
    let mut world = world(healthy());
    let rejecting = acting(Hook::Output, Vec::new(), Action::Reject);
    let mut ruleset = rejecting.rulesets[&netns_of(1)].as_ref().clone();
    ruleset.netns = netns_of_pod(1, 1);
    world.apply(&Default::default(), &Update::Ruleset(ruleset.into()));
    let mut diagnosis = Diagnosis::new(pair(None), Mode::Probed);
    diagnosis.probe(probes(&world, &diagnosis));
    let refused = Some((ErrorKind::Refused, "Connection refused"));
    diagnosis.probed(sent(probed("ping", 3, 0, refused)));
    let report = diagnosis.conclude(0, &world);
    let rules = report.rules.unwrap_or_default();
    assert_eq!((report.cause, rules.len()), (Some("refused"), 1));
    let advice = "ip netns exec pod11 nft list ruleset";
    assert_eq!(report.advice.as_deref(), Some(advice));
}

/// That a namespace has no rules is known only where that was recorded.
#[test]
fn silent_server_is_the_cause_where_no_rule_can_be() {
    let mut world = world(healthy());
    let mut query = syn(1, &road(10).ended(Outcome::Delivered));
    query.packet.transport = Transport::Udp {
        source: 40_000,
        destination: 53,
        payload: 50,
    };
    if let Network::Ip(ip) = &mut query.packet.network {
        ip.protocol = 17;
    }
    let asked = |world: &World| {
        let paths = std::slice::from_ref(&query);
        diagnose(pair(Some(Protocol::Udp)), paths, world).conclude(0, world)
    };
    assert_eq!(asked(&world).cause, Some("unknown"));
    let none = Ruleset {
        netns: netns_of_pod(2, 1),
        ..Ruleset::default()
    };
    world.apply(&Default::default(), &Update::Ruleset(none.into()));
    let report = asked(&world);
    assert_eq!(report.cause, Some("server_silent"));
    let expected = "no firewall rule of default/pod21 drops the answer";
    assert!(
        report.evidence.iter().any(|one| one == expected),
        "{:?}",
        report.evidence
    );
}
