//! The packets of tunnels, as far as an answer shows them that quotes little of what they carry.
use std::net::IpAddr;

use super::{Builder, join::index::Slot, open::Open, recent::Recent};
use crate::{
    model::event::Event,
    packet::{Framing, Network, Quote, Tunnel, TunnelKind, link},
};

/// Upper bound of the tunnels' packets that are known.
pub(super) const CARRIED_MAX: usize = 1024;

/// The outer headers of a packet in a tunnel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Outer {
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    /// From its IP header on.
    length: u32,
}

/// A packet in a tunnel, where it was first seen there.
#[derive(Clone, Copy)]
pub(super) struct Carried {
    outer: Outer,
    pub(super) by: TunnelKind,
    pub(super) id: u64,
    pub(super) slot: Slot,
}

/// Length of an event's packet from its first IP header on.
pub(super) fn outer_length(event: &Event) -> u32 {
    let link_len = match event.link {
        link::ETHERNET => Framing::Ethernet.link_len(),
        _ => 0,
    };
    event.wire_len.saturating_sub(link_len)
}

impl Outer {
    fn of(event: &Event) -> Option<(Self, TunnelKind)> {
        let tunnel = event.packet.tunnel?;
        let outer = Self {
            protocol: tunnel.protocol(),
            source: tunnel.source,
            destination: tunnel.destination,
            id: tunnel.id,
            length: outer_length(event),
        };
        Some((outer, tunnel.kind()))
    }

    /// The headers of a quoted packet, if nothing of what it carries was quoted.
    fn quoted(quote: &Quote) -> Option<Self> {
        match &quote.packet.network {
            Network::Ip(ip) if quote.packet.tunnel.is_none() => Some(Self {
                protocol: ip.protocol,
                source: ip.source,
                destination: ip.destination,
                id: ip.id,
                length: quote.packet.length,
            }),
            _ => None,
        }
    }

    fn tag(&self) -> u32 {
        self.id ^ self.length.rotate_left(16)
    }
}

impl Builder {
    /// Notes the outer packet of one that has just got into a tunnel, or of a piece of one.
    pub(super) fn note_carried(&mut self, slot: Slot, event: &Event) {
        // At its first hop in a tunnel.
        let is_first = |open: &&Open| open.tunnels as usize == size_of::<Tunnel>();
        let open = self.open.get(slot).filter(is_first);
        if let Some((open, (outer, by))) = open.zip(Outer::of(event)) {
            let id = open.path.id;
            let carried = Carried {
                outer,
                by,
                id,
                slot,
            };
            self.refusals.carried.push(outer.tag(), carried);
        }
    }
}

impl Recent<Carried, CARRIED_MAX> {
    /// The packets in tunnels that a short quote may be about, the newest first.
    pub(super) fn quoted(&self, quote: &Quote) -> impl Iterator<Item = &Carried> {
        let outer = Outer::quoted(quote);
        let found = outer.map(|outer| self.find(outer.tag()));
        found
            .into_iter()
            .flatten()
            .filter(move |carried| Some(carried.outer) == outer)
    }
}
