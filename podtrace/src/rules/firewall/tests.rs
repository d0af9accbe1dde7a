use super::*;
use crate::model::{ruleset::Family, subnet::AddressPrefix};

fn prefix(text: &str) -> AddressPrefix {
    serde_json::from_value(text.into()).unwrap()
}

fn rule(number: u32, tests: Vec<Test>, action: Action) -> Rule {
    let conditions = tests.into_iter().map(|test| Condition {
        test,
        is_not: false,
    });
    Rule {
        number,
        handle: number.into(),
        text: format!("rule{number}"),
        conditions: conditions.collect(),
        action,
        ..Rule::default()
    }
}

fn unknown(rule: Rule) -> Rule {
    Rule {
        is_conditional: true,
        ..rule
    }
}

fn chain(name: &str, hook: Option<(Hook, bool)>, rules: Vec<Rule>) -> Chain {
    Chain {
        family: Family::Ip,
        table: "filter".into(),
        name: name.into(),
        base: hook.map(|(hook, drops)| Base {
            hook,
            priority: 0,
            drops,
        }),
        devices: Vec::new(),
        rules,
    }
}

/// The candidates for a packet from 10.244.1.2 to TCP port 80 of 10.244.2.2, with `?` where it is
/// not certain.
fn found(hook: Hook, chains: Vec<Chain>) -> Vec<String> {
    let ruleset = Ruleset {
        chains,
        ..Ruleset::default()
    };
    let asked = Asked {
        is_ipv4: true,
        source: Some([10, 244, 1, 2].into()),
        destination: Some([10, 244, 2, 2].into()),
        protocol: Some(6),
        source_port: None,
        destination_port: Some(80),
        ttl: Some((62, 64)),
        message_type: None,
        input: Some("cni0"),
        output: Some("flannel.1"),
    };
    let all = candidates(&ruleset, hook.of_ip(), &asked).into_iter();
    let show = |one: Found<'_>| {
        let doubt = if one.is_certain { "" } else { "? " };
        format!("{doubt}{}", one.tell("here".to_owned()))
    };
    all.map(show).collect()
}

fn forward(rules: Vec<Rule>, drops: bool) -> Chain {
    chain("FORWARD", Some((Hook::Forward, drops)), rules)
}

#[test]
fn policy_drops_what_nothing_accepts() {
    let policy =
        "the policy of chain FORWARD of table ip filter of here (hook forward, priority 0)";
    let other = vec![Test::Source(prefix("10.245.0.0/16"))];
    let accepts_other = rule(1, other, Action::Accept);
    assert_eq!(
        found(Hook::Forward, vec![forward(vec![accepts_other], true)]),
        [policy]
    );
    let accepts = rule(1, vec![Test::DestinationPort(80, 90)], Action::Accept);
    assert_eq!(
        found(Hook::Forward, vec![forward(vec![accepts.clone()], true)]),
        [""; 0]
    );
    // Whether a rule accepts that depends on more is not known.
    let may_accept = vec![forward(vec![unknown(accepts)], true)];
    assert_eq!(found(Hook::Forward, may_accept), [format!("? {policy}")]);
    assert_eq!(found(Hook::Input, vec![forward(Vec::new(), true)]), [""; 0]);
}

#[test]
fn rules_of_called_chains_are_found_with_their_caller() {
    let jumps = rule(
        3,
        vec![Test::Input("cni*".into())],
        Action::Jump("KUBE-NWPLCY".into()),
    );
    let drops = rule(
        2,
        vec![Test::Destination(prefix("10.244.2.2/32"))],
        Action::Drop,
    );
    let later = rule(4, Vec::new(), Action::Drop);
    let chains = vec![
        forward(vec![jumps, later], false),
        chain(
            "KUBE-NWPLCY",
            None,
            vec![rule(1, vec![Test::Protocol(17)], Action::Drop), drops],
        ),
    ];
    let expected =
        "rule 2 of chain KUBE-NWPLCY of table ip filter of here (from FORWARD, priority 0): rule2";
    assert_eq!(found(Hook::Forward, chains), [expected]);
}

#[test]
fn return_leads_back() {
    let jumps = rule(1, Vec::new(), Action::Jump("OTHER".into()));
    let drops = rule(2, Vec::new(), Action::Reject);
    let returns = rule(1, vec![Test::DestinationPort(80, 80)], Action::Return);
    let chains = vec![
        forward(vec![jumps, drops.clone()], false),
        chain("OTHER", None, vec![returns, drops]),
    ];
    let expected =
        "rule 2 of chain FORWARD of table ip filter of here (hook forward, priority 0): rule2";
    assert_eq!(found(Hook::Forward, chains), [expected]);
}

