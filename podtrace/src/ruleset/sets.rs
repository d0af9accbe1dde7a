//! Sets and maps of verdicts: what the kernel answers to questions for them and their elements.
mod words;

use std::collections::HashMap;

use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST};

use super::{
    expression::verdict,
    message::{Kind, number_of, request},
};
use crate::{
    model::ruleset::{
        Action, Family, Rule, Ruleset, safe,
        sets::{ELEMENTS_MAX, Element, Key, SETS_MAX, Set},
    },
    nfnetlink::{attribute, attributes, number, text},
    order::Order as _,
};

/// Upper bound of the sets that are known by name.
const NAMES_MAX: usize = 65_536;
/// `NFTA_SET_TABLE`, `_NAME`, `_FLAGS`, `_KEY_LEN`.
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_LEN: u16 = 5;
/// `NFT_SET_ANONYMOUS`, `_INTERVAL`, `_TIMEOUT`, `_EVAL`, `_CONCAT`.
const ANONYMOUS: u32 = 1;
const INTERVAL: u32 = 4;
const TIMEOUT: u32 = 0x10;
const CHANGED_BY_PACKETS: u32 = 0x20;
const CONCATENATION: u32 = 0x80;
/// `NFTA_SET_ELEM_LIST_TABLE`, `_SET`, `_ELEMENTS`, and `NFTA_LIST_ELEM`.
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEMENT: u16 = 1;
/// `NFTA_SET_ELEM_KEY`, `_DATA`, `_FLAGS`, `_KEY_END`, and `NFTA_DATA_VALUE`.
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_FLAGS: u16 = 3;
const ELEMENT_KEY_END: u16 = 10;
const VALUE: u16 = 1;
/// `NFT_SET_ELEM_INTERVAL_END`.
const INTERVAL_END: u32 = 1;

/// A set by its family, its table and its name.
pub(crate) type Name = (Family, String, String);

/// Asks for all sets.
pub(crate) fn ask_sets() -> Vec<u8> {
    request(Kind::GetSet, 0, NLM_F_REQUEST | NLM_F_DUMP).bytes()
}

/// Asks for the elements of a set.
pub(crate) fn ask_elements((family, table, name): &Name) -> Vec<u8> {
    let flags = NLM_F_REQUEST | NLM_F_DUMP;
    let elements = request(Kind::GetElements, number_of(*family), flags);
    let elements = elements.with_text(LIST_TABLE, table);
    elements.with_text(LIST_SET, name).bytes()
}

/// What is known of a set before its elements.
#[derive(Clone, Copy, Debug)]
struct Known {
    flags: u32,
    key_len: usize,
}

/// An element as the kernel has it: of intervals, where one begins or ends.
struct Raw {
    key: Vec<u8>,
    last: Vec<u8>,
    is_end: bool,
    action: Action,
}

/// The sets of a namespace as they come in.
#[derive(Default)]
pub(crate) struct Sets {
    known: HashMap<Name, Known>,
    raw: HashMap<Name, Vec<Raw>>,
    elements: usize,
}

impl Sets {
    /// Takes a set without its elements.
    pub(super) fn take(&mut self, family: Family, object: &[u8]) {
        let get = |kind| attribute(object, kind);
        let (Some(table), Some(name)) = (get(SET_TABLE), get(SET_NAME)) else {
            return;
        };
        let key_len = get(SET_KEY_LEN).and_then(number);
        let (Some(key_len), true) = (key_len, self.known.len() < NAMES_MAX) else {
            return;
        };
        let known = Known {
            flags: get(SET_FLAGS).and_then(number).unwrap_or_default(),
            key_len: key_len as usize,
        };
        self.known.insert((family, text(table), text(name)), known);
    }

    /// Takes elements of a set that is known; those beyond [`ELEMENTS_MAX`] are left out.
    pub(super) fn take_elements(&mut self, family: Family, object: &[u8]) {
        let get = |kind| attribute(object, kind);
        let (Some(table), Some(set)) = (get(LIST_TABLE), get(LIST_SET)) else {
            return;
        };
        let name = (family, text(table), text(set));
        if !self.is_still(&name) {
            return;
        }
        let list = attributes(get(LIST_ELEMENTS).unwrap_or_default());
        let list = list.filter(|(kind, _)| *kind == ELEMENT);
        let raw = self.raw.entry(name).or_default();
        for (_, element) in list {
            self.elements += 1;
            if self.elements <= ELEMENTS_MAX {
                raw.push(self::raw(element));
            }
        }
    }

    /// Whether there are more elements than are kept.
    pub(crate) fn is_full(&self) -> bool {
        self.elements > ELEMENTS_MAX
    }

    /// Begins a set: it is there also without elements.
    pub(crate) fn begin(&mut self, name: &Name) {
        self.raw.insert(name.clone(), Vec::new());
    }

    /// Forgets the elements of a set, which did not come whole.
    pub(crate) fn forget(&mut self, name: &Name) {
        let gone = self.raw.remove(name).map_or(0, |raw| raw.len());
        self.elements = self.elements.min(ELEMENTS_MAX) - gone.min(ELEMENTS_MAX);
    }

