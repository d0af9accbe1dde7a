//! The interface descriptions of a section.
//!
//! As many as possible directly follow the section header, because tools differ in what they
//! accept: editcap and mergecap of Wireshark 4.0 require one before any other block, and its
//! reordercap reads no packet of an interface that is described later. All packets of a file
//! have one link layer, because libpcap stops at a second one.
use super::description::{Description, Key, name, text, write_none};
use crate::{
    map::Map,
    model::tap_point::TapPoint,
    packet::{
        Mac,
        link::{self, Layer},
    },
    world::World,
};

/// The described interfaces.
#[derive(Default)]
pub(super) struct Interfaces {
    /// The section header and the descriptions behind it, until they are handed on.
    head: Option<Head>,
    /// Link layer of the packets in the file; none until an interface is described.
    link: Option<u16>,
    described: u32,
    known: Map<Key, Known>,
    /// How many of them have packets or counts.
    used: u64,
    /// Whether no more interfaces are described for counts alone.
    is_closed: bool,
}

struct Head {
    bytes: Vec<u8>,
    header_len: usize,
    descriptions: Vec<Description>,
}

/// A description that was written.
struct Known {
    index: u32,
    name: String,
    text: String,
    /// Link layer of the packets as they were captured, if that was known.
    link: Option<u16>,
    conversion: Option<Layer>,
    receiver: Option<Mac>,
    is_used: bool,
    /// Whether its name is fixed, whatever the present name is.
    is_fixed: bool,
}

/// The data that writing an interface's packets requires.
#[derive(Clone, Copy)]
pub(super) struct Interface {
    /// Number of its description in the section.
    pub(super) index: u32,
    /// How packets become Ethernet frames; none if they stay as they are.
    pub(super) conversion: Option<Layer>,
    /// Its MAC address.
    pub(super) receiver: Option<Mac>,
}

impl Interfaces {
    /// The interfaces of a section with that header. `link`: link layer of the file; none for
    /// that of the first interface.
    pub(super) fn new(header: Vec<u8>, link: Option<u16>) -> Self {
        Self {
            head: Some(Head {
                header_len: header.len(),
                bytes: header,
                descriptions: Vec::new(),
            }),
            link,
            ..Self::default()
        }
    }

    /// How many of them have packets or counts.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Length of the head until [`Self::take_head`] takes it.
    pub(super) fn head_len(&self) -> usize {
        self.head.as_ref().map_or(0, |head| head.bytes.len())
    }

    /// The begin of the section, once.
    pub(super) fn take_head(&mut self) -> Option<Vec<u8>> {
        self.head.take().map(|head| head.bytes)
    }

    /// Stops describing interfaces for counts alone.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether the counts of an interface are written.
    pub(super) fn takes_counts(&self, key: Key) -> bool {
        !self.is_closed || self.known.contains_key(&key)
    }

    /// Link layer of the packets in the file, if that is decided.
    pub(super) fn link(&self) -> Option<u16> {
        self.link
    }

    /// Describes an interface, unless it is described already or unknown.
    pub(super) fn describe(&mut self, out: &mut Vec<u8>, key: Key, world: &World) {
        if !self.is_closed
            && !self.known.contains_key(&key)
            && let Some(description) = Description::of(key, None, world)
        {
            self.add(out, description, false);
        }
    }

    /// [`Self::describe`] in the head, if the link layer is known without packets.
    pub(super) fn introduce(&mut self, key: Key, world: &World) {
        let description = Description::of(key, None, world);
        if let Some(description) = description.filter(|new| new.link.is_some())
            && !self.known.contains_key(&key)
        {
            self.add(&mut Vec::new(), description, false);
        }
    }

    /// Describes one that stands for none, if there are none.
    pub(super) fn stand_in(&mut self, out: &mut Vec<u8>) {
        if self.described == 0 {
            let out = self.head.as_mut().map_or(out, |head| &mut head.bytes);
            write_none(out, self.link.unwrap_or(link::ETHERNET));
            self.described = 1;
        }
    }

    /// Describes an interface by a fixed name.
    pub(super) fn fix(&mut self, description: Description) {
        self.add(&mut Vec::new(), description, true);
    }

