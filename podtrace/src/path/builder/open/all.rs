//! All open paths, ordered by age and by when they were last seen.
use super::{Open, Waits};
use crate::path::builder::join::index::{Links, List, Slot};

/// Slots added at a time.
const MORE: usize = 1024;

/// All open paths.
#[derive(Default)]
pub(in crate::path::builder) struct OpenPaths {
    slots: Vec<Option<Open>>,
    free: Vec<Slot>,
    ages: Links,
    /// Paths that are not late.
    by_age: List,
    /// Late paths.
    late: List,
    seen: Links,
    /// One list for each of [`Waits`], ordered by when their packets were last seen.
    by_seen: [List; 4],
    newest_ns: u64,
    bytes: usize,
}

impl OpenPaths {
    pub(in crate::path::builder) fn is_empty(&self) -> bool {
        self.by_age.len() == 0
    }

    /// Bytes of all open paths.
    pub(in crate::path::builder) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::path::builder) fn get(&self, slot: Slot) -> Option<&Open> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(in crate::path::builder) fn get_mut(&mut self, slot: Slot) -> Option<&mut Open> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The oldest path.
    pub(in crate::path::builder) fn oldest(&self) -> Option<Slot> {
        self.by_age.first()
    }

    /// The path that was late first.
    pub(in crate::path::builder) fn first_late(&self) -> Option<Slot> {
        self.late.first()
    }

    /// Keeps a path that was reported as not seen further, in case its packet is seen.
    pub(in crate::path::builder) fn keep_late(&mut self, slot: Slot) {
        self.set_late(slot, true);
    }

    /// Resumes a late path, as the youngest.
    pub(in crate::path::builder) fn take_up(&mut self, slot: Slot) {
        self.set_late(slot, false);
    }

    fn set_late(&mut self, slot: Slot, late: bool) {
        let Some(open) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        self.seen
            .remove(&mut self.by_seen[open.waits() as usize], slot);
        let lists = [&mut self.by_age, &mut self.late];
        let [from, to] = if late {
            lists
        } else {
            let [age, late] = lists;
            [late, age]
        };
        self.ages.remove(from, slot);
        self.ages.push(to, slot);
        open.late = late;
        open.waits_as_fragment = late && open.is_cut();
        self.seen
            .push(&mut self.by_seen[open.waits() as usize], slot);
    }

    /// Adds a path that is younger than all others.
    pub(in crate::path::builder) fn add(&mut self, mut open: Open) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.slots.len() == self.slots.capacity() {
                // Avoids doubling the room: slots are large.
                self.slots.reserve_exact(MORE);
            }
            self.slots.push(None);
            Slot::try_from(self.slots.len() - 1).unwrap_or(Slot::MAX)
        });
        let waits = open.waits() as usize;
        open.fixed = open.measure_fixed();
        open.size = open.measure();
        self.bytes += open.size;
        if let Some(free) = self.slots.get_mut(slot as usize) {
            *free = Some(open);
        }
        self.ages.push(&mut self.by_age, slot);
        self.seen.push(&mut self.by_seen[waits], slot);
        slot
    }

    pub(in crate::path::builder) fn remove(&mut self, slot: Slot) -> Option<Open> {
        let open = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.bytes -= open.size;
        let list = if open.late {
            &mut self.late
        } else {
            &mut self.by_age
        };
        self.ages.remove(list, slot);
        self.seen
            .remove(&mut self.by_seen[open.waits() as usize], slot);
        Some(open)
    }

    /// Changes a path by an event of that time.
    pub(in crate::path::builder) fn change<T>(
        &mut self,
        slot: Slot,
        ts_ns: u64,
        change: impl FnOnce(&mut Open) -> T,
    ) -> Option<T> {
        let open = self.slots.get_mut(slot as usize)?.as_mut()?;
        self.newest_ns = self.newest_ns.max(ts_ns);
        open.seen_ns = self.newest_ns;
        let before = open.waits() as usize;
        self.bytes -= open.size;
        let result = change(open);
        open.size = open.measure();
        self.bytes += open.size;
        let after = open.waits() as usize;
        if after != before || !self.by_seen[after].ends_with(slot) {
            self.seen.remove(&mut self.by_seen[before], slot);
            self.seen.push(&mut self.by_seen[after], slot);
        }
        Some(result)
    }

    /// Whether any path [`Open::is_slow`].
    pub(in crate::path::builder) fn has_slow(&self, now_ns: u64, timeout_ns: u64) -> bool {
        let silent = self.by_seen[Waits::ForNextHop as usize].first();
        let longest_silent = silent.and_then(|slot| self.get(slot));
        self.late.first().is_some()
            || longest_silent.is_some_and(|open| open.is_overdue(now_ns, timeout_ns))
    }

    /// The paths whose packets were last seen too long ago, oldest path first.
    pub(in crate::path::builder) fn over(&self, now_ns: u64, timeout_ns: u64) -> Vec<Slot> {
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
