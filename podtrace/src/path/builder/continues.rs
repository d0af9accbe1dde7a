//! Which of the paths under way an event continues.
use podtrace_ebpf::record::Direction;

use super::{SETTLE_NS, lists::Slot, open::Open, step::has_one_receiver};
use crate::{
    model::{
        event::Event,
        place::{Place, Role},
    },
    path::{Hop, Path},
    world::World,
};

/// The path, of those that may have the event's key in order of age, that the event
/// continues, and whether others might be meant. `is_meant`: whether one has the key
/// and is not over.
///
/// Equal packets arrive in the order in which they left, so it is the oldest;
/// but one that was silent for long is rather lost than late when there is one
/// just seen.
pub(super) fn choose<'a>(
    paths: impl Iterator<Item = (Slot, &'a Open)> + Clone,
    is_meant: impl Fn(&Open) -> bool,
    event: &Event,
    world: &World,
) -> Option<(Slot, bool)> {
    // Most of equal packets have passed: this is asked first.
    let fits = |(_, open): &(Slot, &Open)| {
        !has_passed(&open.path, event) && is_meant(open) && can_come_from(&open.path, event, world)
    };
    let is_fresh = |(_, open): &(Slot, &Open)| {
        let last = open.path.hops.last();
        last.is_some_and(|last| event.ts_ns.saturating_sub(last.ts_ns) <= SETTLE_NS)
    };
    let mut fitting = paths.clone().filter(fits);
    let Some(oldest) = fitting.next() else {
        let meant = paths.filter(|(_, open)| is_meant(open));
        return another_socket(meant, event).map(|slot| (slot, false));
    };
    let Some(second) = fitting.next() else {
        return Some((oldest.0, false));
    };
    let fresh = [oldest, second].into_iter().chain(fitting).find(is_fresh);
    Some((fresh.unwrap_or(oldest).0, true))
}

fn is_at(hop: &Hop, event: &Event) -> bool {
    hop.interface == event.interface && hop.direction == event.direction
}

fn has_passed(path: &Path, event: &Event) -> bool {
    path.hops.iter().any(|hop| is_at(hop, event))
}

/// The newest path whose packet other sockets have got: each gets a copy.
fn another_socket<'a>(
    paths: impl Iterator<Item = (Slot, &'a Open)>,
    event: &Event,
) -> Option<Slot> {
    if event.direction != Direction::Socket || has_one_receiver(&event.packet) {
        return None;
    }
    let passed = paths.filter(|(_, open)| has_passed(&open.path, event));
    passed.last().map(|(slot, _)| slot)
}

/// Whether the packet can have come to the event's tap on that path: a packet
/// leaves a pod only if it began there or has entered it. Else it is an equal
/// packet of another pod, such as an announcement of an address that has
/// changed hands.
fn can_come_from(path: &Path, event: &Event, world: &World) -> bool {
    let Some(place) = world.places.get(event.interface) else {
        return true;
    };
    let was_in = |netns: u64| path.hops.iter().any(|hop| is_in(hop, netns, world));
    match (place.role, event.direction) {
        (Role::Pod, Direction::Egress) => was_in(place.netns_id),
        (Role::Veth, Direction::Ingress) => match place.leads_to {
            Some(netns) => was_in(netns),
            // Not known yet, or no pod's: what comes in by it was just sent.
            None => path
                .hops
                .last()
                .is_some_and(|last| last.direction == Direction::Egress),
        },
        // What has come to another node has left this one before, whatever
        // the clocks say.
        (Role::Uplink, Direction::Egress) => {
            let last = path.hops.last();
            let last = last.and_then(|hop| world.places.get(hop.interface));
            last.is_none_or(|last| last.node == place.node)
        }
        _ => true,
    }
}

/// Whether the hop is in a pod's namespace, or enters it.
fn is_in(hop: &Hop, netns: u64, world: &World) -> bool {
    let enters =
        |place: &Place| hop.direction == Direction::Egress && place.leads_to == Some(netns);
    let place = world.places.get(hop.interface);
    place.is_some_and(|place| place.pod_netns() == Some(netns) || enters(place))
}
