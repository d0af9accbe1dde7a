//! The packets by which clocks are compared: those that leave a node, or enter it.
use std::collections::HashSet;

use podtrace_ebpf::record::Direction;

use crate::{
    clock::nodes::Side,
    model::{event::Event, tap_point::Role},
    session::reader::Item,
    update::Update,
};

/// The uplinks of a session, by their numbers in it.
#[derive(Debug, Default)]
pub(super) struct Uplinks(HashSet<u32>);

impl Uplinks {
    /// Takes note of an uplink.
    pub(super) fn note(&mut self, item: &Item) {
        if let Item::Update(_, Update::TapPoint { number, point }) = item
            && point.role == Role::Uplink
        {
            self.0.insert(*number);
        }
    }

    /// Whether there are none so far.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the packet left its node there, or entered it; none elsewhere.
    pub(super) fn side(&self, event: &Event) -> Option<Side> {
        match event.direction {
            _ if !self.0.contains(&event.interface) => None,
            Direction::Egress => Some(Side::Left),
            Direction::Ingress => Some(Side::Entered),
            Direction::Socket | Direction::Unknown => None,
        }
    }
}
