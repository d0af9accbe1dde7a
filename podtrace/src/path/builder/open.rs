//! The paths under way, in order of age and of when they were last seen.
use super::{
    SETTLE_NS,
    lists::{Links, List, Slot},
};
use crate::{packet::PacketKey, path::Path};

/// A path under way.
pub(super) struct Open {
    pub(super) path: Path,
    pub(super) key: PacketKey,
    pub(super) arrived: bool,
    /// Whether it was last seen where nothing tells what becomes of it.
    pub(super) untold: bool,
    /// Interface by which it came to its namespace, while a socket may follow.
    pub(super) arrival: Option<u32>,
}

impl Open {
    /// Whether the packet has not been seen for so long that its way has ended.
    pub(super) fn is_over(&self, now_ns: u64, timeout_ns: u64) -> bool {
        let patience_ns = if self.arrived { SETTLE_NS } else { timeout_ns };
        let last = self.path.hops.last();
        last.is_some_and(|last| now_ns.saturating_sub(last.ts_ns) > patience_ns)
    }

    fn seen_ns(&self) -> u64 {
        self.path.hops.last().map_or(0, |last| last.ts_ns)
    }
}

/// All paths under way.
#[derive(Default)]
pub(super) struct OpenPaths {
    slots: Vec<Option<Open>>,
    free: Vec<Slot>,
    ages: Links,
    by_age: List,
    seen: Links,
    /// Those on their way and those that have arrived, by when they were last
    /// seen: the two have different patience.
    by_seen: [List; 2],
}

impl OpenPaths {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Open> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Open> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The oldest path.
    pub(super) fn oldest(&self) -> Option<Slot> {
        self.by_age.first()
    }

    /// Adds a path that is younger than all others.
    pub(super) fn add(&mut self, open: Open) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot::try_from(self.slots.len() - 1).unwrap_or(Slot::MAX)
        });
        let arrived = usize::from(open.arrived);
        if let Some(free) = self.slots.get_mut(slot as usize) {
            *free = Some(open);
        }
        self.ages.push(&mut self.by_age, slot);
        self.seen.insert(&mut self.by_seen[arrived], slot, None);
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Open> {
        let open = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.ages.remove(&mut self.by_age, slot);
        let list = &mut self.by_seen[usize::from(open.arrived)];
        self.seen.remove(list, slot);
        Some(open)
    }

    /// Changes a path by what an event says of it: its last hop or whether it
    /// has arrived.
    pub(super) fn change<T>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut Open) -> T,
    ) -> Option<T> {
        let open = self.slots.get_mut(slot as usize)?.as_mut()?;
        let arrived = open.arrived;
        let result = change(open);
        let (now_arrived, seen_ns) = (open.arrived, open.seen_ns());
        self.seen
            .remove(&mut self.by_seen[usize::from(arrived)], slot);
        // Events are in order, so its place is at the end but for a late one.
        let mut before = self.by_seen[usize::from(now_arrived)].last();
        while let Some(other) = before
            && self
                .get(other)
                .is_some_and(|other| other.seen_ns() > seen_ns)
        {
            before = self.seen.before(other);
        }
        let list = &mut self.by_seen[usize::from(now_arrived)];
        self.seen.insert(list, slot, before);
        Some(result)
    }

    /// The paths whose packets were last seen too long ago, oldest path first.
    pub(super) fn over(&self, now_ns: u64, timeout_ns: u64) -> Vec<Slot> {
        let is_over = |slot: &Slot| {
            self.get(*slot)
                .is_some_and(|open| open.is_over(now_ns, timeout_ns))
        };
        let lists = self.by_seen.into_iter();
        let mut over: Vec<_> = lists
            .flat_map(|list| self.seen.iter(list).take_while(is_over))
            .collect();
        over.sort_by_key(|slot| self.get(*slot).map(|open| open.path.id));
        over
    }
}
