//! Hash maps for what is looked up per packet.
//!
//! Their keys come from packets of strangers, so the hasher is seeded at
//! random: nobody can choose keys that collide without seeing the seed.
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A hash map that is several times as fast as one with the standard hasher.
pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The same for keys that are hashes, made with a seed: they are not hashed again.
pub(crate) type HashedMap<K, V> = HashMap<K, V, Hashed>;

/// The hasher of a [`HashedMap`].
pub(crate) type Hashed = BuildHasherDefault<AsIs>;

/// Takes one word as its own hash.
#[derive(Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
