//! Messages of ctnetlink (linux/netfilter/nfnetlink_conntrack.h).
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::packet_core::{
    NLM_F_DUMP, NLM_F_MULTIPART, NLM_F_REQUEST, NetlinkBuffer, NlaBuffer, NlasIterator,
};

use crate::{
    model::translation::TranslatedFlow,
    packet::{Ends, IPPROTO_TCP, IPPROTO_UDP},
};

/// Length of `struct nlmsghdr` and of `struct nfgenmsg` behind it.
const HEADER: usize = 16;
const NETFILTER_HEADER: usize = 4;
/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_NEW`, `_GET` and `_DELETE`.
const CT_NEW: u16 = 1 << 8;
const CT_GET: u16 = CT_NEW | 1;
const CT_DELETE: u16 = CT_NEW | 2;
/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`, `CTA_STATUS`, `CTA_ZONE`.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const ZONE: u16 = 18;
/// `CTA_TUPLE_IP`, `CTA_TUPLE_PROTO`, `CTA_TUPLE_ZONE`.
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const TUPLE_ZONE: u16 = 3;
/// `CTA_PROTO_NUM`, `CTA_PROTO_SRC_PORT`, `CTA_PROTO_DST_PORT`.
const NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
/// `IPS_SRC_NAT` and `IPS_DST_NAT`.
const TRANSLATED: u32 = 1 << 4 | 1 << 5;

/// A translated TCP or UDP flow in a message; other protocols have no ports to identify a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The dump lists it.
    Dumped(TranslatedFlow),
    /// The kernel tracks it from now on.
    New(TranslatedFlow),
    /// The kernel no longer tracks it.
    Gone(TranslatedFlow),
}

/// Asks for all entries of both families.
pub(super) fn dump_request() -> [u8; HEADER + NETFILTER_HEADER] {
    let mut request = [0; HEADER + NETFILTER_HEADER];
    let length = (HEADER + NETFILTER_HEADER) as u32;
    request[..4].copy_from_slice(&length.to_ne_bytes());
    request[4..6].copy_from_slice(&CT_GET.to_ne_bytes());
    request[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    request
}

/// The translated flows in a datagram, as far as it can be read.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Message> {
    let mut rest = datagram;
    let whole = std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(rest).ok()?;
        // Messages are aligned to 4 bytes.
        let length = (message.length() as usize).next_multiple_of(4);
        rest = rest.get(length..).unwrap_or_default();
        Some(message)
    });
    whole.filter_map(|whole| message(&whole))
}

/// The status of the entry that an answer begins with, if it does.
pub(super) fn status(datagram: &[u8]) -> Option<u32> {
    let message = NetlinkBuffer::new_checked(datagram).ok()?;
    if message.message_type() != CT_NEW {
        return None;
    }
    let mut all = attributes(message.payload().get(NETFILTER_HEADER..)?);
    let status = all.find(|attribute| attribute.kind() == STATUS)?;
    Some(u32::from_be_bytes(status.value().try_into().ok()?))
}

fn message(message: &NetlinkBuffer<&[u8]>) -> Option<Message> {
    let attributes = message.payload().get(NETFILTER_HEADER..)?;
    match message.message_type() {
        CT_NEW if message.flags() & NLM_F_MULTIPART != 0 => flow(attributes).map(Message::Dumped),
        CT_NEW => flow(attributes).map(Message::New),
        CT_DELETE => flow(attributes).map(Message::Gone),
        _ => None,
    }
}

/// The flow of an entry, if it is translated. Other zones than the first are left out: their
/// flows may have equal ends.
fn flow(entry: &[u8]) -> Option<TranslatedFlow> {
    let (mut before, mut reply, mut status) = (None, None, 0);
    for attribute in attributes(entry) {
        let value = attribute.value();
        match attribute.kind() {
            ORIGINAL => before = tuple(value),
            REPLY => reply = tuple(value),
            STATUS => status = u32::from_be_bytes(value.try_into().ok()?),
            ZONE => return None,
            _ => {}
        }
    }
    let ((protocol, before), (_, reply)) = before.zip(reply)?;
    let after = reply.reversed();
    let is_translated = status & TRANSLATED != 0 && before != after;
    is_translated.then_some(TranslatedFlow {
        protocol,
        before,
        after,
    })
}

/// The protocol and the ends of a tuple.
fn tuple(tuple: &[u8]) -> Option<(u8, Ends)> {
    let (mut addresses, mut protocol) = (None, None);
    for attribute in attributes(tuple) {
        let value = attribute.value();
        match attribute.kind() {
            TUPLE_IP => addresses = ip(value),
            TUPLE_PROTOCOL => protocol = ports(value),
            TUPLE_ZONE => return None,
            _ => {}
        }
    }
    let ((source, destination), (protocol, ports)) = addresses.zip(protocol)?;
    let ends = Ends {
        source,
        destination,
        ports: Some(ports),
    };
    Some((protocol, ends))
}

/// Source and destination (`CTA_IP_V4_SRC` to `CTA_IP_V6_DST`).
fn ip(value: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let (mut source, mut destination) = (None, None);
    for attribute in attributes(value) {
        let value = attribute.value();
        match attribute.kind() {
            1 | 3 => source = address(value),
            2 | 4 => destination = address(value),
            _ => {}
        }
    }
    source.zip(destination)
}

fn address(value: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(value).map(|octets| Ipv4Addr::from(octets).into());
    let v6 = || <[u8; 16]>::try_from(value).map(|octets| Ipv6Addr::from(octets).into());
    v4().or_else(|_| v6()).ok()
}

/// The protocol, if it is TCP or UDP, and the ports.
fn ports(value: &[u8]) -> Option<(u8, (u16, u16))> {
    let (mut number, mut source, mut destination) = (None, None, None);
    for attribute in attributes(value) {
        let value = attribute.value();
        let port = || value.try_into().map(u16::from_be_bytes).ok();
        match attribute.kind() {
            NUMBER => number = value.first().copied(),
            SOURCE_PORT => source = port(),
            DESTINATION_PORT => destination = port(),
            _ => {}
        }
    }
    let number = number.filter(|number| matches!(*number, IPPROTO_TCP | IPPROTO_UDP));
    number.zip(source.zip(destination))
}

/// Attributes, as far as they can be read.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(bytes).map_while(Result::ok)
}
