//! Who may have sent an answer about a packet.
use std::net::IpAddr;

use podtrace_ebpf::record::Direction;

use super::join::is_in;
use crate::{
    model::{
        event::Event,
        tap_point::{Role, TapPoint},
    },
    packet::{Payload, Tunnel},
    path::{Hop, Path},
    world::World,
};

/// Source, destination and identification of a tunnel's packet.
type Outer = (IpAddr, IpAddr, u32);

fn outer(tunnel: &Tunnel) -> Outer {
    (tunnel.source, tunnel.destination, tunnel.id)
}

/// An answer, as the tap shows it that has seen it first.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    /// That tap.
    pub(super) tap: (u32, Direction),
    /// When that was, in nanoseconds.
    pub(super) ts_ns: u64,
    /// The sender of the tunnel's packet that it was in.
    carrier: Option<IpAddr>,
    /// The tunnel's packet that it quotes, with what that carries.
    quoted: Option<Outer>,
    to: Option<IpAddr>,
    /// Whether somebody answers that the packet was not for.
    is_routers: bool,
}

impl Answer {
    /// An answer by its path, which may have no hop yet but the event's.
    pub(super) fn of(path: &Path, event: &Event) -> Self {
        let first = path.hops.first();
        let quote = path.payload.as_deref().and_then(Payload::quote);
        let tunnel = match first {
            Some(hop) => hop.tunnel.as_deref(),
            None => event.packet.tunnel.as_ref(),
        };
        Self {
            tap: first.map_or((event.interface, event.direction), |hop| {
                (hop.interface, hop.direction)
            }),
            ts_ns: first.map_or(event.ts_ns, |hop| hop.ts_ns),
            carrier: tunnel.map(|tunnel| tunnel.source),
            quoted: quote.and_then(|quote| quote.packet.tunnel.as_ref().map(outer)),
            to: path.packet.destination(),
            is_routers: quote
                .is_some_and(|quote| quote.packet.destination() != path.packet.source()),
        }
    }

    /// Whether it may come from where the path's packet went.
    pub(super) fn comes_from(&self, path: &Path, world: &World) -> bool {
        let (interface, direction) = self.tap;
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
            (_, Direction::Ingress) => exit(path, point, world)
                .is_some_and(|exit| point.role != Role::Uplink || self.is_back(exit, path, world)),
            (_, Direction::Socket | Direction::Unknown) => false,
        }
    }

    /// Whether it has come in by an uplink in the way that answers to this packet do, which has
    /// left at a hop. Nobody between the ends of a tunnel sees what is inside: who answers there
    /// quotes the tunnel's packet, and what the far end answers comes by the tunnel. Only a node
    /// that sends from its own address gets the answer without it.
    fn is_back(&self, exit: &Hop, path: &Path, world: &World) -> bool {
        let destination = || path.ends().map(|ends| ends.destination);
        match (exit.tunnel.as_deref(), self.carrier, self.quoted) {
            (None, None, _) => true,
            (None, Some(back), _) => destination().is_some_and(|to| {
                // A node may be a router to what is outside.
                let is_outside = || world.identities.likely_holder_at(to, self.ts_ns).is_none();
                self.is_routers && is_outside() || is_of_node(back, to, self.ts_ns, world)
            }),
            (Some(there), Some(back), _) => is_of_node(back, there.destination, self.ts_ns, world),
            (Some(there), None, Some(quoted)) => outer(there) == quoted,
            (Some(there), None, None) => self.to == Some(there.source),
        }
    }
}

/// The last hop by which a packet has left the namespace of a tap: by a way out, if that is one.
fn exit<'a>(path: &'a Path, point: &TapPoint, world: &World) -> Option<&'a Hop> {
    let leads_out = |role| matches!(role, Role::Uplink | Role::Vxlan | Role::Other);
    path.hops.iter().rfind(|hop| {
        let at = world.tap_points.get(hop.interface);
        hop.direction == Direction::Egress
            && at.is_some_and(|at| {
                at.netns() == point.netns() && (leads_out(at.role) || !leads_out(point.role))
            })
    })
}

/// Whether an address is of the node that has another, or is the far end of the tunnel to it.
fn is_of_node(address: IpAddr, other: IpAddr, ts_ns: u64, world: &World) -> bool {
    let identities = &world.identities;
    let node = |address| {
        identities
            .likely_holder_at(address, ts_ns)
            .map(|at| at.node)
    };
    address == other
        || identities.vtep_of(other) == Some(address)
        || node(address).is_some_and(|at| node(other) == Some(at))
}
