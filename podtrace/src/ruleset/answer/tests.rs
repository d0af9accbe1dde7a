//! What a kernel has said, and what it means.
use proptest::prelude::*;

use super::*;
use crate::model::ruleset::{Action, Test};

/// The answers of Linux 6.18 to [`ask_chains`] and [`ask_rules`] where `iptables-nft` 1.8.9 and
/// `nft` 1.0.6 have made the rules.
const RULES: &[u8] = include_bytes!("rules.bin");

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
    let ruleset = parse(RULES);
    let json = serde_json::to_string(&ruleset).unwrap();
    assert_eq!(serde_json::from_str::<Ruleset>(&json).unwrap(), ruleset);
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
    fn damaged_answers_are_read(at in 0..RULES.len(), byte: u8, other in 0..RULES.len(), second: u8) {
        let mut bytes = RULES.to_vec();
        bytes[at] = byte;
        bytes[other] = second;
        let ruleset = parse(&bytes);
        let longest = crate::model::ruleset::TEXT_MAX + 1;
        let texts = ruleset.chains.iter().flat_map(|chain| &chain.rules);
        prop_assert!(texts.map(|rule| rule.text.chars().count()).all(|len| len <= longest));
    }

    #[test]
    fn what_is_traced_is_what_rules_say(port: u16, octets: [u8; 4]) {
        let prefix = crate::model::subnet::AddressPrefix { address: octets.into(), len: 32 };
        let tests = vec![Test::Source(prefix), Test::Protocol(6), Test::DestinationPort(port, port)];
        let bytes = crate::ruleset::trace::begin("t", std::slice::from_ref(&tests), 5);
        let rules = messages(&bytes).filter_map(|message| match message {
            Message::Object(Kind::NewRule, _, object) => {
                let list = attribute(object, RULE_EXPRESSIONS).unwrap();
                Some(rule::rule(Family::Inet, list, None))
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
