//! Packets of a file that give no event, and why.
use std::{collections::BTreeMap, fmt};

use super::link_type::link_type_name;
use crate::field::object;

/// Why packets of a link type are left out.
const UNKNOWN: &str = "which podtrace does not decode";
/// Upper bound of the link layers that are counted apart.
const LINK_TYPES_MAX: usize = 64;

/// Why a packet gives no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Its block has no time: a simple packet block of pcapng.
    NoTime,
    /// The file does not describe its interface, or the description is damaged.
    NoInterface,
    /// Its link layer, by LINKTYPE_ number, is not decoded.
    LinkType(u32),
    /// The link layer is not decoded; there are too many such ones to count them apart.
    OtherLinkType,
}

object! {
    /// Packets of the files that gave no event.
    pub Count as "left out" (Clone, Copy, Debug, PartialEq, Eq) {
        /// `link_type`: podtrace does not decode its link layer; `no_time`: a simple packet
        /// block, which has none; `no_interface`: the file does not describe its interface
        reason: &'static str,
        /// LINKTYPE_ number of the link layer
        link_type: Option<u32>,
        /// name of the link layer
        link_name: Option<&'static str>,
        /// how many
        packets: u64,
    }
}

impl Count {
    fn new(reason: Reason, packets: u64) -> Self {
        let (name, link_type) = match reason {
            Reason::NoTime => ("no_time", None),
            Reason::NoInterface => ("no_interface", None),
            Reason::LinkType(number) => ("link_type", Some(number)),
            Reason::OtherLinkType => ("link_type", None),
        };
        Self {
            reason: name,
            link_type,
            link_name: link_type.and_then(link_type_name),
            packets,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTime => f.write_str("without a time (simple packet blocks)"),
            Self::NoInterface => f.write_str("of an interface that the file does not describe"),
            Self::LinkType(number) => match link_type_name(*number) {
                Some(name) => write!(f, "of link type {name} ({number}), {UNKNOWN}"),
                None => write!(f, "of link type {number}, {UNKNOWN}"),
            },
            Self::OtherLinkType => write!(f, "of other link types, {UNKNOWN}"),
        }
    }
}

/// How many packets gave no event, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(BTreeMap<Reason, u64>);

impl LeftOut {
    /// Counts packets.
    pub fn add(&mut self, reason: Reason, packets: u64) {
        let is_one_more = !self.0.contains_key(&reason) && self.0.len() >= LINK_TYPES_MAX;
        let reason = match reason {
            Reason::LinkType(_) if is_one_more => Reason::OtherLinkType,
            reason => reason,
        };
        let count = self.0.entry(reason).or_default();
        *count = count.saturating_add(packets);
    }

    /// Adds other counts.
    pub fn add_all(&mut self, other: &Self) {
        for (reason, packets) in other.iter() {
            self.add(reason, packets);
        }
    }

    /// The reasons, and how many packets each concerns.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.0.iter().map(|(reason, packets)| (*reason, *packets))
    }

    /// The counts in the form of the JSON output; none without packets.
    #[must_use]
    pub fn counts(&self) -> Option<Vec<Count>> {
        let counts = self.iter();
        let counts = counts.map(|(reason, packets)| Count::new(reason, packets));
        (self.total() > 0).then(|| counts.collect())
    }

    /// All packets.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0
            .values()
            .fold(0, |sum, more| sum.saturating_add(*more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_types_without_number_are_bounded() {
        let mut left_out = LeftOut::default();
        for number in 0..1000 {
            left_out.add(Reason::LinkType(number), 2);
        }
        left_out.add(Reason::NoTime, 1);
        assert!(left_out.iter().count() <= LINK_TYPES_MAX + 2);
        assert_eq!(left_out.total(), 2001);
    }

    #[test]
    fn link_types_are_named() {
        for (number, words) in [
            (9, "of link type PPP (9), which podtrace does not decode"),
            (65_000, "of link type 65000, which podtrace does not decode"),
        ] {
            assert_eq!(Reason::LinkType(number).to_string(), words);
        }
    }
}
