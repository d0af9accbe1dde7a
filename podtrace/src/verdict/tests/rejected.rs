//! Packets that a firewall refuses.
use super::{firewall::acting, *};
use crate::{
    model::{
        drop::DropRule,
        hook::Hook,
        ruleset::{Action, Family, Test},
    },
    update::Update,
};

/// The tap of the first node by which an answer of its own leaves for the pod.
const TO_POD: (u32, Direction) = (1, Egress);

fn refusal(reason: Reason, by: &str, at: Option<(u32, Direction)>) -> Refusal {
    Refusal {
        packet: 7,
        by: ip(by),
        at,
        ts_ns: 0,
        reason,
        carried: None,
        hops: 3,
    }
}

fn icmp(code: u8) -> Reason {
    Reason::Icmp(IcmpError {
        is_v4: true,
        kind: 3,
        code,
        value: 0,
    })
}

/// A node whose rules are all read, and which rejects what these tests hold for.
fn rejecting(tests: Vec<Test>) -> World {
    let mut world = acting(Hook::Forward, tests, Action::Reject);
    let mut ruleset = world.rulesets[&netns_of(1)].as_ref().clone();
    ruleset.legacy.clear();
    world.apply(&Default::default(), &Update::Ruleset(ruleset.into()));
    world
}

fn said(path: &Path, world: &World) -> (String, Confidence, Vec<String>) {
    let verdict = verdict(path, world).unwrap();
    let could_be = verdict.cause.could_be().collect();
    (verdict.cause.to_string(), verdict.confidence, could_be)
}

const RULE: &str = "rejected by rule 7 of chain all of table inet fw of worker1: some words";

#[test]
fn rule_that_refuses_is_the_cause_whatever_it_answers() {
    let all = rejecting(Vec::new());
    for reason in [0, 1, 2, 3, 9, 10, 13].map(icmp) {
        let refusal = refusal(reason, "10.244.1.1", Some(TO_POD));
        let (what, confidence, _) = said(&road(3).refused(refusal).path(), &all);
        assert_eq!((&*what, confidence), (RULE, Confidence::Sure), "{reason}");
    }
    let reset = refusal(Reason::Reset, "10.244.2.2", Some(TO_POD));
    let path = road(3).refused(reset).path();
    assert_eq!(said(&path, &all).0, RULE);
    let verdict = verdict(&path, &all).unwrap();
    let next = verdict.expected_next.unwrap();
    assert_eq!(next.place.to_string(), "flannel.1 of worker1");
    let advice = verdict.advice.unwrap();
    assert_eq!(advice, "nft -a list chain inet fw all");
    assert_eq!(
        verdict.evidence[0],
        "worker1 (in the name of 10.244.2.2) refuses it: connection refused"
    );
}

#[test]
fn rule_that_resets_an_open_connection_is_the_cause() {
    let reset = refusal(Reason::Aborted, "10.244.2.2", Some(TO_POD));
    let path = road(3).refused(reset).path();
    let verdict = verdict(&path, &rejecting(Vec::new())).unwrap();
    assert_eq!(verdict.cause.to_string(), RULE);
    assert_eq!(
        verdict.evidence[0],
        "worker1 (in the name of 10.244.2.2) refuses it: connection reset"
    );
}

#[test]
fn rules_that_may_refuse_are_candidates() {
    let reset = refusal(Reason::Reset, "10.244.2.2", Some(TO_POD));
    let path = road(3).refused(reset).path();
    let mut world = rejecting(Vec::new());
    let mut ruleset = world.rulesets[&netns_of(1)].as_ref().clone();
    let rule = &mut ruleset.chains[0].rules[0];
    rule.is_conditional = true;
    let plain = "worker1 (in the name of 10.244.2.2) refuses it: connection refused";
    // It is the only one that can have done it.
    world.apply(
        &Default::default(),
        &Update::Ruleset(ruleset.clone().into()),
    );
    let (what, confidence, _) = said(&path, &world);
    assert_eq!((&*what, confidence), (RULE, Confidence::Likely));
    let other = crate::model::ruleset::Rule {
        number: 8,
        ..ruleset.chains[0].rules[0].clone()
    };
    ruleset.chains[0].rules.push(other);
    world.apply(&Default::default(), &Update::Ruleset(ruleset.into()));
    let (what, _, could_be) = said(&path, &world);
    assert_eq!((&*what, could_be.len()), (plain, 2), "{could_be:?}");
    // Rules that drop only answer nothing, and none answers for other packets.
    for (tests, action) in [
        (Vec::new(), Action::Drop),
        (vec![Test::Protocol(6)], Action::Reject),
    ] {
        let mut world = acting(Hook::Forward, tests, action);
        let (what, _, could_be) = said(&path, &world);
        assert_eq!(what, plain);
        assert_eq!(
            could_be,
            ["could be: firewall rules of hook forward of worker1 between cni0 and flannel.1"]
        );
        world.rulesets.clear();
        assert_eq!(said(&path, &world).0, plain);
    }
}

#[test]
fn traced_rule_is_the_one() {
    let mut path = road(3).dropped("NETFILTER_DROP", None).path();
    let by = &mut path.dropped.as_mut().unwrap().by;
    by.hook = Some(Hook::Forward.of_ip());
    by.rule = Some(Box::new(DropRule {
        family: Family::Inet,
        table: "fw".into(),
        chain: "all".into(),
        handle: Some(12),
        ..DropRule::default()
    }));
    path.outcome = Outcome::Refused;
    path.refusal = Some(Box::new(refusal(icmp(1), "10.244.1.1", Some(TO_POD))));
    let (what, confidence, _) = said(&path, &acting(Hook::Forward, Vec::new(), Action::Reject));
    assert_eq!((&*what, confidence), (RULE, Confidence::Sure));
}

#[test]
fn reset_is_of_where_it_is_first_seen() {
    let by = |at| {
        let path = road(10).refused(refusal(Reason::Reset, "10.244.2.2", at));
        said(&path.path(), &world(healthy())).0
    };
    let pod = (9, Egress);
    for (at, who) in [
        (Some(pod), "default/pod21 (10.244.2.2)"),
        (Some((6, Egress)), "worker2 (in the name of 10.244.2.2)"),
        (
            Some((5, Ingress)),
            "10.244.2.2 (first seen at eth0 ingress of worker2)",
        ),
        (None, "10.244.2.2"),
    ] {
        assert_eq!(by(at), format!("{who} refuses it: connection refused"));
    }
}

/// A rule may be in the pod itself, too.
#[test]
fn pod_refuses_by_a_rule_or_because_nobody_listens() {
    let path = road(10)
        .refused(refusal(Reason::Reset, "10.244.2.2", Some((9, Egress))))
        .path();
    let verdict = verdict(&path, &world(healthy())).unwrap();
    assert_eq!(verdict.cause.name(), "refused");
    let advice = "ip netns exec pod21 ss -lntu; ip netns exec pod21 nft -a list ruleset";
    assert_eq!(verdict.advice.as_deref(), Some(advice));
}

/// No rule says that.
#[test]
fn other_errors_are_of_no_rule() {
    let too_big = refusal(icmp(4), "10.244.1.1", Some(TO_POD));
    let path = road(3).refused(too_big).path();
    let (what, _, could_be) = said(&path, &rejecting(Vec::new()));
    assert_eq!(
        what,
        "worker1 (10.244.1.1) refuses it: fragmentation needed"
    );
    assert!(could_be.is_empty());
}
