//! Joins by the key that a packet has at every interface.
use std::iter;

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::{
    EQUAL_MAX, Join, Joined, LATE_EQUAL_MAX, Observation,
    crossing::may_cross,
    index::{HashedIndex, List, Slot},
    known::Known,
    passed::Passed,
};
use crate::{
    model::tap_point::{Role, TapPoint},
    path::{
        Hop, Path,
        builder::{
            open::{Open, OpenPaths},
            transition::has_one_receiver,
        },
    },
    world::World,
};

/// So many equal packets are looked at one by one.
const FEW: usize = 3;

/// The open paths, by the hash of their key.
#[derive(Default)]
pub(super) struct ByKey {
    index: HashedIndex<u64>,
    passed: Passed,
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

    /// The path whose packet the tap sees again, unless equal ones are under way.
    pub(super) fn circling(
        &self,
        seen: &Observation<'_>,
        open: &OpenPaths,
        world: &World,
    ) -> Option<Slot> {
        let slot = self.index.only(&seen.hash)?;
        open.get(slot)
            .is_some_and(|open| circles(open, seen, world))
            .then_some(slot)
    }

    /// Marks all packets that are equal to that of a path as ambiguous if one of them waits
    /// where it does, and was not reported either: nothing shows which of them goes on.
    pub(super) fn mark_indistinguishable(&self, slot: Slot, open: &mut OpenPaths) {
        let Some(path) = open.get(slot) else {
            return;
        };
        let is_like = |other: &Open| {
            !other.late && !other.arrived && other.key == path.key && is_at_one_place(other, path)
        };
        let mut others = self.index.get(&path.hash).filter(|other| *other != slot);
        if others.any(|other| open.get(other).is_some_and(is_like)) {
            let list = self.index.list(&path.hash).unwrap_or_default();
            self.mark_ambiguous(list, open);
        }
    }

    /// Marks all packets of a key as ambiguous: each may be another one. New ones follow the
    /// marked ones, so the search stops at the first that was marked here.
    fn mark_ambiguous(&self, list: List, open: &mut OpenPaths) {
        for slot in self.index.newest_first(list) {
            match open.get_mut(slot) {
                Some(open) if !open.has_equals => {
                    open.has_equals = true;
                    open.path.ambiguous = true;
                }
                _ => break,
            }
        }
    }
}

impl ByKey {
    /// The path that the event continues, if it is in time; else those that may have its key.
    #[inline(always)]
    pub(super) fn find_in_time(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
    ) -> Result<Slot, Option<List>> {
        let list = self.index.list(&seen.hash).ok_or(None)?;
        let equal = self.equal_to(seen, list, open, world);
        let chosen = equal.choose().ok_or(Some(list))?;
        Ok(self.chosen(chosen, list, open))
    }

    /// Of those that may have its key, the path that the event continues if none is in time: it
    /// was slow, or another socket has got its packet.
    #[inline(never)]
    pub(super) fn find_slow(
        &self,
        seen: &Observation<'_>,
        list: List,
        open: &mut OpenPaths,
        world: &World,
    ) -> Option<Joined> {
        let equal = self.equal_to(seen, list, open, world);
        let slow = equal
            .has_slow()
            .then(|| choose_slow(equal.slow()))
            .flatten();
        let chosen = slow.or_else(|| Some((equal.another_socket()?, false)))?;
        Some(Joined::One(self.chosen(chosen, list, open)))
    }

    #[inline(always)]
    fn equal_to<'a>(
        &'a self,
        seen: &'a Observation<'a>,
        list: List,
        open: &'a OpenPaths,
        world: &'a World,
    ) -> Equal<'a> {
        Equal {
            index: &self.index,
            passed: &self.passed,
            list,
            open,
            seen,
            world,
        }
    }

    /// The chosen path of a list; all of it are ambiguous if that is one of several.
    #[inline(always)]
    fn chosen(
        &self,
        (chosen, is_one_of_several): (Slot, bool),
        list: List,
        open: &mut OpenPaths,
    ) -> Slot {
        if is_one_of_several {
            self.mark_ambiguous(list, open);
        }
        chosen
    }
}

impl Join for ByKey {
    fn find(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
        _: &Known,
    ) -> Option<Joined> {
        match self.find_in_time(seen, open, world) {
            Ok(slot) => Some(Joined::One(slot)),
            Err(list) => self.find_slow(seen, list?, open, world),
        }
    }

