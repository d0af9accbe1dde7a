//! The translations that were seen.
use std::{collections::VecDeque, hash::BuildHasher as _};

use foldhash::fast::RandomState;

use super::Fit;
use crate::{map::Map, packet::Ends};

/// Upper bound of the remembered flows, those of answers counted too; the oldest is
/// forgotten first.
pub(super) const KNOWN_MAX: usize = 2 * 65_536;

/// What flows became in a namespace: hashes of both. The answers of a translated flow are
/// translated back, so each translation stands for two.
#[derive(Default)]
pub(super) struct Known {
    hasher: RandomState,
    translated: Map<u64, u64>,
    order: VecDeque<u64>,
}

impl Known {
    fn hash(&self, netns: (usize, u64), ends: Ends) -> u64 {
        self.hasher.hash_one((netns, ends))
    }

    pub(super) fn learn(&mut self, netns: (usize, u64), before: Ends, after: Ends) {
        for (from, to) in [(before, after), (after.reversed(), before.reversed())] {
            let from = self.hash(netns, from);
            if self.translated.insert(from, self.hash(netns, to)).is_none() {
                self.order.push_back(from);
            }
        }
        while self.order.len() > KNOWN_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.translated.remove(&oldest);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.translated.is_empty()
    }

    /// Hash of what these ends became there.
    pub(super) fn get(&self, netns: (usize, u64), ends: Ends) -> Option<u64> {
        self.translated.get(&self.hash(netns, ends)).copied()
    }

    /// How well what is known fits a translation.
    pub(super) fn fit(&self, netns: (usize, u64), before: Ends, after: Ends) -> Fit {
        let ways = [(before, after), (after.reversed(), before.reversed())];
        let agree = ways.map(|(from, to)| {
            let known = self.get(netns, from)?;
            Some(known == self.hash(netns, to))
        });
        match agree {
            [Some(true), _] | [_, Some(true)] => Fit::Confirmed,
            [None, None] => Fit::Possible,
            _ => Fit::Contradicted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(from: u16, to: u16) -> Ends {
        Ends {
            source: "10.0.0.1".parse().unwrap(),
            destination: "10.0.0.2".parse().unwrap(),
            ports: Some((from, to)),
        }
    }

    #[test]
    fn translation_stands_for_its_answers_too() {
        let mut known = Known::default();
        let (node, other) = ((0, 1), (0, 2));
        known.learn(node, ends(1, 80), ends(1, 8080));
        assert!(known.fit(node, ends(1, 80), ends(1, 8080)) == Fit::Confirmed);
        let (answer, back) = (ends(1, 8080).reversed(), ends(1, 80).reversed());
        assert!(known.fit(node, answer, back) == Fit::Confirmed);
        assert!(known.fit(node, ends(1, 80), ends(1, 9090)) == Fit::Contradicted);
        assert!(known.fit(node, ends(2, 80), ends(1, 8080)) == Fit::Contradicted);
        assert!(known.fit(node, ends(2, 80), ends(2, 8080)) == Fit::Possible);
        assert!(known.fit(other, ends(1, 80), ends(1, 8080)) == Fit::Possible);
    }

    #[test]
    fn oldest_is_forgotten() {
        let mut known = Known::default();
        for port in 0..=u16::MAX {
            known.learn((0, 1), ends(port, 80), ends(port, 8080));
        }
        assert_eq!(known.translated.len(), KNOWN_MAX);
        known.learn((0, 2), ends(0, 80), ends(0, 8080));
        assert_eq!(known.translated.len(), KNOWN_MAX);
        assert!(known.get((0, 1), ends(0, 80)).is_none());
        assert!(known.get((0, 1), ends(1, 80)).is_some());
    }
}
