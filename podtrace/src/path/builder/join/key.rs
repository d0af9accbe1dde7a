//! Joins by the key that a packet has at every interface.
use podtrace_ebpf::record::Direction;

use super::{
    EQUAL_MAX, Join, Joined, Sighting,
    index::{Index, Slot},
};
use crate::{
    model::{
        event::Event,
        tap_point::{Role, TapPoint},
    },
    path::{
        Hop, Path,
        builder::{
            open::{Open, OpenPaths},
            transition::has_one_receiver,
        },
    },
    world::World,
};

/// The open paths, by the hash of their key.
#[derive(Default)]
pub(super) struct ByKey {
    index: Index<u64>,
}

impl ByKey {
    /// Whether a path has a key of that hash.
    pub(super) fn has(&self, hash: u64) -> bool {
        self.index.contains(&hash)
    }

    /// How many paths have a key of that hash.
    pub(super) fn equal(&self, hash: u64) -> usize {
        self.index.len(&hash)
    }

    /// Marks all packets with this key as ambiguous: each may be another one. New ones
    /// follow the marked ones, so the search stops at the first marked one.
    fn mark_ambiguous(&self, hash: u64, open: &mut OpenPaths) {
        for slot in self.index.newest_first(&hash) {
            match open.get_mut(slot) {
                Some(open) if !open.path.ambiguous => open.path.ambiguous = true,
                _ => break,
            }
        }
    }
}

impl Join for ByKey {
    #[inline]
    fn find(&self, seen: &Sighting<'_>, open: &mut OpenPaths, world: &World) -> Option<Joined> {
        let paths = self.index.get(&seen.hash);
        let paths = paths.filter_map(|slot| Some((slot, open.get(slot)?)));
        let (chosen, is_one_of_several) = choose(paths, seen, world)?;
        if is_one_of_several {
            self.mark_ambiguous(seen.hash, open);
        }
        Some(Joined::One(chosen))
    }

    #[inline]
    fn begun(&mut self, slot: Slot, open: &mut OpenPaths) -> Option<Slot> {
        let hash = open.get(slot)?.hash;
        if self.index.push(hash, slot) <= EQUAL_MAX {
            return None;
        }
        // Events of the oldest will be taken for those of another.
        self.mark_ambiguous(hash, open);
        self.index.get(&hash).next()
    }

    #[inline]
    fn ended(&mut self, slot: Slot, open: &Open) {
        self.index.remove(&open.hash, slot);
    }
}

/// Chooses the path that the event continues, among those that may have its key, in order
/// of age; and whether others are possible.
///
/// Equal packets arrive in the order in which they left, so it is the oldest. But a path
/// that was silent for long is more likely lost than late if another was just seen.
fn choose<'a>(
    paths: impl Iterator<Item = (Slot, &'a Open)> + Clone,
    seen: &Sighting<'_>,
    world: &World,
) -> Option<(Slot, bool)> {
    let event = seen.event;
    let is_meant =
        |open: &Open| open.key == seen.key && !open.is_over(event.ts_ns, seen.timeout_ns);
    // Most equal packets have passed already, so this check comes first.
    let fits = |(_, open): &(Slot, &Open)| {
        !open.late
            && !open.path.has_passed(event)
            && is_meant(open)
            && can_come_from(&open.path, event, world)
    };
    let mut fitting = paths.clone().filter(fits);
    let Some(oldest) = fitting.next() else {
        // A late path was alone, so it is the oldest.
        let late = paths.clone().next().filter(|(_, open)| {
            open.late
                && !open.path.has_passed(event)
                && is_meant(open)
                && can_come_from(&open.path, event, world)
        });
        if let Some((slot, _)) = late {
            return Some((slot, false));
        }
        let meant = paths.filter(|(_, open)| is_meant(open));
        return another_socket(meant, event).map(|slot| (slot, false));
    };
    let Some(second) = fitting.next() else {
        return Some((oldest.0, false));
    };
    let fresh = [oldest, second]
        .into_iter()
        .chain(fitting)
        .find(|(_, open)| open.is_fresh(event));
    Some((fresh.unwrap_or(oldest).0, true))
}

/// The newest path whose packet other sockets have received: each socket receives a copy.
fn another_socket<'a>(
    paths: impl Iterator<Item = (Slot, &'a Open)>,
    event: &Event,
) -> Option<Slot> {
    if event.direction != Direction::Socket || has_one_receiver(&event.packet) {
        return None;
    }
    let passed = paths.filter(|(_, open)| open.path.has_passed(event));
    passed.last().map(|(slot, _)| slot)
}

/// Whether the packet can have reached the event's tap on that path: a packet leaves a pod
/// only if it began there or has entered it. Otherwise it is an equal packet of another
/// pod, such as an announcement of an address that has changed hands.
pub(super) fn can_come_from(path: &Path, event: &Event, world: &World) -> bool {
    let Some(point) = world.tap_points.get(event.interface) else {
        return true;
    };
    let was_in = |netns: u64| path.hops.iter().any(|hop| is_in(hop, netns, world));
    match (point.role, event.direction) {
        (Role::Pod, Direction::Egress) => was_in(point.netns_id),
        (Role::Veth, Direction::Ingress) => match point.leads_to {
            Some(netns) => was_in(netns),
            // Not known yet, or not a pod's: a packet that comes in by it was just sent.
            None => path
                .hops
                .last()
                .is_some_and(|last| last.direction == Direction::Egress),
        },
        // A packet at another node has left this one before, whatever the clocks say.
        (Role::Uplink, Direction::Egress) => {
            let last = path.hops.last();
            let last = last.and_then(|hop| world.tap_points.get(hop.interface));
            last.is_none_or(|last| last.node == point.node)
        }
        _ => true,
    }
}

/// Whether the hop is in a pod's namespace, or enters it.
fn is_in(hop: &Hop, netns: u64, world: &World) -> bool {
    let enters =
        |point: &TapPoint| hop.direction == Direction::Egress && point.leads_to == Some(netns);
    let point = world.tap_points.get(hop.interface);
    point.is_some_and(|point| point.pod_netns() == Some(netns) || enters(point))
}
