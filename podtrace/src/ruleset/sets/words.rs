//! Sets without a name in the words of `nft`: their elements.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Name;
use crate::{
    model::ruleset::{
        Ruleset, safe,
        sets::{Element, IPV4, IPV6, Lookup, Part, Set, Value},
    },
    nfnetlink::text,
    ruleset::{
        fields::{decimal, flags, hex, protocol},
        rule::{STATES, does, reversed},
    },
};

/// Elements that are written out.
const SHOWN_MAX: usize = 16;

/// Puts the elements of sets without a name into the texts of their rules.
pub(super) fn write_out(ruleset: &mut Ruleset, anonymous: &[Name]) {
    let Ruleset { chains, sets, .. } = ruleset;
    for chain in chains {
        for rule in &mut chain.rules {
            let lookups: Vec<_> = rule.lookups().cloned().collect();
            for lookup in lookups {
                let is_it = |(family, table, name): &Name| {
                    *family == chain.family && *table == chain.table && *name == lookup.set
                };
                if !anonymous.iter().any(is_it) {
                    continue;
                }
                let is_map = rule.map.as_ref() == Some(&lookup);
                let mut sets = sets.iter();
                let set = sets.find(|set| set.is(chain.family, &chain.table, &lookup.set));
                if let Some(set) = set {
                    let before = format!("@{}", lookup.set);
                    let after = in_words(set, &lookup, is_map);
                    rule.text = safe(&replaced(&rule.text, &before, &after));
                }
            }
        }
    }
}

/// A text with a word in place of another.
fn replaced(text: &str, before: &str, after: &str) -> String {
    let words = text.split(' ');
    let words = words.map(|word| if word == before { after } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// `{ 22, 80-90 }`, `{ 10.0.0.1 . 22 : drop }`
fn in_words(set: &Set, lookup: &Lookup, is_map: bool) -> String {
    let elements = set.elements.iter().take(SHOWN_MAX);
    let mut words: Vec<_> = elements
        .map(|element| {
            let key = key(element, lookup);
            match is_map {
                true => format!("{key} : {}", does(&element.action)),
                false => key,
            }
        })
        .collect();
    if set.elements.len() > SHOWN_MAX {
        words.push("…".to_owned());
    }
    format!("{{ {} }}", words.join(", "))
}

fn key(element: &Element, lookup: &Lookup) -> String {
    if element.is_rest() {
        return "*".to_owned();
    }
    let parts = lookup.places().map(|(part, at)| {
        let range = element.range(part, at);
        range.map_or_else(|| "?".to_owned(), |(from, to)| values(part, from, to))
    });
    parts.collect::<Vec<_>>().join(" . ")
}

/// The values of a part from one to another.
fn values(part: Part, from: &[u8], to: &[u8]) -> String {
    if from == to {
        return value(part, from);
    }
    match part.what {
        Value::Input | Value::Output => format!("\"{}*\"", text(from)),
        Value::Source | Value::Destination if let Some(bits) = prefix(from, to) => {
            format!("{}/{bits}", value(part, from))
        }
        _ => format!("{}-{}", value(part, from), value(part, to)),
    }
}

fn value(part: Part, bytes: &[u8]) -> String {
    match (part.what, bytes) {
        (Value::Source | Value::Destination, _) => {
            address(bytes).map_or_else(|| hex(bytes), |address| address.to_string())
        }
        (Value::Protocol, [number]) => protocol(*number),
        (Value::Family, [IPV4]) => "ipv4".to_owned(),
        (Value::Family, [IPV6]) => "ipv6".to_owned(),
        (Value::Input | Value::Output, _) => format!("\"{}\"", text(bytes)),
        (Value::State, _) => flags(&reversed(bytes), &STATES),
        (Value::Other, _) => hex(&reversed(bytes)),
        _ => decimal(bytes),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let ipv4 = <[u8; 4]>::try_from(bytes).map(|octets| Ipv4Addr::from(octets).into());
    let ipv6 = || <[u8; 16]>::try_from(bytes).map(|octets| Ipv6Addr::from(octets).into());
    ipv4.or_else(|_| ipv6()).ok()
}

/// How many of the first bits are the same, if the others are all values that there are.
fn prefix(from: &[u8], to: &[u8]) -> Option<usize> {
    let differing = from.iter().zip(to).map(|(from, to)| from ^ to);
    let bits = differing.clone().take_while(|byte| *byte == 0).count() * 8;
    let first = differing.clone().find(|byte| *byte != 0)?;
    let bits = bits + first.leading_zeros() as usize;
    let is_set = |value: &[u8], bit: usize| value[bit / 8] >> (7 - bit % 8) & 1 == 1;
    let is_all = (bits..from.len() * 8).all(|bit| !is_set(from, bit) && is_set(to, bit));
    is_all.then_some(bits)
}
