//! The open paths, ordered by age and by when they were last seen.
use super::{
    SETTLE_NS,
    join::index::{Links, List, Slot},
    parts::{Bytes, Parts},
};
use crate::{
    model::event::Event,
    packet::{PacketKey, Tunnel},
    path::{Hop, Path, Translation},
};

/// Bytes that an open path takes beside itself: its slot, its links in four lists that may
/// have room for twice as many, and its entries in two tables that may be less than half
/// full.
const BESIDE: usize = size_of::<Option<Open>>() + 4 * 4 * size_of::<Slot>() + 2 * 64;
/// How long a packet that was not seen further is still known, in nanoseconds: the kernel
/// holds one that waits for a neighbour's address for 3 s, and a queue may be long.
const LATE_NS: u64 = 10_000_000_000;
/// Slots added at a time.
const MORE: usize = 1024;

/// An open path.
pub(super) struct Open {
    pub(super) path: Box<Path>,
    pub(super) key: PacketKey,
    /// The key's hash.
    pub(super) hash: u64,
    /// The time of the newest event when its packet was last seen. It never decreases from
    /// one event to the next, even if an event comes late.
    seen_ns: u64,
    /// Bytes of its tunnels.
    tunnels: u32,
    pub(super) arrived: bool,
    /// Whether it arrived where a socket is to take it.
    pub(super) wants_socket: bool,
    /// Whether it was said not to be seen further.
    pub(super) late: bool,
    /// Whether it was last seen where nothing shows how it goes on.
    pub(super) inconclusive: bool,
    /// Whether nobody misses it if it does not go on.
    pub(super) optional: bool,
    /// What each hop has seen of it, if some have not seen it whole.
    pub(super) parts: Option<Box<Parts>>,
    /// Its key in the index of flows.
    pub(super) flow: Option<u64>,
    /// Its key in the index of contents.
    pub(super) content: Option<u64>,
}

impl Open {
    /// A path that has no hop yet. `hash`: the key's.
    pub(super) fn new(path: Box<Path>, key: PacketKey, hash: u64) -> Self {
        Self {
            path,
            key,
            hash,
            seen_ns: 0,
            tunnels: 0,
            arrived: false,
            wants_socket: false,
            late: false,
            inconclusive: false,
            optional: false,
            parts: None,
            flow: None,
            content: None,
        }
    }

    /// Adds a hop.
    pub(super) fn push(&mut self, hop: Hop) {
        if hop.tunnel.is_some() {
            self.tunnels += size_of::<Tunnel>() as u32;
        }
        self.path.hops.push(hop);
    }

    /// The number of the hop that the event belongs to, or of the next one.
    pub(super) fn hop_at(&self, event: &Event) -> usize {
        let mut hops = self.path.hops.iter();
        let known = hops.position(|hop| hop.is_at(event));
        known.unwrap_or(self.path.hops.len())
    }

    /// The first of the bytes that a hop has not seen yet.
    pub(super) fn missing(&self, hop: usize, bytes: Bytes) -> Option<Bytes> {
        match &self.parts {
            Some(parts) => parts.missing(hop, bytes),
            None => (hop == self.path.hops.len()).then_some(bytes),
        }
    }

    /// Goes on with another key: its ends were translated. It has not arrived where it was
    /// for before.
    pub(super) fn rekey(&mut self, key: PacketKey, hash: u64) {
        self.key = key;
        self.hash = hash;
        self.arrived = false;
        self.wants_socket = false;
    }

    /// Whether its packet was seen a moment before the event.
    pub(super) fn is_fresh(&self, event: &Event) -> bool {
        let last = self.path.hops.last();
        last.is_some_and(|last| event.ts_ns.saturating_sub(last.ts_ns) <= SETTLE_NS)
    }

    fn waits(&self) -> Waits {
        match (self.late, self.arrived) {
            (true, _) => Waits::Late,
            (false, true) => Waits::ForCopies,
            (false, false) => Waits::ForNextHop,
        }
    }

    /// Its size in bytes.
    fn bytes(&self) -> usize {
        let hops = self.path.hops.capacity() * size_of::<Hop>();
        let translations = self.path.translations.capacity() * size_of::<Translation>();
        let parts = self.parts.as_ref().map_or(0, |parts| parts.size());
        BESIDE + size_of::<Path>() + hops + translations + parts + self.tunnels as usize
    }

    /// Whether the packet has not been seen for so long that its way has ended.
    pub(super) fn is_over(&self, now_ns: u64, timeout_ns: u64) -> bool {
        let patience_ns = match self.waits() {
            Waits::ForNextHop => timeout_ns,
            Waits::ForCopies => SETTLE_NS,
            Waits::Late => LATE_NS.max(timeout_ns),
        };
        now_ns.saturating_sub(self.seen_ns) > patience_ns
    }
}

/// What an open path waits for: their timeouts differ.
#[derive(Clone, Copy)]
enum Waits {
    ForNextHop,
    ForCopies,
    Late,
}

/// All open paths.
#[derive(Default)]
pub(super) struct OpenPaths {
    slots: Vec<Option<Open>>,
    free: Vec<Slot>,
    ages: Links,
    /// Those that are not late.
    by_age: List,
    /// Those that are.
    late: List,
    seen: Links,
    /// By [`Waits`], each by when they were last seen.
    by_seen: [List; 3],
    newest_ns: u64,
    bytes: usize,
}

impl OpenPaths {
    pub(super) fn is_empty(&self) -> bool {
        self.by_age.len() == 0
    }

    /// Bytes of all open paths.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
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

    /// The path that was late first.
    pub(super) fn first_late(&self) -> Option<Slot> {
        self.late.first()
    }

    /// Keeps a path that was said not to be seen further, in case that it is.
    pub(super) fn keep_late(&mut self, slot: Slot) {
        self.set_late(slot, true);
    }

    /// Takes a late path up again, as the youngest.
    pub(super) fn take_up(&mut self, slot: Slot) {
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
        self.seen
            .push(&mut self.by_seen[open.waits() as usize], slot);
    }

    /// Adds a path that is younger than all others.
    pub(super) fn add(&mut self, open: Open) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.slots.len() == self.slots.capacity() {
                // Does not double the room: slots are large.
                self.slots.reserve_exact(MORE);
            }
            self.slots.push(None);
            Slot::try_from(self.slots.len() - 1).unwrap_or(Slot::MAX)
        });
        let waits = open.waits() as usize;
        self.bytes += open.bytes();
        if let Some(free) = self.slots.get_mut(slot as usize) {
            *free = Some(open);
        }
        self.ages.push(&mut self.by_age, slot);
        self.seen.push(&mut self.by_seen[waits], slot);
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Open> {
        let open = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.bytes -= open.bytes();
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
    pub(super) fn change<T>(
        &mut self,
        slot: Slot,
        ts_ns: u64,
        change: impl FnOnce(&mut Open) -> T,
    ) -> Option<T> {
        let open = self.slots.get_mut(slot as usize)?.as_mut()?;
        self.newest_ns = self.newest_ns.max(ts_ns);
        open.seen_ns = self.newest_ns;
        let before = open.waits() as usize;
        self.bytes -= open.bytes();
        let result = change(open);
        self.bytes += open.bytes();
        let after = open.waits() as usize;
        self.seen.remove(&mut self.by_seen[before], slot);
        self.seen.push(&mut self.by_seen[after], slot);
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
