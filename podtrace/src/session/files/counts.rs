//! Counts of events by interface and direction.
use std::collections::BTreeMap;

use podtrace_ebpf::record::Direction;

/// The number of events of each interface and direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventCounts(BTreeMap<(u32, Direction), u64>);

impl EventCounts {
    /// Adds events of an interface in a direction.
    pub fn add(&mut self, interface: u32, direction: Direction, events: u64) {
        if events > 0 {
            *self.0.entry((interface, direction)).or_default() += events;
        }
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        for (interface, direction, events) in other.iter() {
            self.add(interface, direction, events);
        }
    }

    /// Subtracts `other`, which was added before.
    pub(super) fn remove_all(&mut self, other: &Self) {
        for (key, events) in &other.0 {
            if let Some(count) = self.0.get_mut(key) {
                *count = count.saturating_sub(*events);
            }
        }
        self.0.retain(|_, count| *count > 0);
    }

    /// The nonzero counts by interface, then direction.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Direction, u64)> {
        self.0
            .iter()
            .map(|(&(interface, direction), &events)| (interface, direction, events))
    }

    /// The sum of all counts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Whether all counts are zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Resets all counts.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
