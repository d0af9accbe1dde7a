//! What the kernels' counters say of connections that listening sockets have not taken: how they
//! have risen since they were first read.
use std::collections::hash_map::Entry;

use crate::{
    map::Map,
    model::{facts::ListenCounters, topology::RecordedTopology},
};

/// Upper bound of the namespaces whose counters are known.
const SPACES_MAX: usize = 2048;
/// Upper bound of the bytes of all: a map is up to half empty.
#[cfg(test)]
pub(super) const BYTES_MAX: usize = 2 * SPACES_MAX * size_of::<(u64, Read)>();

/// The counters of each namespace, by its id.
#[derive(Default)]
pub(super) struct Overflows {
    spaces: Map<u64, Read>,
}

/// The counters as they were read first, and last.
#[derive(Clone, Copy)]
struct Read {
    first: ListenCounters,
    last: ListenCounters,
}

impl Overflows {
    /// Takes what a reading of the nodes tells.
    pub(super) fn add(&mut self, topology: &RecordedTopology) {
        let spaces = topology.facts.iter().flat_map(|facts| &facts.spaces);
        for space in spaces {
            let Some(now) = space.settings.listen else {
                continue;
            };
            let is_full = self.spaces.len() >= SPACES_MAX;
            match self.spaces.entry(space.netns) {
                Entry::Occupied(mut known) => known.get_mut().last = now,
                Entry::Vacant(free) if !is_full => {
                    let (first, last) = (now, now);
                    free.insert(Read { first, last });
                }
                Entry::Vacant(_) => {}
            }
        }
    }

    /// How the counters of a namespace have risen; none if no queue was full.
    pub(super) fn risen(&self, netns: u64) -> Option<ListenCounters> {
        let Read { first, last } = self.spaces.get(&netns)?;
        let risen = ListenCounters {
            overflows: last.overflows.saturating_sub(first.overflows),
            drops: last.drops.saturating_sub(first.drops),
        };
        (risen.overflows > 0).then_some(risen)
    }
}
