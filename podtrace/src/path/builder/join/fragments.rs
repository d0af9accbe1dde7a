//! Joins by the datagram of fragments: a socket receives it whole.
use std::net::IpAddr;

use super::{
    EQUAL_MAX, Join, Joined, Observation,
    index::{Index, Slot},
    known::Known,
};
use crate::{
    packet::{Network, Packet},
    path::builder::open::{Open, OpenPaths},
    world::World,
};

/// Source, destination, protocol and, for IPv4, the identification: all fragments of a
/// datagram and the datagram itself share them.
type Datagram = (IpAddr, IpAddr, u8, u32);

/// The paths of fragments.
#[derive(Default)]
pub(super) struct ByFragment {
    index: Index<Datagram>,
}

impl Join for ByFragment {
    /// The paths of all fragments of the datagram that a socket receives whole.
    fn find(
        &self,
        seen: &Observation<'_>,
        _: &mut OpenPaths,
        _: &World,
        _: &Known,
    ) -> Option<Joined> {
        let slots: Vec<_> = self.index.get(&datagram(&seen.event.packet)?).collect();
        (!slots.is_empty()).then_some(Joined::Each(slots))
    }

    #[inline]
    fn insert(&mut self, slot: Slot, open: &mut OpenPaths, _: &Known) -> Option<Slot> {
        let of = fragment_of(open.get(slot)?)?;
        let is_full = self.index.push(of, slot) > EQUAL_MAX;
        is_full.then(|| self.index.get(&of).next()).flatten()
    }

    #[inline]
    fn remove(&mut self, slot: Slot, open: &Open) {
        if let Some(of) = fragment_of(open) {
            self.index.remove(&of, slot);
        }
    }
}

/// The datagram that the packet is a fragment of.
fn fragment_of(open: &Open) -> Option<Datagram> {
    let packet = &open.path.packet;
    let mut datagram = match &packet.network {
        Network::Ip(ip) if ip.fragment.is_some() => datagram(packet)?,
        _ => return None,
    };
    if let Some(ends) = open.path.ends() {
        (datagram.0, datagram.1) = (ends.source, ends.destination);
    }
    Some(datagram)
}

fn datagram(packet: &Packet) -> Option<Datagram> {
    let Network::Ip(ip) = &packet.network else {
        return None;
    };
    // IPv6 has its identification in the fragment header, which reassembly removes.
    let id = if ip.source.is_ipv4() { ip.id } else { 0 };
    Some((ip.source, ip.destination, ip.protocol, id))
}
