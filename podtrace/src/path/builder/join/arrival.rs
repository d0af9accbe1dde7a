//! Joins by the interface through which a packet entered its namespace: behind a
//! translation, the packet that a socket receives has other ends.
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

use super::{
    EQUAL_MAX, Join, Joined, Sighting,
    index::{Index, Slot},
};
use crate::{
    packet::{Packet, PacketKey},
    path::builder::open::{Open, OpenPaths},
    world::World,
};

/// The paths of packets that have entered their namespace, by [`Self::hash`].
#[derive(Default)]
pub(super) struct ByArrival {
    hasher: RandomState,
    index: Index<u64>,
}

impl ByArrival {
    /// Hash of the interface through which a packet entered its namespace, and of its key
    /// without addresses and ports: a socket may see translated ones.
    fn hash(&self, interface: u32, key: &PacketKey) -> u64 {
        self.hasher.hash_one((interface, key.without_ends()))
    }
}

impl Join for ByArrival {
    /// A translation in the pod, as by a service mesh, leaves one end as it was.
    fn find(&self, seen: &Sighting<'_>, open: &mut OpenPaths, _: &World) -> Option<Joined> {
        let arrival = self.hash(seen.event.interface, &seen.key);
        let mut arrived = self.index.get(&arrival).take(EQUAL_MAX);
        let slot = arrived.find(|slot| {
            open.get(*slot)
                .is_some_and(|open| has_same_end(&open.path.packet, &seen.event.packet))
        })?;
        Some(Joined::One(slot))
    }

    /// Remembers the first interface.
    fn arrived(&mut self, slot: Slot, interface: u32, open: &mut OpenPaths) {
        let Some(open) = open.get_mut(slot).filter(|open| open.arrival.is_none()) else {
            return;
        };
        let arrival = self.hash(interface, &open.key);
        self.index.push(arrival, slot);
        open.arrival = Some(arrival);
    }

    fn ended(&mut self, slot: Slot, open: &Open) {
        if let Some(arrival) = &open.arrival {
            self.index.remove(arrival, slot);
        }
    }
}

/// Whether source or destination, with its port, is the same in both.
fn has_same_end(one: &Packet, other: &Packet) -> bool {
    let ends = |packet: &Packet| {
        let (from, to) = packet.ports().unwrap_or_default();
        ((packet.source(), from), (packet.destination(), to))
    };
    let (one, other) = (ends(one), ends(other));
    one.0 == other.0 || one.1 == other.1
}
