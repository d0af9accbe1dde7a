//! Drops by firewalls whose rules are known.
use super::*;
use crate::{
    model::{
        drop::{DropRule, Tracked},
        hook::{Hook, HookPoint},
        ruleset::{Action, Base, Chain, Condition, Family, Rule, Ruleset, Test},
    },
    update::Update,
};

/// A world where the first node has this chain, which drops what these tests hold for.
fn filtered(hook: Hook, tests: Vec<Test>) -> World {
    acting(hook, tests, Action::Drop)
}

/// The same with another action.
pub(crate) fn acting(hook: Hook, tests: Vec<Test>, action: Action) -> World {
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
        action,
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
        devices: Vec::new(),
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

/// The rule of a hook, in words.
fn rule(hook: Hook) -> String {
    let hook = hook.as_str();
    format!("rule 7 of chain all of table inet fw of worker1 (hook {hook}, priority 0): some words")
}

/// The rules that could have dropped a packet.
fn rules(road: Road, world: &World) -> Vec<String> {
    told(&verdict(&road.path(), world).unwrap())
}

fn told(verdict: &Verdict) -> Vec<String> {
    let candidates = verdict.cause.candidates().iter();
    candidates.map(ToString::to_string).collect()
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
        [rule(Hook::Forward)]
    );
    let unknown = "firewall rules of hook forward of worker1 between cni0 and flannel.1";
    assert_eq!(
        rules(dropped(3), &forward(vec![to("10.244.2.3/32")])),
        [unknown]
    );
    let by = vec![Test::Input("cni0".into()), Test::Output("flannel*".into())];
    assert_eq!(rules(dropped(3), &forward(by)), [rule(Hook::Forward)]);
    // Into the tunnel, the packet outside is filtered.
    let vxlan = vec![Test::Protocol(17), Test::DestinationPort(8472, 8472)];
    let output = filtered(Hook::Output, vxlan);
    assert_eq!(rules(dropped(4), &output), [rule(Hook::Output)]);
    assert_eq!(rules(dropped(3), &output), [unknown]);
}

#[test]
fn hook_that_the_kernel_tells_leaves_out_others() {
    let mut path = dropped(3).path();
    let mut at = |hook: Option<HookPoint>, world: &World| {
        path.dropped.as_mut().unwrap().by.hook = hook;
        told(&verdict(&path, world).unwrap())
    };
    let prerouting = filtered(Hook::Prerouting, Vec::new());
    assert_eq!(at(None, &prerouting), [rule(Hook::Prerouting)]);
    let known = Some(Hook::Prerouting.of_ip());
    assert_eq!(at(known, &prerouting), [rule(Hook::Prerouting)]);
    let forward = filtered(Hook::Forward, Vec::new());
    assert_eq!(
        at(known, &forward),
        ["firewall rules of hook prerouting of worker1 between cni0 and flannel.1"]
    );
    // The tables do not lead there.
    let input = Some(Hook::Input.of_ip());
    assert_eq!(
        at(input, &filtered(Hook::Input, Vec::new())),
        [rule(Hook::Input)]
    );
}

/// As at the begin of a trace.
#[test]
fn hook_leads_to_rules_where_the_tables_are_not_known() {
    let known = filtered(
        Hook::Forward,
        vec![Test::Destination(prefix("10.244.2.2/32"))],
    );
    let mut world = world(Vec::new());
    world.rulesets = known.rulesets;
    let mut path = dropped(3).path();
    path.dropped.as_mut().unwrap().by.hook = Some(Hook::Forward.of_ip());
    let told = told(&verdict(&path, &world).unwrap());
    assert_eq!(told, [rule(Hook::Forward)]);
}

