//! What the kernel answers to questions for rules.
use std::collections::HashMap;

use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST};

use super::{
    message::{Kind, Message, family, messages, number_of, request},
    prune::prune,
    rule,
    sets::{self, Name, Sets},
};
use crate::{
    model::{
        hook::Hook,
        ruleset::{Base, Chain, Family, Rule, Ruleset, safe},
    },
    nfnetlink::{attribute, attributes, long_number, number, text},
};

/// Upper bound of the rules that are read of one namespace.
const READ_MAX: usize = 65_536;
/// `NFTA_GEN_ID`.
const GENERATION: u16 = 1;
/// `NFTA_CHAIN_TABLE`, `_NAME`, `_HOOK`, `_POLICY`, `_TYPE`.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
/// `NFTA_HOOK_HOOKNUM`, `_PRIORITY`, `_DEV`, `_DEVS`.
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const HOOK_DEVICE: u16 = 3;
const HOOK_DEVICES: u16 = 4;
/// `NFTA_DEVICE_PREFIX`: the begin of names.
const DEVICE_PREFIX: u16 = 2;
/// Upper bound of the interfaces of a chain.
const DEVICES_MAX: usize = 256;
/// `NFTA_RULE_TABLE`, `_CHAIN`, `_HANDLE`, `_EXPRESSIONS`, `_USERDATA`.
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_DATA: u16 = 7;
/// The kind of a comment in what `nft` keeps with a rule, `NFTNL_UDATA_RULE_COMMENT`.
const COMMENT: u8 = 0;
/// `NF_DROP`.
const DROP: u32 = 0;

/// Asks for the number of the last change.
pub(crate) fn ask_generation() -> Vec<u8> {
    request(Kind::GetGeneration, 0, NLM_F_REQUEST).bytes()
}

/// Asks for all chains.
pub(crate) fn ask_chains() -> Vec<u8> {
    request(Kind::GetChain, 0, NLM_F_REQUEST | NLM_F_DUMP).bytes()
}

/// Asks for the rules of a table.
pub(crate) fn ask_rules(family: Family, table: &str) -> Vec<u8> {
    let flags = NLM_F_REQUEST | NLM_F_DUMP;
    let rules = request(Kind::GetRule, number_of(family), flags);
    rules.with_text(RULE_TABLE, table).bytes()
}

/// The number of the last change, in an answer.
pub(crate) fn generation(answer: &[u8]) -> Option<u32> {
    number(attribute(answer, GENERATION)?)
}

/// The rules of a namespace as they come in.
#[derive(Default)]
pub(crate) struct Answers {
    ruleset: Ruleset,
    /// Chains by family, table and name: their number, and how many rules came so far.
    places: HashMap<(Family, String, String), (usize, u32)>,
    /// Tables with chains that do not just translate.
    tables: Vec<(Family, String)>,
    rules: usize,
    sets: Sets,
}

impl Answers {
    /// Takes over what the kernel says of an object.
    pub(crate) fn take(&mut self, kind: Kind, number: u8, object: &[u8]) {
        let Some(family) = family(number) else {
            return;
        };
        match kind {
            Kind::NewChain => self.take_chain(family, object),
            Kind::NewRule => self.take_rule(family, object),
            Kind::NewSet => self.sets.take(family, object),
            Kind::NewElements => self.sets.take_elements(family, object),
            _ => {}
        }
    }

    /// The tables whose rules may drop packets.
    pub(crate) fn tables(&self) -> &[(Family, String)] {
        &self.tables
    }

    /// The sets whose elements are to be asked for, once all rules have come.
    pub(crate) fn wanted(&self) -> Vec<Name> {
        self.sets.wanted(&self.ruleset)
    }

    /// The sets as they come in.
    pub(crate) fn sets(&mut self) -> &mut Sets {
        &mut self.sets
    }

