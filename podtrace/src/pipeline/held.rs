//! Events and paths that wait for a name.
//!
//! A pod's first packets are seen before its runtime tells of it. What shows
//! such a pod waits a little, and only that: the rest goes on.
use std::collections::VecDeque;

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use crate::{
    event::Event,
    identity::directory::NAME_WAIT_NS,
    path::{
        Hop, Path,
        builder::World,
        ends::{End, Who, ends},
    },
};

/// Items that wait at most; beyond it the oldest goes without its name.
const HELD_MAX: usize = 16_384;

/// What can wait.
pub(super) enum Item {
    /// An event, with the number of its packet.
    Event(Box<Event>, u64),
    /// A path that has ended.
    Path(Box<Path>),
}

/// What waits, in order.
#[derive(Default)]
pub(super) struct Held {
    items: VecDeque<Item>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds an item; returns the one that has no room any more.
    pub(super) fn push(&mut self, item: Item) -> Option<Item> {
        self.items.push_back(item);
        (self.items.len() > HELD_MAX)
            .then(|| self.items.pop_front())
            .flatten()
    }

    /// Takes the items that have nothing to wait for any more, in order.
    pub(super) fn release(&mut self, world: &World, now_ns: u64) -> Vec<Item> {
        let (waiting, free): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.items)
            .into_iter()
            .partition(|item| match item {
                Item::Event(event, _) => event_waits(event, world, now_ns),
                Item::Path(path) => path_waits(path, world, now_ns),
            });
        self.items = waiting;
        free.into()
    }

    /// Takes everything.
    pub(super) fn take_all(&mut self) -> VecDeque<Item> {
        std::mem::take(&mut self.items)
    }
}

/// Whether a name in the event may come yet.
pub(super) fn event_waits(event: &Event, world: &World, now_ns: u64) -> bool {
    world.directory.is_waiting(now_ns) && hop_waits(&Hop::of(event), world, now_ns)
}

/// Whether a name in the path may come yet.
pub(super) fn path_waits(path: &Path, world: &World, now_ns: u64) -> bool {
    if !world.directory.is_waiting(now_ns) {
        return false;
    }
    let mut hops = path.hops.iter();
    hops.any(|hop| hop_waits(hop, world, now_ns)) || ends_wait(path, world, now_ns)
}

fn hop_waits(hop: &Hop, world: &World, now_ns: u64) -> bool {
    let Some(place) = world.places.get(hop.interface) else {
        return false;
    };
    let shows_socket =
        hop.cgroup != CGROUP_NONE && (place.in_pod || hop.direction == Direction::Socket);
    place
        .pod_netns()
        .is_some_and(|netns| world.directory.awaits_pod(netns, now_ns))
        || shows_socket && world.directory.awaits_socket(hop.cgroup, now_ns)
}

/// Whether an end of the path is a new pod whose addresses are not known yet,
/// or one whose address may just have changed hands.
fn ends_wait(path: &Path, world: &World, now_ns: u64) -> bool {
    let (from, to) = ends(path, world);
    [(from, path.hops.first()), (to, path.hops.last())]
        .iter()
        .filter_map(|(end, hop)| Some((end, (*hop)?)))
        .any(|(end, hop)| end_waits(end, hop, world, now_ns))
}

/// `hop`: the one nearest to the end.
fn end_waits(end: &End, hop: &Hop, world: &World, now_ns: u64) -> bool {
    let (Who::Unknown, Some(address)) = (&end.who, end.address) else {
        return false;
    };
    if world.directory.is_in_doubt(address, hop.ts_ns) {
        return now_ns.saturating_sub(hop.ts_ns) < NAME_WAIT_NS;
    }
    let place = world.places.get(hop.interface);
    let netns = place.and_then(|place| place.pod_netns().or(place.leads_to));
    !address.is_multicast() && netns.is_some_and(|netns| world.directory.is_new(netns, now_ns))
}