#[test]
fn interface_asks_the_chains_that_are_for_it() {
    for (device, is_told) in [("cni0", true), ("cni*", true), ("eth0", false)] {
        let mut world = filtered(Hook::Ingress, Vec::new());
        let mut ruleset = world.rulesets[&netns_of(1)].as_ref().clone();
        ruleset.chains[0].devices = vec![device.to_owned()];
        ruleset.legacy.clear();
        world.apply(&Default::default(), &Update::Ruleset(ruleset.into()));
        let mut path = dropped(3).path();
        path.dropped.as_mut().unwrap().by.hook = Some(Hook::Ingress.of_device());
        let told = told(&verdict(&path, &world).unwrap());
        let is_rule = told
            .iter()
            .any(|one| one.starts_with("rule 7 of chain all"));
        assert_eq!(is_rule, is_told, "{device} {told:?}");
    }
}

#[test]
fn what_no_kernel_explains_may_be_a_rule() {
    let candidates = rules(road(3), &filtered(Hook::Forward, Vec::new()));
    assert!(candidates.contains(&rule(Hook::Forward)), "{candidates:?}");
}

#[test]
fn older_kernels_tell_the_function_only() {
    let road = road(3).dropped("NOT_SPECIFIED", Some("nf_hook_slow"));
    assert_eq!(
        rules(road, &filtered(Hook::Forward, Vec::new())),
        [rule(Hook::Forward)]
    );
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
        (Tracked::default(), "NEW, INVALID, or not tracked"),
        (known, "UNREPLIED"),
    ] {
        path.dropped.as_mut().unwrap().by.tracked = Some(tracked);
        let evidence = verdict(&path, &world).unwrap().evidence.join("; ");
        assert!(evidence.contains(words), "{evidence}");
    }
}

/// Raw chains are called before connection tracking is, and those of interfaces before both.
#[test]
fn state_of_the_flow_is_none_where_connection_tracking_was_not_asked() {
    for (hook, priority, is_known) in [
        (Hook::Prerouting.of_ip(), -300, false),
        (Hook::Prerouting.of_ip(), -150, true),
        (Hook::Ingress.of_device(), 0, false),
        (Hook::Forward.of_ip(), 0, true),
    ] {
        for is_traced in [false, true] {
            let mut world = filtered(hook.hook, Vec::new());
            let mut ruleset = world.rulesets[&netns_of(1)].as_ref().clone();
            ruleset.chains[0].base.as_mut().unwrap().priority = priority;
            ruleset.chains[0].devices = vec!["cni0".to_owned()];
            world.apply(&Default::default(), &Update::Ruleset(ruleset.into()));
            let mut path = dropped(3).path();
            let by = &mut path.dropped.as_mut().unwrap().by;
            (by.hook, by.tracked) = (Some(hook), Some(Tracked::default()));
            by.rule = is_traced.then(|| {
                Box::new(DropRule {
                    family: Family::Inet,
                    table: "fw".into(),
                    chain: "all".into(),
                    handle: Some(12),
                    ..DropRule::default()
                })
            });
            let evidence = verdict(&path, &world).unwrap().evidence.join("; ");
            assert_eq!(
                evidence.contains("connection tracking"),
                is_known,
                "{hook} {evidence}"
            );
        }
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

#[test]
fn that_there_are_no_rules_is_told() {
    let mut world = world(healthy());
    let lost = |world: &World| verdict(&road(3).path(), world).unwrap();
    let may_be = |verdict: &Verdict| told(verdict).iter().any(|one| one.contains("firewall"));
    let is_none = |verdict: &Verdict| verdict.evidence.iter().any(|one| one == NONE);
    const NONE: &str = "no firewall rule of worker1 drops it";
    let unread = lost(&world);
    assert!(may_be(&unread) && !is_none(&unread), "{unread:?}");
    let of = |ruleset: Ruleset| Update::Ruleset(ruleset.into());
    let mut ruleset = Ruleset {
        netns: netns_of(1),
        ..Ruleset::default()
    };
    world.apply(&Default::default(), &of(ruleset.clone()));
    let read = lost(&world);
    assert!(!may_be(&read) && is_none(&read), "{read:?}");
    ruleset.legacy = vec!["iptables filter".into()];
    world.apply(&Default::default(), &of(ruleset));
    let legacy = lost(&world);
    assert!(may_be(&legacy) && !is_none(&legacy), "{legacy:?}");
}
