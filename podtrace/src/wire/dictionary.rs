//! Values that stand once in a batch.
use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Finds the numbers of values by their hashes.
#[derive(Default)]
pub(super) struct Index {
    /// The number of a value, with its hash.
    table: HashTable<(u16, u64)>,
    pub(super) state: RandomState,
}

impl Index {
    /// The number of a value that is known.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let found = self.table.find(hash, |(number, known)| {
            *known == hash && is_it((*number).into())
        });
        found.map(|(number, _)| (*number).into())
    }

    /// Adds a value.
    pub(super) fn insert(&mut self, hash: u64, number: usize) {
        self.table
            .insert_unique(hash, (number as u16, hash), |(_, hash)| *hash);
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
    }
}