    #[inline]
    fn insert(&mut self, slot: Slot, open: &mut OpenPaths, _: &Known) -> Option<Slot> {
        let hash = open.get(slot)?.hash;
        if self.index.push(hash, slot) <= EQUAL_MAX {
            return None;
        }
        let is_late = |other: &Slot| open.get(*other).is_some_and(|open| open.late);
        let mut oldest = self.index.get(&hash).take(LATE_EQUAL_MAX);
        if let Some(late) = oldest.find(is_late) {
            return Some(late);
        }
        // Events of the oldest path will be assigned to others.
        let list = self.index.list(&hash)?;
        self.mark_ambiguous(list, open);
        list.first()
    }

    #[inline]
    fn remove(&mut self, slot: Slot, open: &Open) {
        self.index.remove(&open.hash, slot);
    }
}

/// The open paths that may have the key of an event, in order of age.
struct Equal<'a> {
    index: &'a HashedIndex<u64>,
    passed: &'a Passed,
    list: List,
    open: &'a OpenPaths,
    seen: &'a Observation<'a>,
    world: &'a World,
}

impl<'a> Equal<'a> {
    /// Chooses the path that the event continues, of those in time; and whether others are
    /// possible.
    ///
    /// Equal packets arrive in the order in which they left, so it is the oldest. But a path
    /// that was silent for long is more likely lost than late if another was just seen; and so is
    /// one that was refused.
    #[inline(always)]
    fn choose(&self) -> Option<(Slot, bool)> {
        let event = self.seen.event;
        let oldest = self.next_fitting(self.first_to_come())?;
        let after = |(slot, _): &(Slot, &Open)| self.next_fitting(Some(self.index.after(*slot)?));
        let Some(second) = after(&oldest) else {
            let is_like = |(_, other): (Slot, &Open)| is_at_one_place(other, oldest.1);
            let others = !oldest.1.is_fresh(event) && self.has_slow() && self.slow().any(is_like);
            return Some((oldest.0, others));
        };
        let mut fitting = iter::once(oldest).chain(iter::successors(Some(second), after));
        let likely = fitting.find(|(_, open)| open.is_fresh(event) && !open.is_stopped());
        Some((likely.unwrap_or(oldest).0, true))
    }

    /// The first path whose packet the tap may not have seen.
    #[inline(always)]
    fn first_to_come(&self) -> Option<Slot> {
        match self.list.len() <= FEW {
            true => self.list.first(),
            false => self.first_behind_many(),
        }
    }

    /// The same in a flood, of which the tap has seen many.
    #[inline(never)]
    fn first_behind_many(&self) -> Option<Slot> {
        let mut last = self.passed.last(self.seen, self.open);
        debug_assert!(last.is_none_or(|last| self.has_passed_until(last)));
        loop {
            let next = match last {
                Some(slot) => self.index.after(slot),
                None => self.list.first(),
            };
            let open = next.and_then(|slot| self.open.get(slot));
            if !open.is_some_and(|open| open.has_passed(self.seen.event)) {
                if let Some(last) = last {
                    self.passed.note(self.seen, last, self.open);
                }
                return next;
            }
            last = next;
        }
    }

    fn has_passed_until(&self, last: Slot) -> bool {
        let mut before = self.all().take_while(|(slot, _)| *slot != last);
        before.all(|(_, open)| open.has_passed(self.seen.event))
    }

    /// The first path from this slot on that the event continues if no older one does.
    #[inline(never)]
    fn next_fitting(&self, mut from: Option<Slot>) -> Option<(Slot, &'a Open)> {
        while let Some(slot) = from {
            // Most equal packets have passed already, so this check comes first.
            if let Some(open) = self.open.get(slot)
                && !open.has_passed(self.seen.event)
                && !open.late
                && self.is_meant(open)
            {
                return Some((slot, open));
            }
            from = self.index.after(slot);
        }
        None
    }

    fn is_meant(&self, open: &Open) -> bool {
        let Observation { event, key, .. } = self.seen;
        open.key == *key && !open.is_over(event.ts_ns, self.seen.timeout_ns) && self.can_come(open)
    }

    fn can_come(&self, open: &Open) -> bool {
        can_come_from(&open.path, self.seen, self.world)
    }

    /// Whether any path is slow. Mostly none is, and a flood need not be searched for one.
    fn has_slow(&self) -> bool {
        let Observation {
            event, timeout_ns, ..
        } = self.seen;
        self.open.has_slow(event.ts_ns, *timeout_ns)
    }

    fn all(&self) -> impl Iterator<Item = (Slot, &'a Open)> + Clone {
        let slots = iter::successors(self.list.first(), |slot| self.index.after(*slot));
        slots.filter_map(|slot| Some((slot, self.open.get(slot)?)))
    }

