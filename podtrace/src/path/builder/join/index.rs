//! Linked lists of slots: membership needs no allocation, and removal no search.
use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
};

use foldhash::fast::RandomState;

use crate::map::Hashed;

/// Number of an item.
pub(in crate::path::builder) type Slot = u32;

const NONE: Slot = Slot::MAX;

/// A list: its ends and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::path::builder) struct List {
    first: Slot,
    last: Slot,
    len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self {
            first: NONE,
            last: NONE,
            len: 0,
        }
    }
}

impl List {
    pub(in crate::path::builder) fn len(self) -> usize {
        self.len as usize
    }

    pub(in crate::path::builder) fn first(self) -> Option<Slot> {
        some(self.first)
    }

    /// Whether a slot is the last one.
    pub(in crate::path::builder) fn ends_with(self, slot: Slot) -> bool {
        self.last == slot
    }
}

fn some(slot: Slot) -> Option<Slot> {
    (slot != NONE).then_some(slot)
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: Slot,
    after: Slot,
}

/// The neighbours of each slot in its list: a slot is in at most one list.
#[derive(Debug, Default)]
pub(in crate::path::builder) struct Links {
    links: Vec<Link>,
}

impl Links {
    /// Adds a slot at the end.
    pub(in crate::path::builder) fn push(&mut self, list: &mut List, slot: Slot) {
        if self.links.len() <= slot as usize {
            let free = Link {
                before: NONE,
                after: NONE,
            };
            self.links.resize(slot as usize + 1, free);
        }
        self.join(list, list.last, slot);
        self.join(list, slot, NONE);
        list.len += 1;
    }

    /// Removes a slot from its list.
    pub(in crate::path::builder) fn remove(&mut self, list: &mut List, slot: Slot) {
        if let Some(Link { before, after }) = self.links.get(slot as usize).copied() {
            self.join(list, before, after);
            list.len -= 1;
        }
    }

    fn join(&mut self, list: &mut List, before: Slot, after: Slot) {
        match self.links.get_mut(before as usize) {
            Some(link) => link.after = after,
            None => list.first = after,
        }
        match self.links.get_mut(after as usize) {
            Some(link) => link.before = before,
            None => list.last = before,
        }
    }

    /// The next slot in its list.
    pub(in crate::path::builder) fn after(&self, slot: Slot) -> Option<Slot> {
        some(self.links.get(slot as usize)?.after)
    }

    /// All slots of a list, the last first.
    fn iter_back(&self, list: List) -> impl Iterator<Item = Slot> + '_ {
        std::iter::successors(some(list.last), |slot| {
            some(self.links.get(*slot as usize)?.before)
        })
    }

    /// All slots of a list, in order.
    pub(in crate::path::builder) fn iter(
        &self,
        list: List,
    ) -> impl Iterator<Item = Slot> + Clone + '_ {
        std::iter::successors(list.first(), |slot| self.after(*slot))
    }
}

/// Lists by key; a list that becomes empty is removed.
#[derive(Debug)]
pub(in crate::path::builder) struct Index<K, S = RandomState> {
    lists: HashMap<K, List, S>,
    links: Links,
}

/// Lists by a hash.
pub(in crate::path::builder) type HashedIndex<K> = Index<K, Hashed>;

impl<K, S: Default> Default for Index<K, S> {
    fn default() -> Self {
        Self {
            lists: HashMap::default(),
            links: Links::default(),
        }
    }
}

impl<K: Hash + Eq, S: BuildHasher> Index<K, S> {
    /// Adds a slot; returns how many have the key now.
    pub(in crate::path::builder) fn push(&mut self, key: K, slot: Slot) -> usize {
        let list = self.lists.entry(key).or_default();
        self.links.push(list, slot);
        list.len()
    }

    pub(in crate::path::builder) fn remove(&mut self, key: &K, slot: Slot) {
        if let Some(list) = self.lists.get_mut(key) {
            self.links.remove(list, slot);
            if list.len() == 0 {
                self.lists.remove(key);
            }
        }
    }

    /// The slots with the key, the oldest first.
    pub(in crate::path::builder) fn get(&self, key: &K) -> impl Iterator<Item = Slot> + Clone + '_ {
        let list = self.lists.get(key).copied().unwrap_or_default();
        self.links.iter(list)
    }

    /// The list of the slots with the key, if there are any.
    #[inline]
    pub(in crate::path::builder) fn list(&self, key: &K) -> Option<List> {
        self.lists.get(key).copied()
    }

    /// The slots of a list, the newest first.
    pub(in crate::path::builder) fn newest_first(
        &self,
        list: List,
    ) -> impl Iterator<Item = Slot> + '_ {
        self.links.iter_back(list)
    }

    /// The next slot with the key of this one.
    pub(in crate::path::builder) fn after(&self, slot: Slot) -> Option<Slot> {
        self.links.after(slot)
    }

    /// The slot with the key, if it is the only one.
    pub(in crate::path::builder) fn only(&self, key: &K) -> Option<Slot> {
        let list = self.lists.get(key).filter(|list| list.len() == 1)?;
        list.first()
    }

    /// How many slots have the key.
    pub(in crate::path::builder) fn len(&self, key: &K) -> usize {
        self.lists.get(key).map_or(0, |list| list.len())
    }

    pub(in crate::path::builder) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    pub(in crate::path::builder) fn contains(&self, key: &K) -> bool {
        self.lists.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compares with a plain Vec.
        #[test]
        fn list_matches_a_vec(steps in prop::collection::vec(0u32..12, 0..60)) {
            let (mut links, mut list, mut model) = (Links::default(), List::default(), Vec::new());
            for slot in steps {
                if let Some(known) = model.iter().position(|other| *other == slot) {
                    model.remove(known);
                    links.remove(&mut list, slot);
                } else {
                    model.push(slot);
                    links.push(&mut list, slot);
                }
                prop_assert!(links.iter(list).eq(model.iter().copied()));
                prop_assert!(links.iter_back(list).eq(model.iter().rev().copied()));
                prop_assert_eq!(list.len(), model.len());
            }
        }
    }

    #[test]
    fn index_keeps_no_empty_list() {
        let mut index = Index::<_>::default();
        for slot in [3, 1, 2] {
            index.push("a", slot);
        }
        index.remove(&"a", 1);
        assert!(index.get(&"a").eq([3, 2]));
        index.remove(&"a", 3);
        index.remove(&"a", 2);
        assert!(!index.contains(&"a") && index.lists.is_empty());
    }
}
