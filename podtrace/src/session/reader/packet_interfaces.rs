//! Tap points that the packets themselves name: a capture of all interfaces of a machine
//! (`tcpdump -i any`) stores the interface with each packet.
use std::{collections::HashMap, sync::Arc};

use super::{Item, Kind, Reader, link_type::OTHERS, packet};
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
        let link = event.link;
        self.packet_interfaces.event_follows = true;
        let name = if index == OTHERS {
            "others".to_owned()
        } else {
            format!("if{index}")
        };
        self.captured_at(number, &name, index, Some(link))
    }

    /// The place of a capture whose packets would name theirs, at its end, if it has none: the
    /// link layer is known by it.
    pub(super) fn without_packets(&mut self) -> Option<Item> {
        if !self.packet_interfaces.numbers.is_empty() {
            return None;
        }
        let link = match &self.kind {
            Kind::Pcap(capture) => (self.captures == 0).then_some(capture.link_number)?,
            Kind::Pcapng(_) => {
                let mut described = self.interfaces.iter().flatten();
                let silent = described.find(|interface| interface.names_interfaces)?;
                silent.link_number
            }
        };
        let number = packet::next_number(&mut self.captures);
        let of_packets = &mut self.packet_interfaces.numbers;
        of_packets.insert((number, OTHERS), number);
        Some(self.captured_at(number, UNNAMED, OTHERS, Some(link)))
    }

    /// The item of a tap point in another tool's capture. `link`: its link layer, if that is
    /// decoded.
    pub(super) fn captured_at(
        &self,
        number: u32,
        name: &str,
        ifindex: u32,
        link: Option<u16>,
    ) -> Item {
        let point = packet::captured_at(Arc::clone(&self.name), name, ifindex, link);
        Item::here(Update::TapPoint { number, point })
    }
}
