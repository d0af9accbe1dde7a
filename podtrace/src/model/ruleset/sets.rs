//! Sets and maps in which rules look packets up, with their elements.
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{Action, Family, safe};

/// Upper bound of the sets kept of one namespace.
pub const SETS_MAX: usize = 1024;
/// Upper bound of their elements.
pub const ELEMENTS_MAX: usize = 8192;
/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
pub(crate) const IPV4: u8 = 2;
pub(crate) const IPV6: u8 = 10;
/// What the registers of the kernel are aligned to, in bytes.
pub(crate) const ALIGN: usize = 4;

/// A set, or a map of verdicts, with all its elements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Set {
    /// The family of its table.
    pub family: Family,
    /// The name of its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Whether elements end after some time: those that are here may be gone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expires: bool,
    /// Its elements, sorted by their first values, what stands for the rest last.
    pub elements: Vec<Element>,
}

/// An element: the values of each part of a key from one to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Element {
    /// The first values; empty where it stands for all that no other does.
    pub from: Key,
    /// The last values; empty where they are the first.
    #[serde(skip_serializing_if = "Key::is_empty")]
    pub to: Key,
    /// What a map of verdicts does.
    #[serde(skip_serializing_if = "Action::is_none")]
    pub action: Action,
}

/// The bytes of a key, each part aligned to 4; hexadecimal in files.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub Vec<u8>);

/// What a rule looks up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// The name of the set, in the rule's table.
    pub set: String,
    /// The parts of its key.
    pub parts: Vec<Part>,
}

/// A part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What of a packet it is.
    pub what: Value,
    /// Its length in bytes.
    pub len: u8,
}

/// What of a packet is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// The source address.
    Source,
    /// The destination address.
    Destination,
    /// The source port.
    SourcePort,
    /// The destination port.
    DestinationPort,
    /// The protocol.
    Protocol,
    /// The type of a message of ICMP.
    MessageType,
    /// The family, as netfilter numbers it.
    Family,
    /// The name of the interface that it came in by.
    Input,
    /// The name of the interface that it leaves by.
    Output,
    /// The state of its connection.
    State,
    /// Another number of its headers.
    Number,
    /// A number of the kernel's own, in the order of the processor.
    Other,
}

impl Key {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.as_bytes().chunks(2).map(|two| {
            let two = str::from_utf8(two).ok().filter(|two| two.len() == 2)?;
            u8::from_str_radix(two, 16).ok()
        });
        let bytes: Option<_> = digits.collect();
        bytes
            .map(Self)
            .ok_or_else(|| D::Error::custom("a key is hexadecimal"))
    }
}

impl Lookup {
    /// The parts with their places in the key.
    pub fn places(&self) -> impl Iterator<Item = (Part, usize)> {
        let mut next = 0;
        self.parts.iter().map(move |part| {
            let at = next;
            next += usize::from(part.len).next_multiple_of(ALIGN);
            (*part, at)
        })
    }
}

impl Element {
    /// Whether it stands for all that no other element does.
    #[must_use]
    pub fn is_rest(&self) -> bool {
        self.from.is_empty()
    }

    /// The first and the last value of a part; none if it has no such part.
    #[must_use]
    pub fn range(&self, part: Part, at: usize) -> Option<(&[u8], &[u8])> {
        let end = at + usize::from(part.len);
        let last = if self.to.is_empty() {
            &self.from
        } else {
            &self.to
        };
        Some((self.from.0.get(at..end)?, last.0.get(at..end)?))
    }
}

impl Set {
    /// Whether it has these names.
    #[must_use]
    pub fn is(&self, family: Family, table: &str, name: &str) -> bool {
        self.name == name && self.table == table && self.family == family
    }

    /// Makes its names safe for a terminal.
    pub(super) fn make_safe(&mut self) {
        for name in [&mut self.table, &mut self.name] {
            *name = safe(name);
        }
        for element in &mut self.elements {
            element.action.make_safe();
        }
    }
}

/// Leaves out sets beyond [`SETS_MAX`], and those whose elements are beyond [`ELEMENTS_MAX`]: part of
/// a set would say that the rest is not there.
pub(super) fn bound(sets: &mut Vec<Set>) {
    sets.truncate(SETS_MAX);
    let mut left = ELEMENTS_MAX;
    sets.retain(|set| match left.checked_sub(set.elements.len()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
}
