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
        ends::{Who, ends},
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
    world.directory.is_waiting(now_ns)
        && hop_waits(
            event.interface,
            event.direction,
            event.cgroup,
            world,
            now_ns,
        )
}

/// Whether a name in the path may come yet.
pub(super) fn path_waits(path: &Path, world: &World, now_ns: u64) -> bool {
    if !world.directory.is_waiting(now_ns) {
        return false;
    }
    let waits = |hop: &Hop| hop_waits(hop.interface, hop.direction, hop.cgroup, world, now_ns);
    path.hops.iter().any(waits) || ends_wait(path, world, now_ns)
}

fn hop_waits(
    interface: u32,
    direction: Direction,
    cgroup: u64,
    world: &World,
    now_ns: u64,
) -> bool {
    let Some(place) = world.places.get(interface) else {
        return false;
    };
    let shows_socket = cgroup != CGROUP_NONE && (place.in_pod || direction == Direction::Socket);
    place
        .pod_netns()
        .is_some_and(|netns| world.directory.awaits_pod(netns, now_ns))
        || shows_socket && world.directory.awaits_socket(cgroup, now_ns)
}

/// Whether an end of the path is a new pod whose addresses are not known yet,
/// or one whose address may just have changed hands.
fn ends_wait(path: &Path, world: &World, now_ns: u64) -> bool {
    let (from, to) = ends(path, world);
    let hops = (path.hops.first(), path.hops.last());
    [(from, hops.0), (to, hops.1)].iter().any(|(end, hop)| {
        let ts_ns = hop.map_or(0, |hop| hop.ts_ns);
        let in_doubt = |address| world.directory.is_in_doubt(address, ts_ns);
        if end.address.is_some_and(in_doubt) && end.who == Who::Unknown {
            return now_ns.saturating_sub(ts_ns) < NAME_WAIT_NS;
        }
        let place = hop.and_then(|hop| world.places.get(hop.interface));
        let netns = place.and_then(|place| place.pod_netns().or(place.leads_to));
        end.who == Who::Unknown
            && end.address.is_some_and(|address| !address.is_multicast())
            && netns.is_some_and(|netns| world.directory.is_new(netns, now_ns))
    })
}