#[test]
fn interfaces_that_a_hook_does_not_know_hold_for_no_rule() {
    let by_output = rule(1, vec![Test::Output("flannel.1".into())], Action::Drop);
    let prerouting = chain(
        "PRE",
        Some((Hook::Prerouting, false)),
        vec![by_output.clone()],
    );
    assert_eq!(found(Hook::Prerouting, vec![prerouting]), [""; 0]);
    assert_eq!(
        found(Hook::Forward, vec![forward(vec![by_output], false)]).len(),
        1
    );
}

#[test]
fn chains_that_call_each_other_come_to_an_end() {
    let to = |name: &str| rule(1, Vec::new(), Action::Jump(name.into()));
    let chains = vec![
        forward(vec![to("A"), to("A")], false),
        chain("A", None, vec![to("B"), to("B"), to("B")]),
        chain("B", None, vec![to("A"), to("A"), to("A")]),
    ];
    assert_eq!(found(Hook::Forward, chains), [""; 0]);
}

#[test]
fn many_candidates_are_counted() {
    let rules = (1..=9).map(|number| unknown(rule(number, Vec::new(), Action::Drop)));
    let sure = rule(10, Vec::new(), Action::Drop);
    let chain = forward(rules.chain([sure]).collect(), false);
    let ruleset = Ruleset {
        chains: vec![chain],
        ..Ruleset::default()
    };
    let asked = Asked {
        is_ipv4: true,
        ..Asked::default()
    };
    let found = candidates(&ruleset, Hook::Forward.of_ip(), &asked).into_iter();
    let told = tell(found.map(|found| ("here".to_owned(), found)).collect());
    assert_eq!(told.len(), 4);
    assert_eq!(told[0].rule().unwrap().rule.number, Some(10));
    assert_eq!(told[3], Candidate::MoreRules(7));
}

/// Chains of other layers see other packets.
#[test]
fn layer_calls_the_chains_of_its_families() {
    let of = |family, hook, devices: &[&str]| Chain {
        family,
        devices: devices.iter().map(|name| (*name).to_owned()).collect(),
        ..chain(
            "ALL",
            Some((hook, false)),
            vec![rule(1, Vec::new(), Action::Drop)],
        )
    };
    let chains = vec![
        of(Family::Ip, Hook::Forward, &[]),
        of(Family::Bridge, Hook::Forward, &[]),
        of(Family::Netdev, Hook::Ingress, &["cni0"]),
        of(Family::Inet, Hook::Ingress, &["veth*"]),
    ];
    let ruleset = Ruleset {
        chains,
        ..Ruleset::default()
    };
    let found = |hook: HookPoint, input| {
        let asked = Asked {
            is_ipv4: true,
            input: Some(input),
            ..Asked::default()
        };
        let found = candidates(&ruleset, hook, &asked).into_iter();
        found.map(|one| one.chain.family).collect::<Vec<_>>()
    };
    assert_eq!(found(Hook::Forward.of_ip(), "cni0"), [Family::Ip]);
    assert_eq!(found(Hook::Forward.of_bridge(), "cni0"), [Family::Bridge]);
    assert_eq!(found(Hook::Ingress.of_device(), "cni0"), [Family::Netdev]);
    assert_eq!(found(Hook::Ingress.of_device(), "veth1"), [Family::Inet]);
    assert_eq!(found(Hook::Ingress.of_device(), "eth0"), []);
}

#[test]
fn rules_that_ttl_or_type_exclude_are_no_candidates() {
    let asked = Asked {
        is_ipv4: true,
        protocol: Some(1),
        ttl: Some((62, 64)),
        message_type: Some(8),
        ..Asked::default()
    };
    // What is certain, what is not, and what does not hold.
    for (test, expected) in [
        (Test::Ttl(0, 64), Some(true)),
        (Test::Ttl(63, 255), Some(false)),
        (Test::Ttl(0, 5), None),
        (Test::Ttl(65, 255), None),
        (Test::MessageType(8, 8), Some(true)),
        (Test::MessageType(0, 0), None),
    ] {
        let ruleset = Ruleset {
            chains: vec![forward(
                vec![rule(1, vec![test.clone()], Action::Drop)],
                false,
            )],
            ..Ruleset::default()
        };
        let found = candidates(&ruleset, Hook::Forward.of_ip(), &asked);
        let is_certain = found.first().map(|found| found.is_certain);
        assert_eq!(is_certain, expected, "{test:?}");
    }
}
