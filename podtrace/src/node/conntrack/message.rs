//! Messages of ctnetlink (linux/netfilter/nfnetlink_conntrack.h).
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_MULTIPART, NLM_F_REQUEST, NetlinkBuffer};

use crate::{
    model::translation::TranslatedFlow,
    nfnetlink::{self, NETFILTER_HEADER, Request, attribute, attributes, number, put, put_nested},
    packet::{Ends, IPPROTO_TCP, IPPROTO_UDP},
};

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
/// `CTA_IP_V4_SRC`, `CTA_IP_V4_DST`, `CTA_IP_V6_SRC`, `CTA_IP_V6_DST`.
const IPV4_SOURCE: u16 = 1;
const IPV4_DESTINATION: u16 = 2;
const IPV6_SOURCE: u16 = 3;
const IPV6_DESTINATION: u16 = 4;
/// `CTA_PROTO_NUM`, `CTA_PROTO_SRC_PORT`, `CTA_PROTO_DST_PORT`.
const NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
/// `IPS_SRC_NAT` and `IPS_DST_NAT`.
pub(super) const TRANSLATED: u32 = 1 << 4 | 1 << 5;

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
pub(super) fn dump_request() -> Vec<u8> {
    Request::new(CT_GET, 0, NLM_F_REQUEST | NLM_F_DUMP, 0).bytes()
}

/// Asks for the entry of the flow with these ends; none of what has no ports.
pub(super) fn request(protocol: u8, ends: Ends) -> Option<Vec<u8>> {
    let (from, to) = ends.ports?;
    let mut ip = Vec::new();
    let family = match (ends.source, ends.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            put(&mut ip, IPV4_SOURCE, &source.octets());
            put(&mut ip, IPV4_DESTINATION, &destination.octets());
            libc::AF_INET as u8
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            put(&mut ip, IPV6_SOURCE, &source.octets());
            put(&mut ip, IPV6_DESTINATION, &destination.octets());
            libc::AF_INET6 as u8
        }
        _ => return None,
    };
    let mut ports = Vec::new();
    put(&mut ports, NUMBER, &[protocol]);
    put(&mut ports, SOURCE_PORT, &from.to_be_bytes());
    put(&mut ports, DESTINATION_PORT, &to.to_be_bytes());
    let mut tuple = Vec::new();
    put_nested(&mut tuple, TUPLE_IP, &ip);
    put_nested(&mut tuple, TUPLE_PROTOCOL, &ports);
    let request = Request::new(CT_GET, family, NLM_F_REQUEST, 0);
    Some(request.with_nested(ORIGINAL, &tuple).bytes())
}

/// The translated flows in a datagram, as far as it can be read.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Message> {
    nfnetlink::messages(datagram).filter_map(|whole| message(&whole))
}

/// The status of the entry that an answer begins with, if it does.
pub(super) fn status(datagram: &[u8]) -> Option<u32> {
    let message = nfnetlink::messages(datagram).next()?;
    if message.message_type() != CT_NEW {
        return None;
    }
    number(attribute(
        message.payload().get(NETFILTER_HEADER..)?,
        STATUS,
    )?)
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
    for (kind, value) in attributes(entry) {
        match kind {
            ORIGINAL => before = tuple(value),
            REPLY => reply = tuple(value),
            STATUS => status = number(value)?,
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
    for (kind, value) in attributes(tuple) {
        match kind {
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

/// Source and destination.
fn ip(value: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let (mut source, mut destination) = (None, None);
    for (kind, value) in attributes(value) {
        match kind {
            IPV4_SOURCE | IPV6_SOURCE => source = address(value),
            IPV4_DESTINATION | IPV6_DESTINATION => destination = address(value),
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
    for (kind, value) in attributes(value) {
        let port = || value.try_into().map(u16::from_be_bytes).ok();
        match kind {
            NUMBER => number = value.first().copied(),
            SOURCE_PORT => source = port(),
            DESTINATION_PORT => destination = port(),
            _ => {}
        }
    }
    let number = number.filter(|number| matches!(*number, IPPROTO_TCP | IPPROTO_UDP));
    number.zip(source.zip(destination))
}
