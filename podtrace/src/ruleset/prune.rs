//! Leaves out what drops no packet.
use std::collections::{HashMap, HashSet};

use crate::model::ruleset::{Action, Chain, Family, Rule, Ruleset, sets::Set};

/// A chain by its family, its table and its name.
type Key = (Family, String, String);

fn key(chain: &Chain, name: &str) -> Key {
    (chain.family, chain.table.clone(), name.to_owned())
}

/// Keeps the chains of hooks by which packets can be dropped, and what they lead to; and of all
/// rules those that decide.
pub(crate) fn prune(ruleset: &mut Ruleset) {
    let numbers: HashMap<Key, usize> = ruleset
        .chains
        .iter()
        .enumerate()
        .map(|(number, chain)| (key(chain, &chain.name), number))
        .collect();
    let leads_to: Vec<Vec<usize>> = ruleset
        .chains
        .iter()
        .map(|chain| {
            let rules = chain.rules.iter();
            let actions = rules.flat_map(|rule| actions(rule, chain, &ruleset.sets));
            let targets = actions.filter_map(|action| match action {
                Action::Jump(name) | Action::Goto(name) => numbers.get(&key(chain, name)).copied(),
                _ => None,
            });
            targets.collect()
        })
        .collect();
    let reaching = |is_one: &dyn Fn(&Chain) -> bool| reaching(&ruleset.chains, &leads_to, is_one);
    let drops = reaching(&|chain| {
        chain.base.is_some_and(|base| base.drops)
            || chain
                .rules
                .iter()
                .flat_map(|rule| actions(rule, chain, &ruleset.sets))
                .any(|action| matches!(action, Action::Drop | Action::Reject | Action::Map))
    });
    let decides = reaching(&|chain| {
        let mut rules = chain.rules.iter();
        rules.any(|rule| {
            !matches!(
                rule.action,
                Action::Continue | Action::Jump(_) | Action::Goto(_)
            )
        })
    });
    let mut kept = HashSet::new();
    let bases = ruleset.chains.iter().enumerate();
    let bases = bases.filter(|(number, chain)| chain.base.is_some() && drops.contains(number));
    let mut left: Vec<usize> = bases.map(|(number, _)| number).collect();
    while let Some(number) = left.pop() {
        if kept.insert(number) {
            left.extend(&leads_to[number]);
        }
    }
    for (number, chain) in ruleset.chains.iter_mut().enumerate() {
        let family = (chain.family, chain.table.clone());
        chain.rules.retain(|rule| match &rule.action {
            Action::Continue => false,
            Action::Jump(name) | Action::Goto(name) => {
                let to = numbers.get(&(family.0, family.1.clone(), name.clone()));
                to.is_none_or(|to| decides.contains(to))
            }
            _ => true,
        });
        if !kept.contains(&number) {
            chain.rules.clear();
        }
    }
    let mut number = 0;
    ruleset.chains.retain(|_| {
        number += 1;
        kept.contains(&(number - 1))
    });
}

/// What a rule may do: what a map of verdicts has, if its elements are known.
fn actions<'a>(rule: &'a Rule, chain: &Chain, sets: &'a [Set]) -> Vec<&'a Action> {
    let map = rule.map.as_ref();
    let is_it = |set: &&Set, name: &str| set.is(chain.family, &chain.table, name);
    match map.and_then(|map| sets.iter().find(|set| is_it(set, &map.set))) {
        Some(set) => set.elements.iter().map(|one| &one.action).collect(),
        None => vec![&rule.action],
    }
}

/// The chains for which something holds, and those that lead to one of them.
fn reaching(
    chains: &[Chain],
    leads_to: &[Vec<usize>],
    is_one: &dyn Fn(&Chain) -> bool,
) -> HashSet<usize> {
    let mut comes_from: Vec<Vec<usize>> = vec![Vec::new(); chains.len()];
    for (from, targets) in leads_to.iter().enumerate() {
        for to in targets {
            comes_from[*to].push(from);
        }
    }
    let first = chains.iter().enumerate().filter(|(_, chain)| is_one(chain));
    let mut left: Vec<usize> = first.map(|(number, _)| number).collect();
    let mut found = HashSet::new();
    while let Some(number) = left.pop() {
        if found.insert(number) {
            left.extend(&comes_from[number]);
        }
    }
    found
}
