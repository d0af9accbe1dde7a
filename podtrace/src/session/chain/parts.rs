//! The interfaces of a capture of another tool that is divided into several files.
use std::sync::Arc;

use crate::{
    map::Map,
    model::{event::Event, tap_point::TapPoint},
    session::reader::Item,
    update::Update,
};

/// Numbers the interfaces of all parts: an interface has one number in all of them.
#[derive(Default)]
pub(super) struct Parts {
    /// By the name of the interface, its index and its link layer.
    numbers: Map<(Arc<str>, u32, Option<u16>), u32>,
    /// By the number in the part being read.
    here: Map<u32, u32>,
}

impl Parts {
    /// Another part begins.
    pub(super) fn begin(&mut self) {
        self.here.clear();
    }

    /// Renumbers an item, or the event that it stands for.
    pub(super) fn renumber(&mut self, item: &mut Item, event: Option<&mut Event>) {
        match (item, event) {
            (Item::Update(_, Update::TapPoint { number, point }), _) => {
                let own = self.number(point);
                self.here.insert(*number, own);
                *number = own;
            }
            (Item::Event, Some(event)) => {
                if let Some(own) = self.here.get(&event.interface) {
                    event.interface = *own;
                }
            }
            (Item::PassedOver(passed_over), _) => {
                for ((number, _), _) in &mut passed_over.taps {
                    if let Some(own) = self.here.get(number) {
                        *number = *own;
                    }
                }
            }
            _ => {}
        }
    }

    fn number(&mut self, point: &TapPoint) -> u32 {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        let place = (Arc::clone(&point.name), point.ifindex, point.captured_link);
        *self.numbers.entry(place).or_insert(next)
    }
}
