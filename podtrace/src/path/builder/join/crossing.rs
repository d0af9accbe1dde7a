//! Ways from one clock to another.
use podtrace_ebpf::record::Direction;

use super::Observation;
use crate::{
    model::tap_point::{Role, TapPoint},
    path::Path,
    world::World,
};

/// Whether the event can continue a path of hops by other clocks than its own: a packet goes
/// from uplink to uplink. What a corrected clock puts between two hops of another node was
/// not there.
#[inline]
pub(super) fn may_cross(path: &Path, seen: &Observation<'_>, world: &World) -> bool {
    world.clocks.is_empty() || may_cross_clocks(path, seen, world)
}

#[inline(never)]
fn may_cross_clocks(path: &Path, seen: &Observation<'_>, world: &World) -> bool {
    let hops = path.hops.iter().rev();
    let mut points = hops.filter_map(|hop| {
        let point = world.tap_points.get(hop.interface)?;
        Some((point, hop.direction))
    });
    let here = world.tap_points.get(seen.event.interface);
    let (Some((last, _)), Some(here)) = (points.clone().next(), here) else {
        return true;
    };
    let clock = |point: &TapPoint| world.clocks.get(&point.node).map(|(session, _)| *session);
    if clock(last) == clock(here) {
        return true;
    }
    let enters = is_wire(here, seen.event.direction, Direction::Ingress);
    // A bridge may send copies to other ports after the one that leaves.
    let leaves = || {
        let mut there = points
            .clone()
            .take_while(|(point, _)| clock(point) == clock(last));
        there.any(|(point, direction)| is_wire(point, direction, Direction::Egress))
    };
    if seen.may_skip_taps {
        enters || points.all(|(point, _)| clock(point) != clock(here))
    } else {
        enters && leaves()
    }
}

/// Whether the tap is where packets go from one node to another, or may be.
fn is_wire(point: &TapPoint, direction: Direction, way: Direction) -> bool {
    match point.role {
        Role::Uplink => direction == way,
        Role::Capture => true,
        _ => false,
    }
}
