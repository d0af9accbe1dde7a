//! Packets that go in a circle: one path, however often they come by.
use super::{Builder, join::index::Slot};
use crate::{
    model::event::Event,
    path::{Circle, Outcome},
    world::World,
};

/// How often a tap's hop is kept: with the second, the way round is seen.
const KEPT: usize = 2;
/// How often a packet comes by before its path ends: more often than any TTL allows, so it is
/// bridges that send it round, and they do not stop.
const TIMES_MAX: u32 = 256;

impl Builder {
    /// Whether a packet that comes by a tap again may be an equal one whose first hops were
    /// not seen: then its TTL tells nothing.
    pub(super) fn may_be_equal(&self, slot: Slot, event: &Event) -> bool {
        let Some(open) = self.open.get(slot) else {
            return true;
        };
        let (path, ttl) = (&open.path, crate::path::Hop::ttl_of(&event.packet));
        let before = path.hops.iter().rfind(|hop| hop.is_at(event));
        let first_ns = path.first_ns();
        before.is_none_or(|before| ttl >= before.ttl)
            && path.circle.is_none()
            && (self.is_partial
                || self.may_pass_unseen(first_ns, event.ts_ns)
                || self.losses.may_concern(first_ns, event.ts_ns))
    }

    /// Adds an event to a path that has its tap already; returns its number.
    pub(super) fn come_again(&mut self, slot: Slot, event: &Event, world: &World) -> u64 {
        let id = self.id(slot);
        let Some(open) = self.open.get_mut(slot) else {
            return id;
        };
        let path = &mut open.path;
        let first = path.hops.iter().position(|hop| hop.is_at(event));
        let hop = first.unwrap_or_default();
        let circle = path.circle.get_or_insert(Circle { hop, times: 1 });
        circle.times += u32::from(circle.hop == hop);
        let is_endless = circle.times == TIMES_MAX && circle.hop == hop;
        let kept = path.hops.iter().filter(|hop| hop.is_at(event)).count();
        let is_late = open.late;
        if kept < KEPT && !is_late {
            self.add_hop(slot, event, None, world);
        } else {
            self.open.change(slot, event.ts_ns, |_| {});
        }
        if is_endless && !is_late {
            self.report(slot, Outcome::Loop);
        }
        id
    }
}
