//! Who received a packet, in words.
use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use podtrace_ebpf::record::Direction;

use super::{micros, remarks::clock_remarks};
use crate::{
    model::tap_point::TapPoint,
    path::{Hop, Outcome, Path},
    world::World,
};

/// `delivered to 3 pods in 20.1 µs`
pub(super) fn delivered(out: &mut String, path: &Path, world: &World) {
    let receivers = receivers(path, world);
    out.push_str("delivered");
    if receivers > 1 {
        let _ = write!(out, " to {receivers} pods");
    }
    if path.hops.len() > 1 {
        out.push_str(" in ");
        micros(out, path.duration_ns());
    }
    clock_remarks(out, path, world);
}

/// `no receiver: reached 3 pods, no container's socket took it`
/// `unknown: reached worker1, no socket was seen to take it`
pub(super) fn untaken(out: &mut String, path: &Path, world: &World) {
    let is_known = path.outcome == Outcome::NoReceiver;
    out.push_str(if is_known {
        "no receiver: reached "
    } else {
        "unknown: reached "
    });
    match reached_pods(path, world)[..] {
        [] => reached(out, path, world),
        [pod] => out.push_str(&owner(world.tap_points.get(pod), world)),
        ref pods => drop(write!(out, "{} pods", pods.len())),
    }
    out.push_str(if is_known {
        ", no container's socket took it"
    } else {
        ", no socket was seen to take it"
    });
    clock_remarks(out, path, world);
}

/// The pod or the node that the packet reached.
pub(super) fn reached(out: &mut String, path: &Path, world: &World) {
    out.push_str(&owner(path.last_point(world), world));
}

fn owner(point: Option<&TapPoint>, world: &World) -> Arc<str> {
    point.map_or_else(|| "the pod".into(), |point| world.owner_of(point))
}

/// How many pods received the packet: of a datagram, those whose sockets did, if that was seen.
fn receivers(path: &Path, world: &World) -> usize {
    let takers: BTreeSet<_> = path.sockets().map(|hop| hop.interface).collect();
    match takers.is_empty() {
        true => reached_pods(path, world).len(),
        false => takers.len(),
    }
}

/// The interfaces of pods that the packet has come in by.
fn reached_pods(path: &Path, world: &World) -> Vec<u32> {
    let is_pods = |interface: &u32| {
        let point = world.tap_points.get(*interface);
        point.is_some_and(|point| point.in_pod)
    };
    let hops = path.hops.iter().enumerate();
    let hops = hops.filter(|(number, hop)| {
        hop.direction == Direction::Ingress && !hop.aside && !goes_on(path, *number, world)
    });
    hops.map(|(_, hop)| hop.interface).filter(is_pods).collect()
}

/// Whether who has got the packet at a hop has sent it on: a router is no receiver.
fn goes_on(path: &Path, number: usize, world: &World) -> bool {
    let netns = |hop: &Hop| Some(world.tap_points.get(hop.interface)?.netns_id);
    let here = path.hops.get(number).and_then(netns);
    let mut later = path.hops.iter().skip(number + 1);
    later.any(|hop| hop.direction == Direction::Egress && !hop.aside && netns(hop) == here)
}

#[cfg(test)]
mod tests {
    use podtrace_ebpf::record::Direction::{Egress, Ingress};

    use super::*;
    use crate::{
        path::builder::tests,
        world::fixture::{POD1, POD2, VETH1, VETH2, world},
    };

    /// Of a packet for many, each pod that keeps it is one.
    #[test]
    fn pod_that_sends_a_packet_on_is_no_receiver() {
        let through = [(POD2, Ingress), (POD2, Egress), (VETH2, Ingress)];
        let to_first = [(VETH1, Egress), (POD1, Ingress)];
        let to_second = [(VETH2, Egress), (POD2, Ingress)];
        for (hops, pods) in [
            ([&through[..], &to_first].concat(), vec![POD1]),
            ([&to_first[..], &to_second].concat(), vec![POD1, POD2]),
        ] {
            let mut path = tests::path(1);
            let one = path.hops[0].clone();
            let hops = hops.into_iter().map(|(interface, direction)| Hop {
                interface,
                direction,
                ..one.clone()
            });
            path.hops = hops.collect();
            assert_eq!(reached_pods(&path, &world()), pods);
        }
    }
}
