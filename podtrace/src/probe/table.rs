//! The taps known to the kernel side: a hash table in a per-CPU array ([`TapKey::slots`]).
use std::collections::HashMap;

use aya::{
    maps::{MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use podtrace_ebpf::config::{TapCounters, TapKey, TapState};

use super::{ProbeError, maps::State};

/// Lower bound of the slots: with few taps, collisions are rare.
const SLOTS_MIN: u32 = 1024;
/// Upper bound of the slots: each takes 96 bytes for each CPU.
const SLOTS_MAX: u32 = 1 << 18;

/// The number of slots for this many interfaces at the same time.
pub(super) fn slots(interfaces: u32) -> u32 {
    // In a table that is a quarter full, one key in 65 536 finds all its slots taken.
    let slots = interfaces.saturating_mul(4).clamp(SLOTS_MIN, SLOTS_MAX);
    slots.next_power_of_two()
}

/// User space's side of the table.
pub(super) struct TapTable {
    map: PerCpuArray<MapData, State>,
    /// By interface.
    slots: HashMap<TapKey, u32>,
    taken: Vec<bool>,
}

impl TapTable {
    pub(super) fn new(map: PerCpuArray<MapData, State>) -> Self {
        let taken = vec![false; map.len() as usize];
        Self {
            map,
            slots: HashMap::new(),
            taken,
        }
    }

    /// Adds an interface without counts.
    ///
    /// # Errors
    /// When no slot is free for it, or the kernel refuses.
    pub(super) fn insert(
        &mut self,
        key: TapKey,
        interface: u32,
        link_len: u32,
    ) -> Result<(), ProbeError> {
        let mask = self.map.len() - 1;
        let slot = key
            .slots(mask)
            .find(|slot| !self.taken[*slot as usize])
            .ok_or(ProbeError::TooManyTaps)?;
        let state = TapState {
            key,
            interface,
            link_len,
            ..TapState::default()
        };
        self.set(slot, state)?;
        self.taken[slot as usize] = true;
        self.slots.insert(key, slot);
        Ok(())
    }

    /// Removes an interface without taps; returns its counts.
    ///
    /// # Errors
    /// When the map cannot be read or written.
    pub(super) fn remove(&mut self, key: &TapKey) -> Result<TapCounters, ProbeError> {
        let Some(slot) = self.slots.remove(key) else {
            return Ok(TapCounters::default());
        };
        let counters = self.read(slot)?;
        self.set(slot, TapState::default())?;
        self.taken[slot as usize] = false;
        Ok(counters)
    }

    /// The counts of an interface's taps.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub(super) fn counters(&self, key: &TapKey) -> Result<TapCounters, ProbeError> {
        match self.slots.get(key) {
            Some(slot) => self.read(*slot),
            None => Ok(TapCounters::default()),
        }
    }

    fn read(&self, slot: u32) -> Result<TapCounters, ProbeError> {
        let values = self.map.get(&slot, 0).map_err(|source| ProbeError::Map {
            operation: "read the counters".into(),
            source,
        })?;
        let mut sum = TapCounters::default();
        for State(state) in values.iter() {
            for (sum, one) in sum.iter_mut().zip(&state.counters) {
                sum.seen += one.seen;
                sum.filtered += one.filtered;
                sum.lost += one.lost;
            }
        }
        Ok(sum)
    }

    fn set(&mut self, slot: u32, state: TapState) -> Result<(), ProbeError> {
        let cpus = nr_cpus().map_err(|(path, source)| ProbeError::Cpus(path, source))?;
        let values = PerCpuValues::try_from(vec![State(state); cpus])
            .map_err(|source| ProbeError::Cpus("the number of CPUs", source))?;
        self.map
            .set(slot, values, 0)
            .map_err(|source| ProbeError::Map {
                operation: "register or forget a tap".into(),
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slots_are_a_power_of_two_within_limits() {
        assert_eq!(slots(3), 1024);
        assert_eq!(slots(500), 2048);
        assert_eq!(slots(u32::MAX), SLOTS_MAX);
    }

    proptest! {
        /// All keys find a slot, up to the number that the table is made for.
        #[test]
        fn keys_find_free_slots(cookie in 1u64..1 << 20, count in 1u32..500) {
            let mask = slots(count) - 1;
            let mut taken = HashSet::new();
            for n in 0..count {
                let key = TapKey {
                    netns_cookie: cookie + u64::from(n / 3),
                    ifindex: n % 3 + 1,
                    zero: 0,
                };
                let free = key.slots(mask).find(|slot| taken.insert(*slot));
                prop_assert!(free.is_some());
            }
        }
    }
}
