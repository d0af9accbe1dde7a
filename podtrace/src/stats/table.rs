//! A table of bounded size.
use std::{collections::HashMap, hash::Hash};

/// Rows by key; once it is full, new keys share one row for all others.
pub(super) struct Table<K, V> {
    rows: HashMap<K, V>,
    others: Option<V>,
    max: usize,
}

impl<K: Eq + Hash, V: Default> Table<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            rows: HashMap::new(),
            others: None,
            max,
        }
    }

    /// The row to add to.
    pub(super) fn row(&mut self, key: K) -> &mut V {
        if self.rows.len() < self.max || self.rows.contains_key(&key) {
            self.rows.entry(key).or_default()
        } else {
            self.others.get_or_insert_default()
        }
    }

    /// All rows in any order, the shared one too.
    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.rows.values_mut().chain(&mut self.others)
    }

    /// The rows that are not shared, with their keys, in any order.
    pub(super) fn named_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.rows.iter_mut()
    }

    /// All rows in any order, and the shared row.
    pub(super) fn into_parts(self) -> (impl Iterator<Item = (K, V)>, Option<V>) {
        (self.rows.into_iter(), self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excess_rows_are_added_up() {
        let mut table = Table::new(2);
        for key in [1, 2, 3, 1, 4] {
            *table.row(key) += 1;
        }
        let (rows, others) = table.into_parts();
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable();
        assert_eq!((rows, others), (vec![(1, 2), (2, 1)], Some(2)));
    }
}
