//! Hash maps for what is looked up per packet.
//!
//! Their keys come from packets of strangers, so the hasher is seeded at
//! random: nobody can choose keys that collide without seeing the seed.
use std::collections::HashMap;

/// A hash map that is several times as fast as one with the standard hasher.
pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
