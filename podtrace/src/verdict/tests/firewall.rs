//! Drops by firewalls whose rules are known.
use super::*;
use crate::{
    model::{
        drop::{DropRule, Tracked},
        ruleset::{Action, Base, Chain, Condition, Family, Hook, Rule, Ruleset, Test},
    },
    update::Update,
};

/// A world where the first node has this chain, which drops what these tests hold for.
fn filtered(hook: Hook, tests: Vec<Test>) -> World {
    let mut world = world(healthy());
    let conditions = tests.into_iter().map(|test| Condition {
        test,
        is_not: false,
    });
    let rule = Rule {
        number: 7,
        handle: 12,
        text: "some words".into(),
        conditions: conditions.collect(),
        action: Action::Drop,
        ..Rule::default()
    };
    let chain = Chain {
        family: Family::Inet,
        table: "fw".into(),
        name: "all".into(),
        base: Some(Base {
            hook,
            ..Base::default()
        }),
        rules: vec![rule],
    };
    let ruleset = Ruleset {
        netns: netns_of(1),
        chains: vec![chain],
        legacy: vec!["iptables filter".into()],
        ..Ruleset::default()
    };
    world.apply(&Default::default(), &Update::Ruleset(ruleset.into()));
    world
}

const RULE: &str = "rule 7 of chain all of table inet fw: some words";

/// The rules that could have dropped a packet.
fn rules(road: Road, world: &World) -> Vec<String> {
    match verdict(&road.path(), world).unwrap().cause {
        Cause::Kernel { rules, .. } => rules,
        Cause::Unknown { candidates, .. } => candidates,
        other => panic!("{other}"),
    }
}

fn dropped(hops: usize) -> Road {
    road(hops).dropped("NETFILTER_DROP", Some("nft_do_chain"))
}

#[test]
fn rules_of_the_hooks_that_come_next_are_candidates() {
    let forward = |tests| filtered(Hook::Forward, tests);
    let to = |text| Test::Destination(prefix(text));
    assert_eq!(
        rules(dropped(3), &forward(vec![to("10.244.2.2/32")])),
        [RULE]
    );
    assert_eq!(
        rules(dropped(3), &forward(vec![to("10.244.2.3/32")])),
        [""; 0]
    );
    let by = vec![Test::Input("cni0".into()), Test::Output("flannel*".into())];
    assert_eq!(rules(dropped(3), &forward(by)), [RULE]);
    // Into the tunnel, the packet outside is filtered.
    let vxlan = vec![Test::Protocol(17), Test::DestinationPort(8472, 8472)];
    let output = filtered(Hook::Output, vxlan);
    assert_eq!(rules(dropped(4), &output), [RULE]);
    assert_eq!(rules(dropped(3), &output), [""; 0]);
}

#[test]
fn what_no_kernel_explains_may_be_a_rule() {
    let candidates = rules(road(3), &filtered(Hook::Forward, Vec::new()));
    assert_eq!(candidates.last().unwrap(), RULE);
}

#[test]
fn older_kernels_tell_the_function_only() {
    let road = road(3).dropped("NOT_SPECIFIED", Some("nf_hook_slow"));
    assert_eq!(rules(road, &filtered(Hook::Forward, Vec::new())), [RULE]);
}

#[test]
fn what_is_not_read_is_said() {
    let verdict = verdict(&dropped(3).path(), &filtered(Hook::Forward, Vec::new())).unwrap();
    let evidence = verdict.evidence.join("\n");
    assert!(evidence.contains("legacy iptables is in use"), "{evidence}");
}

#[test]
fn state_of_the_flow_is_evidence() {
    let world = filtered(Hook::Forward, Vec::new());
    let mut path = dropped(3).path();
    let known = Tracked {
        is_known: true,
        ..Tracked::default()
    };
    for (tracked, words) in [
        (Tracked::default(), "NEW, or INVALID"),
        (known, "UNREPLIED"),
    ] {
        path.dropped.as_mut().unwrap().by.tracked = Some(tracked);
        let evidence = verdict(&path, &world).unwrap().evidence.join("; ");
        assert!(evidence.contains(words), "{evidence}");
    }
}

#[test]
fn rule_that_was_traced_is_the_cause() {
    let mut path = dropped(3).path();
    let rule = |handle| DropRule {
        family: Family::Inet,
        table: "fw".into(),
        chain: "all".into(),
        handle,
        ..DropRule::default()
    };
    let world = filtered(Hook::Forward, Vec::new());
    for (handle, what) in [
        (
            Some(12),
            "dropped by rule 7 of chain all of table inet fw of worker1: some words",
        ),
        (
            Some(13),
            "dropped by the rule with handle 13 of chain all of table inet fw of worker1",
        ),
        (
            None,
            "dropped by the policy of chain all of table inet fw of worker1",
        ),
    ] {
        path.dropped.as_mut().unwrap().by.rule = Some(Box::new(rule(handle)));
        let verdict = verdict(&path, &world).unwrap();
        assert_eq!(verdict.cause.to_string(), what);
        assert_eq!(verdict.confidence, Confidence::Sure);
    }
}