    /// Whether a set is known, and no packet changes it.
    fn is_still(&self, name: &Name) -> bool {
        let known = self.known.get(name);
        known.is_some_and(|known| known.flags & CHANGED_BY_PACKETS == 0)
    }

    /// The length of a set's key in bytes.
    pub(super) fn key_len(&self, name: &Name) -> Option<usize> {
        self.known.get(name).map(|known| known.key_len)
    }

    /// The sets whose elements say whether a rule decides, but for those that packets change, and no
    /// more than are kept.
    pub(super) fn wanted(&self, ruleset: &Ruleset) -> Vec<Name> {
        let mut wanted = Vec::new();
        for chain in &ruleset.chains {
            let rules = chain.rules.iter();
            let deciding = rules.filter(|rule| rule.action != Action::Continue);
            for lookup in deciding.flat_map(Rule::lookups) {
                let name = (chain.family, chain.table.clone(), lookup.set.clone());
                let is_new = self.is_still(&name) && !wanted.contains(&name);
                if is_new && wanted.len() < SETS_MAX {
                    wanted.push(name);
                }
            }
        }
        wanted
    }

    /// Adds the sets whose elements are known to the rules; returns those without a name.
    pub(super) fn end(self, ruleset: &mut Ruleset) -> Vec<Name> {
        let mut anonymous = Vec::new();
        for ((family, table, name), raw) in self.raw {
            let Some(known) = self.known.get(&(family, table.clone(), name.clone())) else {
                continue;
            };
            if known.flags & ANONYMOUS != 0 {
                anonymous.push((family, table.clone(), name.clone()));
            }
            ruleset.sets.push(Set {
                family,
                table: safe(&table),
                name: safe(&name),
                expires: known.flags & TIMEOUT != 0,
                elements: elements(raw, known.flags),
            });
        }
        let order = |set: &Set| (set.family as u8, set.table.clone(), set.name.clone());
        ruleset.sets.order_by_key(order);
        anonymous
    }
}

/// Leaves out the sets that no rule asks, tells which are asked and not known, and writes out those
/// without a name.
pub(super) fn settle(ruleset: &mut Ruleset, anonymous: &[Name]) {
    words::write_out(ruleset, anonymous);
    let mut asked = Vec::new();
    for chain in &mut ruleset.chains {
        for rule in &mut chain.rules {
            for lookup in rule.lookups() {
                asked.push((chain.family, chain.table.clone(), lookup.set.clone()));
            }
            let sets = &ruleset.sets;
            rule.sets.retain(|name| {
                let mut sets = sets.iter();
                !sets.any(|set| set.is(chain.family, &chain.table, name))
            });
        }
    }
    ruleset.sets.retain(|set| {
        let mut asked = asked.iter();
        asked.any(|(family, table, name)| set.is(*family, table, name))
    });
}

fn raw(element: &[u8]) -> Raw {
    let get = |kind| attribute(element, kind);
    let key = |kind| get(kind).and_then(|key| attribute(key, VALUE));
    let flags = get(ELEMENT_FLAGS).and_then(number).unwrap_or_default();
    Raw {
        key: key(ELEMENT_KEY).unwrap_or_default().to_owned(),
        last: key(ELEMENT_KEY_END).unwrap_or_default().to_owned(),
        is_end: flags & INTERVAL_END != 0,
        action: get(ELEMENT_DATA)
            .and_then(verdict)
            .map_or(Action::Continue, Action::from),
    }
}

/// The elements in order, what stands for the rest last. The kernel has intervals of one part as two
/// elements each: the first value, and the first behind it, unless there is none.
fn elements(mut raw: Vec<Raw>, flags: u32) -> Vec<Element> {
    let is_rest = |one: &Raw| one.key.is_empty();
    let is_in_pieces = flags & INTERVAL != 0
        && flags & CONCATENATION == 0
        && raw.iter().all(|one| one.last.is_empty());
    let order = |one: &Raw| (is_rest(one), one.key.clone(), !one.is_end);
    raw.order_by_key(order);
    if !is_in_pieces {
        return raw.into_iter().map(|one| element(one, None)).collect();
    }
    let mut all = Vec::new();
    let mut open: Option<Raw> = None;
    let rest = raw.iter().position(is_rest).unwrap_or(raw.len());
    let rest = raw.split_off(rest);
    for one in raw {
        let end = before(&one.key);
        all.extend(open.take().map(|open| element(open, end)));
        open = (!one.is_end).then_some(one);
    }
    all.extend(open.map(|open| {
        let end = vec![u8::MAX; open.key.len()];
        element(open, Some(end))
    }));
    all.extend(rest.into_iter().map(|one| element(one, None)));
    all
}

fn element(one: Raw, end: Option<Vec<u8>>) -> Element {
    let last = end.unwrap_or(one.last);
    Element {
        to: Key(if last == one.key { Vec::new() } else { last }),
        from: Key(one.key),
        action: one.action,
    }
}

/// The value before; none before the first.
fn before(key: &[u8]) -> Option<Vec<u8>> {
    let mut key = key.to_owned();
    for byte in key.iter_mut().rev() {
        let (less, is_below) = byte.overflowing_sub(1);
        *byte = less;
        if !is_below {
            return Some(key);
        }
    }
    None
}