    /// The interface, for packets or counts; describes it if it or its name is new. `link`:
    /// the link layer of its packets. None if its tap point is unknown.
    pub(super) fn usable(
        &mut self,
        out: &mut Vec<u8>,
        key: Key,
        link: Option<u16>,
        world: &World,
    ) -> Option<Interface> {
        let known = self.known.get(&key);
        let is_described = known.is_some_and(|known| link.is_none() || known.link.is_some());
        if !is_described {
            let description = Description::of(key, link, world)?;
            self.add(out, description, false);
        }
        let known = self.known.get_mut(&key)?;
        self.used += u64::from(!std::mem::replace(&mut known.is_used, true));
        Some(Interface {
            index: known.index,
            conversion: known.conversion,
            receiver: known.receiver,
        })
    }

    fn add(&mut self, out: &mut Vec<u8>, description: Description, is_fixed: bool) {
        let index = self.described;
        self.described += 1;
        let file_link = match description.file_link() {
            Some(link) => *self.link.get_or_insert(link),
            None => self.link.unwrap_or(link::ETHERNET),
        };
        let known = Known {
            index,
            name: description.name.clone(),
            text: description.text.clone(),
            link: description.link,
            conversion: description.conversion(file_link),
            receiver: description.point.mac,
            is_used: false,
            is_fixed,
        };
        self.known.insert(description.key, known);
        match &mut self.head {
            Some(head) => {
                description.write(&mut head.bytes, index, file_link);
                head.descriptions.push(description);
            }
            None => description.write(out, index, file_link),
        }
    }

    /// Describes interfaces again whose names have changed.
    pub(super) fn renew_names(&mut self, world: &World) {
        if self.head.is_some() {
            self.rewrite_head(world);
            return;
        }
        self.known.retain(|key, known| {
            let point = world.tap_points.get(key.number);
            let is_same = |point: &TapPoint| {
                known.name == name(*key, point, world) && known.text == text(*key, point, world)
            };
            known.is_fixed || point.is_some_and(is_same)
        });
    }

    /// Writes the descriptions of the head by the present names.
    fn rewrite_head(&mut self, world: &World) {
        let file_link = self.link.unwrap_or(link::ETHERNET);
        let Some(head) = &mut self.head else {
            return;
        };
        head.bytes.truncate(head.header_len);
        for (index, description) in (0..).zip(&mut head.descriptions) {
            let key = description.key;
            if let Some(known) = self.known.get_mut(&key)
                && !known.is_fixed
                && let Some(renewed) = Description::of(key, description.link, world)
            {
                *description = renewed;
                known.name.clone_from(&description.name);
                known.text.clone_from(&description.text);
            }
            description.write(&mut head.bytes, index, file_link);
        }
    }

    /// Forgets a tap point that will have no more packets.
    pub(super) fn retire(&mut self, number: u32) {
        self.known.retain(|key, _| key.number != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::fixture::{VETH1, world};

    #[test]
    fn description_follows_the_names_until_it_is_handed_on() {
        let mut interfaces = Interfaces::new(Vec::new(), Some(link::ETHERNET));
        let key = Key {
            number: VETH1,
            sockets: false,
        };
        let mut world = world();
        interfaces.introduce(key, &world);
        let mut point = world.tap_points.get(VETH1).unwrap().clone();
        point.name = "renamed".into();
        world.tap_points.set(VETH1, point.clone());
        interfaces.renew_names(&world);
        let head = interfaces.take_head().unwrap();
        let text = String::from_utf8_lossy(&head);
        assert!(text.contains("renamed of worker1, of default/mypod1"));
        assert!(!text.contains("veth1"));

        // Later the interface is described again, under the next number.
        point.name = "veth9".into();
        world.tap_points.set(VETH1, point);
        interfaces.renew_names(&world);
        let mut out = Vec::new();
        let usable = interfaces.usable(&mut out, key, None, &world).unwrap();
        assert_eq!(usable.index, 1);
        assert!(String::from_utf8_lossy(&out).contains("worker1/veth9"));
    }
}
