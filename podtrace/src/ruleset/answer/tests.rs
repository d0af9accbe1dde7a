//! What a kernel has said, and what it means.
use proptest::prelude::*;

use super::*;
use crate::{
    model::ruleset::{Action, Test},
    rules::firewall::{Asked, candidates},
};

/// The answers of Linux 6.18 to [`ask_chains`] and [`ask_rules`] where `iptables-nft` 1.8.9 and
/// `nft` 1.0.6 have made the rules.
const RULES: &[u8] = include_bytes!("rules.bin");

/// The answers of the same kernel to those and to questions for sets and their elements, without
/// those of a set that no rule asks.
const SETS: &[u8] = include_bytes!("sets.bin");

fn shown(ruleset: &Ruleset) -> String {
    let mut out = String::new();
    for chain in &ruleset.chains {
        let (family, table, name) = (chain.family.as_str(), &chain.table, &chain.name);
        let base = chain.base.map_or_else(String::new, |base| {
            let policy = if base.drops { "drop" } else { "accept" };
            format!(
                " hook {} {} policy {policy}",
                base.hook.as_str(),
                base.priority
            )
        });
        out.push_str(&format!("{family} {table} {name}{base}\n"));
        for rule in &chain.rules {
            let unknown = if rule.is_conditional { " + ?" } else { "" };
            let conditions: Vec<_> = rule
                .conditions
                .iter()
                .map(|one| {
                    let not = if one.is_not { "not " } else { "" };
                    format!("{not}{}", serde_json::to_string(&one.test).unwrap())
                })
                .collect();
            let (number, handle, text) = (rule.number, rule.handle, &rule.text);
            out.push_str(&format!("  {number} #{handle} {text}\n"));
            out.push_str(&format!(
                "    {}{unknown} -> {:?}\n",
                conditions.join(" "),
                rule.action
            ));
        }
    }
    out
}

#[test]
fn rules_are_read_as_nft_and_iptables_wrote_them() {
    insta::assert_snapshot!(shown(&parse(RULES)));
}

#[test]
fn sets_are_read_with_their_elements() {
    let ruleset = parse(SETS);
    let sets = ruleset.sets.iter().map(|set| {
        let elements: Vec<_> = set.elements.iter().map(|one| format!("{one:?}")).collect();
        let (family, table, name) = (set.family.as_str(), &set.table, &set.name);
        format!("{family} {table} {name}\n  {}\n", elements.join("\n  "))
    });
    let sets: String = sets.collect();
    insta::assert_snapshot!(format!("{}{sets}", shown(&ruleset)));
}

/// The rules of table `fw` that may drop a packet, with `?` where that is not sure.
fn may_drop(ruleset: &Ruleset, asked: &Asked<'_>) -> Vec<String> {
    let found = candidates(ruleset, Hook::Forward.of_ip(), asked).into_iter();
    let words = found.map(|found| {
        let rule = found.rule.map_or(0, |rule| rule.handle);
        format!("{rule}{}", if found.is_certain { "" } else { "?" })
    });
    words.collect()
}

#[test]
fn rules_hold_for_what_their_sets_have() {
    let ruleset = parse(SETS);
    let asked = |source: &str, destination: &str, port| Asked {
        is_ipv4: source.contains('.'),
        source: source.parse().ok(),
        destination: destination.parse().ok(),
        protocol: Some(6),
        source_port: Some(5000),
        destination_port: Some(port),
        input: Some("veth1"),
        output: Some("cni0"),
        ..Asked::default()
    };
    let udp = |asked| Asked {
        protocol: Some(17),
        ..asked
    };
    let by = |input, asked| Asked {
        input: Some(input),
        ..asked
    };
    let only = "172.16.0.1";
    for (what, asked, rules) in [
        ("address", asked("10.244.1.2", only, 1), &["15"][..]),
        ("not in it, so accepted", asked("10.244.1.3", only, 1), &[]),
    ] {
        assert_eq!(may_drop(&ruleset, &asked), rules, "{what}");
    }
    // What packets change is not known.
    let dynamic = ruleset.chains.iter().flat_map(|chain| &chain.rules);
    let dynamic: Vec<_> = dynamic.flat_map(|rule| rule.sets.clone()).collect();
    assert_eq!(dynamic, ["seen"]);
    // Without the rules that decide of all others.
    let mut rest = ruleset.clone();
    for chain in &mut rest.chains {
        chain
            .rules
            .retain(|rule| rule.handle != 16 && rule.handle != 40);
        let unknown = ["ct state", "meta mark", "@seen", "l4proto"];
        let is_known = |text: &str| !unknown.iter().any(|word| text.contains(word));
        chain.rules.retain(|rule| is_known(&rule.text));
    }
    for (what, asked, rules) in [
        ("nothing", asked("10.244.1.3", only, 2000), &[][..]),
        ("interval", asked("10.244.1.3", "10.1.2.3", 2000), &["17"]),
        (
            "its first",
            asked("10.244.1.3", "192.168.1.5", 2000),
            &["17"],
        ),
        (
            "its last",
            asked("10.244.1.3", "192.168.1.9", 2000),
            &["17"],
        ),
        ("behind it", asked("10.244.1.3", "192.168.1.10", 2000), &[]),
        (
            "last of all",
            asked("10.244.1.3", "255.255.255.255", 2000),
            &["17"],
        ),
        (
            "other interval",
            asked("10.244.1.3", "192.168.0.9", 2000),
            &["46"],
        ),
        ("IPv6", udp(asked("fd00::7", "fd01::1", 2000)), &["18"]),
        (
            "other IPv6",
            udp(asked("fd00:0:0:1::7", "fd01::1", 2000)),
            &[],
        ),
        (
            "IPv6 address",
            udp(asked("fe80::1", "fd01::1", 2000)),
            &["18"],
        ),
        ("port", asked("10.1.1.9", only, 22), &["25"]),
        ("other ports", asked("10.1.1.9", only, 23), &["35"]),
        ("of UDP", udp(asked("10.1.1.9", only, 22)), &[]),
        ("lonely", udp(asked("10.7.1.9", only, 82)), &["14"]),
        ("privileged port", asked("10.1.1.9", only, 1023), &["52"]),
        ("one port", asked("10.1.1.9", only, 8080), &["52"]),
        ("set without name", asked("10.0.0.2", only, 2000), &["27"]),
        (
            "interface",
            by("eth0", asked("10.9.0.2", only, 2000)),
            &["29"],
        ),
        (
            "its begin",
            by("eth1", asked("10.9.0.2", only, 2000)),
            &["50"],
        ),
        (
            "its name",
            by("cni0", asked("10.9.0.2", only, 2000)),
            &["50"],
        ),
        ("longer", by("cni01", asked("10.9.0.2", only, 2000)), &[]),
        ("may have ended", asked("10.1.1.1", only, 2000), &["21?"]),
        ("map", asked("10.9.0.2", "172.16.0.1", 2000), &[]),
    ] {
        assert_eq!(may_drop(&rest, &asked), rules, "{what}");
    }
}

