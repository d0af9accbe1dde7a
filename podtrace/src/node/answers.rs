//! The kernel's answers as one buffer: for fuzz targets, which have no kernel.
use std::collections::HashMap;

use rtnetlink::{
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
};

use crate::{
    model::ruleset::Ruleset,
    ruleset::{
        answer,
        message::{Message, messages},
        trace::Reader,
    },
};

use super::{
    links::{self, AddressPrefix, Link},
    tables::{self, Tables},
};

/// Reads consecutive rtnetlink messages, up to the first that cannot be read.
#[must_use]
pub fn parse(bytes: &[u8]) -> (Tables, Vec<Link>) {
    let mut found = Found::default();
    let mut rest = bytes;
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
        let len = (message.header.length as usize).next_multiple_of(4);
        if let NetlinkPayload::InnerMessage(inner) = message.payload {
            found.take(inner);
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    (found.tables, found.links)
}

/// Reads consecutive messages of nf_tables: rules, and traces of packets.
#[must_use]
pub fn parse_rules(bytes: &[u8]) -> Ruleset {
    let mut reader = Reader::default();
    for message in messages(bytes) {
        if let Message::Object(_, family, object) = message {
            let _ = reader.take(family, object);
        }
    }
    answer::parse(bytes)
}

#[derive(Default)]
struct Found {
    tables: Tables,
    links: Vec<Link>,
    addresses: HashMap<u32, Vec<AddressPrefix>>,
}

impl Found {
    /// Addresses come before the interfaces that have them.
    fn take(&mut self, message: RouteNetlinkMessage) {
        let tables = &mut self.tables;
        match message {
            RouteNetlinkMessage::NewRoute(route) => {
                tables.routes.extend(tables::read::routes_of(&route));
            }
            RouteNetlinkMessage::NewNeighbour(neighbour) => {
                tables
                    .neighbours
                    .extend(tables::read::neighbour(&neighbour));
                tables.fdb.extend(tables::read::fdb_entry(&neighbour));
            }
            RouteNetlinkMessage::NewAddress(address) => {
                let of_link = self.addresses.entry(address.header.index).or_default();
                of_link.extend(links::address(&address));
            }
            RouteNetlinkMessage::NewLink(link) => {
                let prefixes = self.addresses.remove(&link.header.index);
                self.links
                    .push(links::link(link, prefixes.unwrap_or_default()));
            }
            _ => {}
        }
    }
}