    /// Those of packets that are slow if they go on now.
    fn slow(&self) -> impl Iterator<Item = (Slot, &'a Open)> + Clone {
        let Observation {
            event,
            key,
            timeout_ns,
            ..
        } = self.seen;
        self.all().filter(|(_, open)| {
            open.key == *key
                && !open.has_passed(event)
                && open.is_slow(event.ts_ns, *timeout_ns)
                && self.can_come(open)
        })
    }

    /// The newest path whose packet other sockets have received: each socket receives a copy.
    fn another_socket(&self) -> Option<Slot> {
        let event = self.seen.event;
        if event.direction != Direction::Socket {
            return None;
        }
        // By its first hop: a socket does not see that a frame was for all.
        let passed = self.all().filter(|(_, open)| {
            !has_one_receiver(&open.path.packet) && self.is_meant(open) && open.has_passed(event)
        });
        passed.last().map(|(slot, _)| slot)
    }
}

/// Whether the event's tap sees the path's packet again: a router has sent it back, with a
/// lower TTL, or bridges send it round. An equal packet that is new shows where it begins.
fn circles(open: &Open, seen: &Observation<'_>, world: &World) -> bool {
    let (event, hops) = (seen.event, &open.path.hops);
    let is_known = !open.late || open.path.circle.is_some();
    if open.key != seen.key || !is_known || open.is_over(event.ts_ns, seen.timeout_ns) {
        return false;
    }
    let (Some(before), Some(first), Some(last)) = (
        hops.iter().rfind(|hop| hop.is_at(event)),
        hops.first(),
        hops.last(),
    ) else {
        return false;
    };
    let is_tap = matches!(event.direction, Direction::Ingress | Direction::Egress);
    let point = world.tap_points.get(event.interface);
    let Some(point) = point.filter(|point| is_tap && point.role != Role::Capture) else {
        return false;
    };
    let is_first = first.is_at(event);
    if is_first && (point.in_pod || event.cgroup != CGROUP_NONE) {
        return false;
    }
    let ttl = Hop::ttl_of(&event.packet);
    if ttl < before.ttl {
        return ttl <= last.ttl && !open.arrived;
    }
    let node = |hop: &Hop| world.tap_points.get(hop.interface).map(|point| point.node);
    let is_here = || hops.iter().all(|hop| node(hop) == Some(point.node));
    let may_go_on = !open.arrived || event.packet.is_for_group();
    ttl == before.ttl
        && !is_first
        && may_go_on
        && is_here()
        && can_come_from(&open.path, seen, world)
}

/// Chooses the path that a slow packet continues, and whether others are possible: the oldest
/// of those that came furthest, as another would have to be seen there first.
fn choose_slow<'a>(slow: impl Iterator<Item = (Slot, &'a Open)> + Clone) -> Option<(Slot, bool)> {
    let hops = slow.clone().map(|(_, open)| open.path.hops.len()).max()?;
    let mut furthest = slow.filter(|(_, open)| open.path.hops.len() == hops);
    let (oldest, _) = furthest.next()?;
    Some((oldest, furthest.next().is_some()))
}

/// Whether two packets were seen last by the same tap.
fn is_at_one_place(one: &Open, other: &Open) -> bool {
    let place = |open: &Open| {
        let last = open.path.hops.last();
        last.map(|hop| (hop.interface, hop.direction))
    };
    place(one) == place(other)
}

/// Whether the packet can have reached the event's tap on that path: a packet leaves a pod
/// only if it began there or has entered it. Otherwise it is an equal packet of another
/// pod, such as an announcement of an address that has changed hands. Nor does it cross to
/// another clock anywhere but at an uplink.
#[inline]
pub(in crate::path::builder) fn can_come_from(
    path: &Path,
    seen: &Observation<'_>,
    world: &World,
) -> bool {
    if !may_cross(path, seen, world) {
        return false;
    }
    let event = seen.event;
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

/// The same of a part of the packet. Where others of its parts were seen, this one can come, too,
/// whatever the first have reached meanwhile.
#[inline]
pub(super) fn part_can_come_from(path: &Path, seen: &Observation<'_>, world: &World) -> bool {
    can_come_from(path, seen, world) || path.hops.iter().any(|hop| hop.is_at(seen.event))
}

/// Whether the hop is in a pod's namespace, or enters it.
pub(in crate::path::builder) fn is_in(hop: &Hop, netns: u64, world: &World) -> bool {
    let enters =
        |point: &TapPoint| hop.direction == Direction::Egress && point.leads_to == Some(netns);
    let point = world.tap_points.get(hop.interface);
    point.is_some_and(|point| point.pod_netns() == Some(netns) || enters(point))
}
