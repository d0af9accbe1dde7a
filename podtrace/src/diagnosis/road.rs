//! The road of a packet: the taps that saw it, and those that should have.
use podtrace_ebpf::record::Direction;

use super::report::{EXPECTED, LAST, SEEN, Stop};
use crate::{
    path::{Path, flood::Copies},
    verdict::{Tap, onward},
    world::World,
};

/// The stops of a path, and if it `died` those that the nodes' tables lead to from there.
pub(super) fn road(path: &Path, died: bool, world: &World) -> Vec<Stop> {
    let mut stops: Vec<_> = taps(path, world)
        .iter()
        .map(|tap| Stop::new(SEEN, tap))
        .collect();
    if died {
        if let Some(last) = stops.last_mut() {
            last.mark = LAST;
        }
        let rest = onward(path, world);
        stops.extend(rest.iter().map(|tap| Stop::new(EXPECTED, tap)));
    }
    stops
}

/// The taps that saw it on its way, copies for others and sockets not counted.
fn taps(path: &Path, world: &World) -> Vec<Tap> {
    let copies = Copies::of(path, world);
    let hops = path.hops.iter().enumerate().filter(|(number, hop)| {
        !hop.aside && !copies.has(*number) && hop.direction != Direction::Socket
    });
    hops.filter_map(|(_, hop)| {
        let point = world.tap_points.get(hop.interface)?;
        Some(Tap::of(hop, point, world))
    })
    .collect()
}