#[test]
fn rules_of_older_recordings_are_read_without_elements() {
    let json = r#"{"netns":1,"chains":[{"family":"ip","table":"t","name":"c",
        "base":{"hook":"forward","priority":0,"drops":false},
        "rules":[{"number":1,"handle":4,"text":"ip saddr @blocked drop","is_conditional":true,
                  "sets":["blocked"],"action":"drop"},
                 {"number":2,"handle":5,"text":"ip saddr vmap @m","is_conditional":true,
                  "sets":["m"],"action":"map"}]}]}"#;
    let ruleset: Ruleset = serde_json::from_str(json).unwrap();
    let asked = Asked {
        is_ipv4: true,
        ..Asked::default()
    };
    assert_eq!(may_drop(&ruleset, &asked), ["4?", "5?"]);
}

#[test]
fn chains_that_only_translate_are_left_out() {
    let ruleset = parse(RULES);
    assert!(ruleset.chains.iter().all(|chain| chain.table != "nat"));
    assert!(
        ruleset
            .chain(Family::Ip, "filter", "KUBE-NWPLCY-ABC")
            .is_some()
    );
}

#[test]
fn rules_are_recorded_as_read() {
    for answers in [RULES, SETS] {
        let ruleset = parse(answers);
        let json = serde_json::to_string(&ruleset).unwrap();
        assert_eq!(serde_json::from_str::<Ruleset>(&json).unwrap(), ruleset);
    }
}

#[test]
fn cut_answers_end_where_they_are_cut() {
    let whole = parse(RULES);
    for len in 0..RULES.len() {
        let rules = |ruleset: &Ruleset| -> usize {
            ruleset.chains.iter().map(|chain| chain.rules.len()).sum()
        };
        let cut = parse(&RULES[..len]);
        assert!(cut.chains.len() <= whole.chains.len() && rules(&cut) <= rules(&whole));
    }
}

#[test]
fn more_rules_than_are_kept_are_cut() {
    let rule = Rule {
        action: Action::Drop,
        ..Rule::default()
    };
    let mut ruleset = Ruleset {
        chains: vec![Chain {
            base: Some(Base::default()),
            rules: vec![rule; crate::model::ruleset::RULES_MAX + 1],
            ..Chain::default()
        }],
        ..Ruleset::default()
    };
    prune(&mut ruleset);
    ruleset.bound();
    assert!(ruleset.is_cut);
}

proptest! {
    #[test]
    fn any_answer_is_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn damaged_answers_are_read(at: prop::sample::Index, byte: u8, other: prop::sample::Index, second: u8) {
        for whole in [RULES, SETS] {
            let mut bytes = whole.to_vec();
            bytes[at.index(whole.len())] = byte;
            bytes[other.index(whole.len())] = second;
            let ruleset = parse(&bytes);
            let longest = crate::model::ruleset::TEXT_MAX + 1;
            let texts = ruleset.chains.iter().flat_map(|chain| &chain.rules);
            prop_assert!(texts.map(|rule| rule.text.chars().count()).all(|len| len <= longest));
        }
    }

    #[test]
    fn what_is_traced_is_what_rules_say(port: u16, octets: [u8; 4]) {
        let prefix = crate::model::subnet::AddressPrefix { address: octets.into(), len: 32 };
        let tests = vec![Test::Source(prefix), Test::Protocol(6), Test::DestinationPort(port, port)];
        let bytes = crate::ruleset::trace::begin("t", std::slice::from_ref(&tests), 5);
        let rules = messages(&bytes).filter_map(|message| match message {
            Message::Object(Kind::NewRule, _, object) => {
                let list = attribute(object, RULE_EXPRESSIONS).unwrap();
                Some(rule::rule(Family::Inet, list, None, &|_| None))
            }
            _ => None,
        });
        let rules: Vec<_> = rules.collect();
        prop_assert_eq!(rules.len(), 2);
        let conditions: Vec<_> = rules[0].conditions.iter().map(|one| one.test.clone()).collect();
        prop_assert_eq!(&conditions[1..], &tests);
        prop_assert_eq!(&conditions[0], &Test::Ipv4(true));
    }
}
