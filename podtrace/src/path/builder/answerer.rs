//! Who may have sent an answer about a packet.
use podtrace_ebpf::record::Direction;

use super::join::is_in;
use crate::{model::tap_point::Role, path::Path, world::World};

/// The tap that has seen an answer first.
pub(super) type Tap = (u32, Direction);

/// Whether an answer that this tap has seen first may come from where the path's packet went.
pub(super) fn comes_from(path: &Path, (interface, direction): Tap, world: &World) -> bool {
    let Some((point, hop)) = world.tap_points.get(interface).zip(path.hops.last()) else {
        return false;
    };
    let last = world.tap_points.get(hop.interface);
    match (point.role, direction) {
        (Role::Capture, _) => last.is_some_and(|last| last.role == Role::Capture),
        (Role::Veth, Direction::Ingress) if point.leads_to.is_some() => {
            point.leads_to.is_some_and(|netns| is_in(hop, netns, world))
        }
        (_, Direction::Egress) if point.in_pod => is_in(hop, point.netns_id, world),
        // The node itself has sent it.
        (_, Direction::Egress) => last.is_some_and(|last| last.netns() == point.netns()),
        // It came in from where the packet went out.
        (_, Direction::Ingress) => path.hops.iter().any(|hop| {
            let at = world.tap_points.get(hop.interface);
            hop.direction == Direction::Egress && at.is_some_and(|at| at.netns() == point.netns())
        }),
        (_, Direction::Socket | Direction::Unknown) => false,
    }
}
