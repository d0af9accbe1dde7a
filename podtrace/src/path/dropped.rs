//! Packets that a kernel says it has dropped.
use super::{Outcome, Path};
use crate::{
    model::{drop::KernelDrop, tap_point::TapPoint},
    packet::Ends,
    world::World,
};

/// What a kernel says of a packet that it has dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its words, without the packet's bytes.
    pub by: KernelDrop,
    /// How many hops the packet had by then.
    pub hops: usize,
    /// Its ends, if they were translated since its last hop.
    pub translated: Option<Ends>,
}

impl Dropped {
    /// Its size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let names = [&self.by.reason, &self.by.function];
        let names = names.into_iter().flatten().map(String::capacity);
        let rule = self.by.rule.as_ref().map_or(0, |rule| rule.bytes());
        size_of::<Self>() + names.sum::<usize>() + rule
    }

    /// The device that the packet was at, if it is known. It may be the next one on its way
    /// already.
    #[must_use]
    pub fn device<'a>(&self, world: &'a World) -> Option<&'a TapPoint> {
        world.tap_points.at(self.by.netns, self.by.ifindex)
    }
}

impl Path {
    /// What a kernel says of dropping it.
    pub(crate) fn kernel_drop(&self) -> Option<&KernelDrop> {
        self.dropped.as_deref().map(|dropped| &dropped.by)
    }

    /// Whether a kernel has dropped it where it was seen last.
    pub(super) fn is_dropped(&self) -> bool {
        let dropped = self.dropped.as_deref();
        dropped.is_some_and(|dropped| dropped.hops == self.hops.len())
    }

    /// Whether a kernel has dropped it where it arrived, before a socket could take it.
    pub(super) fn is_dropped_on_arrival(&self) -> bool {
        let dropped = self.dropped.as_deref();
        self.is_dropped() && dropped.is_some_and(|dropped| self.is_refused_arrival(&dropped.by))
    }

    /// Whether a drop where it arrived keeps it from who it was for: before a socket could take it,
    /// or by the socket itself.
    pub(super) fn is_refused_arrival(&self, drop: &KernelDrop) -> bool {
        // A reset says more, which follows where nobody listens.
        let is_unheard = self.refusal.is_none() && drop.is_without_listener(&self.packet);
        is_unheard
            || drop.is_by_receiver(&self.packet)
            || !self.is_taken() && !drop.is_by_transport()
    }

    /// Forgets a drop that its further way has contradicted: that was of a copy. `outcome`: its
    /// own.
    pub(super) fn forget_drop(&mut self, outcome: Outcome) {
        let is_it = self.is_dropped() && matches!(outcome, Outcome::Dropped | Outcome::Refused);
        if !is_it {
            self.dropped = None;
        }
    }
}