    fn take_chain(&mut self, family: Family, object: &[u8]) {
        let get = |kind| attribute(object, kind).map(text);
        let (Some(table), Some(name)) = (get(CHAIN_TABLE), get(CHAIN_NAME)) else {
            return;
        };
        // Its names are in answers to come, too.
        let place = (family, table, name);
        if self.places.contains_key(&place) || self.ruleset.chains.len() >= READ_MAX {
            return;
        }
        let hook = attribute(object, CHAIN_HOOK);
        let base = hook.map(|hook| base(family, hook, object));
        let filters = get(CHAIN_TYPE).is_some_and(|kind| kind != "nat");
        let table = (family, place.1.clone());
        if base.is_some() && filters && !self.tables.contains(&table) {
            self.tables.push(table);
        }
        self.ruleset.chains.push(Chain {
            family,
            table: safe(&place.1),
            name: safe(&place.2),
            base,
            devices: hook.map(devices).unwrap_or_default(),
            rules: Vec::new(),
        });
        self.places
            .insert(place, (self.ruleset.chains.len() - 1, 0));
    }

    fn take_rule(&mut self, family: Family, object: &[u8]) {
        let get = |kind| attribute(object, kind).map(text);
        let (Some(table), Some(chain)) = (get(RULE_TABLE), get(RULE_CHAIN)) else {
            return;
        };
        let in_table = table.clone();
        let Some((place, count)) = self.places.get_mut(&(family, table, chain)) else {
            return;
        };
        let Some(chain) = self.ruleset.chains.get_mut(*place) else {
            return;
        };
        if self.rules >= READ_MAX {
            self.ruleset.is_cut = true;
            return;
        }
        self.rules += 1;
        *count += 1;
        let list = attribute(object, RULE_EXPRESSIONS).unwrap_or_default();
        let comment = attribute(object, RULE_DATA).and_then(comment);
        let handle = attribute(object, RULE_HANDLE).and_then(long_number);
        let sets = &self.sets;
        let key_len = |set: &str| sets.key_len(&(family, in_table.clone(), set.to_owned()));
        chain.rules.push(Rule {
            number: *count,
            handle: handle.unwrap_or_default(),
            ..rule::rule(family, list, comment.as_deref(), &key_len)
        });
    }

    /// What of it may drop packets.
    pub(crate) fn end(mut self) -> Ruleset {
        let anonymous = self.sets.end(&mut self.ruleset);
        prune(&mut self.ruleset);
        self.ruleset.bound();
        sets::settle(&mut self.ruleset, &anonymous);
        self.ruleset
    }
}

fn base(family: Family, hook: &[u8], object: &[u8]) -> Base {
    let get = |kind| attribute(hook, kind).and_then(number);
    let policy = attribute(object, CHAIN_POLICY).and_then(number);
    Base {
        hook: match (family, get(HOOK_NUMBER)) {
            // Of ARP, 0 is what comes in, and 1 what is sent.
            (Family::Arp, _) => Hook::Other,
            (Family::Netdev, Some(0)) | (Family::Inet, Some(5)) => Hook::Ingress,
            (Family::Netdev, Some(1)) => Hook::Egress,
            (_, Some(0)) => Hook::Prerouting,
            (_, Some(1)) => Hook::Input,
            (_, Some(2)) => Hook::Forward,
            (_, Some(3)) => Hook::Output,
            (_, Some(4)) => Hook::Postrouting,
            _ => Hook::Other,
        },
        priority: get(HOOK_PRIORITY).unwrap_or_default().cast_signed(),
        drops: policy == Some(DROP),
    }
}

/// The interfaces whose packets a chain gets.
fn devices(hook: &[u8]) -> Vec<String> {
    let list = attribute(hook, HOOK_DEVICES).unwrap_or_default();
    let several = attributes(list).map(|(kind, name)| match kind {
        DEVICE_PREFIX => format!("{}*", text(name)),
        _ => text(name),
    });
    let one = attribute(hook, HOOK_DEVICE).map(text);
    let all = one.into_iter().filter(|_| list.is_empty()).chain(several);
    all.take(DEVICES_MAX).map(|name| safe(&name)).collect()
}

/// The comment in what `nft` keeps with a rule: items of a kind, a length and a value.
fn comment(data: &[u8]) -> Option<String> {
    let mut rest = data;
    while let [kind, len, items @ ..] = rest {
        let (value, after) = items.split_at_checked(usize::from(*len))?;
        if *kind == COMMENT {
            return Some(text(value));
        }
        rest = after;
    }
    None
}

/// Reads answers, one after the other.
pub(crate) fn parse(bytes: &[u8]) -> Ruleset {
    let mut answers = Answers::default();
    for message in messages(bytes) {
        if let Message::Object(kind, family, object) = message {
            answers.take(kind, family, object);
        }
    }
    answers.end()
}

#[cfg(test)]
mod tests;
