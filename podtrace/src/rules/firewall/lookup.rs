//! Whether sets and maps of a firewall have a packet.
use std::net::IpAddr;

use super::{Asked, Holds};
use crate::model::ruleset::{
    Action,
    sets::{ALIGN, Element, IPV4, IPV6, Lookup, Part, Set, Value},
};

/// Different verdicts of a map that are followed for a packet.
const ACTIONS_MAX: usize = 16;

/// The value of a packet's part of a key.
enum Known {
    Bytes(Vec<u8>),
    /// It has none: no rule about it holds.
    Nothing,
    Unknown,
}

impl Asked<'_> {
    /// Whether a set has it; none where it has nothing to look up.
    pub(super) fn is_in(&self, lookup: &Lookup, set: Option<&Set>) -> Option<Holds> {
        let values = self.values(lookup)?;
        let Some(set) = set else {
            return Some(Holds::Maybe);
        };
        let holds = match key(lookup, &values) {
            Some(key) if set.find(lookup, &values, &key).is_some() => Holds::Yes,
            Some(_) => Holds::No,
            None => {
                let holds = set.elements.iter().map(|one| one.has(lookup, &values));
                holds.fold(Holds::No, Holds::or)
            }
        };
        Some(set.as_found(holds))
    }

    /// What a map does with it, and whether that is sure; none if that is not known.
    pub(super) fn mapped<'a>(
        &self,
        lookup: &Lookup,
        set: Option<&'a Set>,
    ) -> Option<Vec<(&'a Action, Holds)>> {
        let Some(values) = self.values(lookup) else {
            return Some(Vec::new());
        };
        let set = set?;
        if let Some(key) = key(lookup, &values) {
            let found = set.find(lookup, &values, &key);
            let found = found.map(|element| (&element.action, set.as_found(Holds::Yes)));
            return Some(found.into_iter().collect());
        }
        let mut found: Vec<(&Action, Holds)> = Vec::new();
        for element in &set.elements {
            let is_new = found.iter().all(|(known, _)| **known != element.action);
            if is_new && element.has(lookup, &values) != Holds::No {
                found.push((&element.action, Holds::Maybe));
            }
            if found.len() > ACTIONS_MAX {
                return None;
            }
        }
        Some(found)
    }

    /// The values of the parts of a key, as far as they are known; none if it has no such part.
    fn values(&self, lookup: &Lookup) -> Option<Vec<Option<Vec<u8>>>> {
        let values = lookup.parts.iter().map(|part| match self.value(*part) {
            Known::Bytes(bytes) => Some(Some(bytes)),
            Known::Unknown => Some(None),
            Known::Nothing => None,
        });
        values.collect()
    }

    fn value(&self, part: Part) -> Known {
        let bytes = match part.what {
            Value::Source => self.source.map(octets),
            Value::Destination => self.destination.map(octets),
            Value::SourcePort => self.source_port.map(|port| port.to_be_bytes().to_vec()),
            Value::DestinationPort => self
                .destination_port
                .map(|port| port.to_be_bytes().to_vec()),
            Value::Protocol => self.protocol.map(|protocol| vec![protocol]),
            Value::MessageType => self.message_type.map(|own| vec![own]),
            Value::Family => Some(vec![if self.is_ipv4 { IPV4 } else { IPV6 }]),
            Value::Input | Value::Output => {
                let name = match part.what {
                    Value::Input => self.input,
                    _ => self.output,
                };
                return name.map_or(Known::Nothing, |name| {
                    let mut bytes = name.as_bytes().to_vec();
                    bytes.resize(part.len.into(), 0);
                    Known::Bytes(bytes)
                });
            }
            Value::State | Value::Number | Value::Other => None,
        };
        bytes.map_or(Known::Unknown, Known::Bytes)
    }
}

impl Element {
    /// Whether it has these values.
    fn has(&self, lookup: &Lookup, values: &[Option<Vec<u8>>]) -> Holds {
        if self.is_rest() {
            return Holds::Yes;
        }
        let parts = lookup.places().zip(values).map(|((part, at), value)| {
            let Some((from, to)) = self.range(part, at) else {
                return Holds::Maybe;
            };
            match value {
                Some(value) => {
                    let is_within = from <= &value[..] && &value[..] <= to;
                    match value.len() == from.len() && is_within {
                        true => Holds::Yes,
                        false => Holds::No,
                    }
                }
                None => Holds::Maybe,
            }
        });
        parts.fold(Holds::Yes, Holds::and)
    }
}

impl Set {
    /// The element that has these values, all of which are known, with the whole key.
    fn find(&self, lookup: &Lookup, values: &[Option<Vec<u8>>], key: &[u8]) -> Option<&Element> {
        let is_before = |one: &Element| !one.is_rest() && one.from.0[..] <= *key;
        let behind = self.elements.partition_point(is_before);
        let nearest = behind.checked_sub(1).map(|at| &self.elements[at]);
        let has = |one: &&Element| one.has(lookup, values) == Holds::Yes;
        // Elements of one part do not overlap.
        let others = match lookup.parts.len() {
            1 => &[],
            _ => &self.elements[..],
        };
        let others = others.iter().filter(|one| !one.to.0.is_empty());
        let rest = self.elements.last().filter(|last| last.is_rest());
        nearest.into_iter().chain(others).find(has).or(rest)
    }

    /// Whether it has what was found: an element may have ended.
    fn as_found(&self, holds: Holds) -> Holds {
        match holds {
            Holds::Yes if self.expires => Holds::Maybe,
            holds => holds,
        }
    }
}

/// The key of these values, if all of them are known.
fn key(lookup: &Lookup, values: &[Option<Vec<u8>>]) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    for ((_, at), value) in lookup.places().zip(values) {
        key.resize(at, 0);
        key.extend(value.as_ref()?);
    }
    if lookup.parts.len() > 1 {
        key.resize(key.len().next_multiple_of(ALIGN), 0);
    }
    Some(key)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
