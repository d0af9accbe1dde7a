//! Selectors: which packets are asked for, by what they are and by whom they touch.
//!
//! A selector judges a whole path, so a packet is shown with all its hops or not at all.
pub mod labels;
mod name;
pub mod protocol;
pub mod register;
mod scope;
mod seen;
mod term;
#[cfg(test)]
mod tests;

use std::mem::discriminant;

pub use name::{Cidr, FullName, Peer};
pub use term::Term;

use crate::{order::Order as _, path::Path, world::World};
use seen::Seen;

/// All that is asked of a packet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selector {
    /// Each has to be met.
    groups: Vec<Group>,
}

/// Terms of one kind, of which one has to be true, or none.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    is_negated: bool,
    terms: Vec<Term>,
}

impl Selector {
    /// Puts terms together, each with whether it is negated: those of one kind are joined by
    /// `or`, the kinds by `and`; of the negated ones none may be true. None without terms.
    #[must_use]
    pub fn new(terms: impl IntoIterator<Item = (bool, Term)>) -> Option<Self> {
        let mut groups: Vec<Group> = Vec::new();
        for (is_negated, term) in terms {
            let kind = discriminant(&term);
            let mut known = groups.iter_mut();
            let known = known.find(|group| {
                let is_kind = |other| discriminant(other) == kind;
                group.is_negated == is_negated && group.terms.first().is_some_and(is_kind)
            });
            match known {
                Some(group) => group.terms.push(term),
                None => groups.push(Group {
                    is_negated,
                    terms: vec![term],
                }),
            }
        }
        // What costs least is asked first.
        groups.order_by_key(|group| group.terms.first().map(Term::cost));
        (!groups.is_empty()).then_some(Self { groups })
    }

    /// Whether a packet that has ended is asked for.
    #[must_use]
    pub fn matches(&self, path: &Path, world: &World) -> bool {
        let seen = Seen::new(path, world);
        self.groups.iter().all(|group| {
            let is_met = group.terms.iter().any(|term| term.matches(&seen));
            is_met != group.is_negated
        })
    }

    /// Whether it asks how packets ended, which a later report may correct.
    #[must_use]
    pub fn judges_ends(&self) -> bool {
        let judges = |term: &Term| matches!(term, Term::Outcome(_) | Term::MinLatency(_));
        self.terms().any(judges)
    }

    /// The packets of two peers: those that one of them sends or receives.
    #[must_use]
    pub fn of_pair(one: &Peer, other: &Peer) -> Option<Self> {
        Self::new([one, other].map(|peer| (false, Term::Touches(peer.clone()))))
    }

    /// All its terms.
    fn terms(&self) -> impl Iterator<Item = &Term> {
        self.groups.iter().flat_map(|group| &group.terms)
    }
}

/// Whether a packet goes from one peer to another.
#[must_use]
pub fn leads(path: &Path, from: &Peer, to: &Peer, world: &World) -> bool {
    let seen = Seen::new(path, world);
    from.sends(&seen) && to.receives(&seen)
}

/// Whether a peer sends a packet.
#[must_use]
pub fn sends(path: &Path, from: &Peer, world: &World) -> bool {
    from.sends(&Seen::new(path, world))
}
