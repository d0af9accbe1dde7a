//! The description of an interface in a file.
use std::sync::Arc;

use podtrace_ebpf::record::Direction;

use crate::{
    model::{
        event::Event,
        tap_point::{Role, TapPoint},
    },
    packet::link::{self, Layer},
    session::{
        block::Block,
        format::{INTERFACE_DESCRIPTION, InterfaceInfo},
    },
    world::World,
};

/// What stands behind the name of an interface whose sockets are meant.
pub const SOCKETS: &str = " (sockets)";

/// A tap point, or the sockets behind it: each is an interface of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Number of the tap point in the session.
    pub number: u32,
    /// Whether it stands for the sockets.
    pub sockets: bool,
}

impl Key {
    /// The interface of an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self {
            number: event.interface,
            sockets: event.direction == Direction::Socket,
        }
    }
}

/// The description of an interface in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub(super) key: Key,
    pub(super) name: String,
    /// Link layer of the packets as they were captured; none if unknown.
    pub(super) link: Option<u16>,
    pub(super) text: String,
    pub(super) point: TapPoint,
}

impl Description {
    /// The description by the present names. `link`: the link layer of its packets, if known.
    /// None if the tap point is unknown.
    #[must_use]
    pub fn of(key: Key, link: Option<u16>, world: &World) -> Option<Self> {
        let point = world.tap_points.get(key.number)?;
        let own = match is_own(point) {
            true if key.sockets => Some(link::RAW),
            true => Some(point.framing.link()),
            false => point.captured_link,
        };
        Some(Self {
            key,
            name: name(key, point, world),
            link: link.or(own),
            text: text(key, point, world),
            point: point.clone(),
        })
    }

    /// The link layer of a file whose interfaces are all like this one: Ethernet, unless
    /// another tool captured the packets. A second interface of type RAW stops libpcap, which
    /// compares its number with another one that it has made of the first
    /// (`add_interface` of its sf-pcapng.c), so these become Ethernet too.
    #[must_use]
    pub fn file_link(&self) -> Option<u16> {
        match self.only_link() {
            Some(link::RAW) => Some(link::ETHERNET),
            link => link,
        }
    }

    /// The link layer of a file that has no other interface.
    #[must_use]
    pub fn only_link(&self) -> Option<u16> {
        if is_own(&self.point) {
            Some(link::ETHERNET)
        } else {
            self.link
        }
    }

    /// Whether other tools show the interface by this name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name
    }

    /// How its packets become Ethernet frames in a file of that link layer; none if they stay
    /// as they are.
    pub(super) fn conversion(&self, file_link: u16) -> Option<Layer> {
        let is_converted = file_link == link::ETHERNET;
        self.link.filter(|_| is_converted).and_then(Layer::of)
    }

    /// Writes it. `index`: its number in the section.
    pub(super) fn write(&self, out: &mut Vec<u8>, index: u32, file_link: u16) {
        let conversion = self.conversion(file_link);
        let link = match conversion {
            Some(_) => link::ETHERNET,
            None => self.link.unwrap_or(file_link),
        };
        let added_header = conversion.is_some_and(Layer::is_bare);
        let mut text = self.text.clone();
        if added_header {
            text += ": podtrace made the Ethernet header";
        }
        let mut block = Block::begin(out, INTERFACE_DESCRIPTION);
        block.u16(link).u16(0).u32(0);
        block.option(2, self.name.as_bytes());
        block.option(3, text.as_bytes());
        if let Some(mac) = self.point.mac {
            block.option(6, &mac.0);
        }
        // Resolution of times: 10^-9 seconds.
        block.option(9, &[9]);
        block.seal_json(&InterfaceInfo {
            index,
            number: self.key.number,
            sockets: self.key.sockets,
            added_header,
            point: self.point.clone(),
        });
    }
}

/// Describes an interface that stands for none: libpcap opens no file without any. Only podtrace
/// knows it by its JSON.
pub(super) fn write_none(out: &mut Vec<u8>, file_link: u16) {
    let mut block = Block::begin(out, INTERFACE_DESCRIPTION);
    block.u16(file_link).u16(0).u32(0);
    block.option(2, b"none");
    block.option(3, b"no interface was traced");
    block.option(9, &[9]);
    block.seal_json(&None::<InterfaceInfo>);
}

/// Whether podtrace's taps captured the packets, not another tool.
fn is_own(point: &TapPoint) -> bool {
    point.role != Role::Capture
}

/// `mypod1.default/eth0` or `worker1/veth12`.
pub(super) fn name(key: Key, point: &TapPoint, world: &World) -> String {
    let owner = world.owner_of(point);
    let owner = if point.in_pod {
        dotted(&owner)
    } else {
        owner.to_string()
    };
    let sockets = if key.sockets { SOCKETS } else { "" };
    format!("{owner}/{}{sockets}", point.name)
}

/// `mypod1.default` of `default/mypod1`; anything else as it is.
pub(super) fn dotted(pod: &str) -> String {
    match pod.split_once('/') {
        Some((namespace, name)) => format!("{name}.{namespace}"),
        None => pod.to_owned(),
    }
}

/// The pod at the other end of a veth, by its best known name.
fn peer(point: &TapPoint, world: &World) -> Option<Arc<str>> {
    point.leads_to.map(|netns| world.identities.pod(netns))
}

/// `eth0 of default/mypod1 on worker1`, or `veth12 of worker1, eth0 of default/mypod1`.
pub(super) fn text(key: Key, point: &TapPoint, world: &World) -> String {
    let sockets = if key.sockets { "sockets behind " } else { "" };
    let owner = world.owner_of(point);
    let place = format!("{sockets}{} of {owner}", point.name);
    match (peer(point, world), point.in_pod) {
        (Some(pod), _) => match &point.peer_name {
            Some(peer) => format!("{place}, {peer} of {pod}"),
            None => format!("{place}, of {pod}"),
        },
        (None, true) => format!("{place} on {}", point.node_name),
        (None, false) => place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::fixture::{POD1, UPLINK, VETH1, world};

    fn described(number: u32, sockets: bool, world: &World) -> (String, String) {
        let description = Description::of(Key { number, sockets }, None, world).unwrap();
        (description.name, description.text)
    }

    #[test]
    fn description_names_the_place_and_the_pod_behind_a_veth() {
        let mut world = world();
        let mut veth = world.tap_points.get(VETH1).unwrap().clone();
        veth.peer_name = Some("eth0".into());
        world.tap_points.set(VETH1, veth);
        for (number, sockets, name, text) in [
            (
                POD1,
                false,
                "mypod1.default/eth0",
                "eth0 of default/mypod1 on worker1",
            ),
            (
                POD1,
                true,
                "mypod1.default/eth0 (sockets)",
                "sockets behind eth0 of default/mypod1 on worker1",
            ),
            (
                VETH1,
                false,
                "worker1/veth1",
                "veth1 of worker1, eth0 of default/mypod1",
            ),
            (UPLINK, false, "worker1/eth0", "eth0 of worker1"),
        ] {
            let expected = (name.to_owned(), text.to_owned());
            assert_eq!(described(number, sockets, &world), expected);
        }
    }
}
