//! Tap points that the packets themselves name: a capture of all interfaces of a machine
//! (`tcpdump -i any`) stores the interface with each packet.
use std::{collections::HashMap, sync::Arc};

use super::{Item, Reader, link_type::OTHERS, packet};
use crate::update::Update;

/// Upper bound of the distinguished interfaces; packets of the others share a tap point.
const INTERFACES_MAX: usize = 4096;

/// The interfaces named so far.
#[derive(Default)]
pub(super) struct PacketInterfaces {
    /// Number of the tap point, by that of the capture and the index of the interface.
    numbers: HashMap<(u32, u32), u32>,
    /// Whether the last event follows the item of its tap point.
    event_follows: bool,
}

/// The name of the place of a capture without interfaces.
pub const UNNAMED: &str = "capture";

impl PacketInterfaces {
    /// Whether the next item is the event that was read before.
    pub(super) fn take_event(&mut self) -> bool {
        std::mem::take(&mut self.event_follows)
    }
}

impl Reader {
    /// Assigns the last event to the interface of that index. Returns the event, or first
    /// the tap point if it is new.
    pub(super) fn locate(&mut self, ifindex: Option<u32>) -> Item {
        let (Some(index), Some(event)) = (ifindex, &mut self.event) else {
            return Item::Event;
        };
        let capture = event.interface;
        let numbers = &mut self.packet_interfaces.numbers;
        let is_room = numbers.len() < INTERFACES_MAX;
        let is_own = index != OTHERS && (is_room || numbers.contains_key(&(capture, index)));
        let index = if is_own { index } else { OTHERS };
        if let Some(number) = numbers.get(&(capture, index)) {
            event.interface = *number;
            return Item::Event;
        }
        let number = packet::next_number(&mut self.captures);
        event.interface = number;
        numbers.insert((capture, index), number);
        self.packet_interfaces.event_follows = true;
        let name = if index == OTHERS {
            "others".to_owned()
        } else {
            format!("if{index}")
        };
        self.captured_at(number, &name, index)
    }

    /// The item of a tap point in another tool's capture.
    pub(super) fn captured_at(&self, number: u32, name: &str, ifindex: u32) -> Item {
        let point = packet::captured_at(Arc::clone(&self.name), name, ifindex);
        Item::here(Update::TapPoint { number, point })
    }
}
