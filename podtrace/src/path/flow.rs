//! What identifies a flow.
use std::{borrow::Cow, iter, net::IpAddr};

use super::Path;
use crate::packet::{Ends, Packet, TCP_ACK, TCP_SYN, Transport};

/// Ports below it are of services (RFC 6335).
const PRIVILEGED: u16 = 1024;
/// From here on, Linux gives ports to clients (ip_local_port_range).
const EPHEMERAL: u16 = 32_768;

/// Two ends and their protocol, the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlowKey {
    /// In order.
    ends: [(IpAddr, u16); 2],
    protocol: u8,
}

impl FlowKey {
    /// `id`: what stands for the ports of an echo message.
    pub(crate) fn new(ends: Ends, protocol: u8, id: u16) -> Self {
        let (from, to) = (ends.from(), ends.to());
        let end = |(address, port): (IpAddr, Option<u16>)| (address, port.unwrap_or(id));
        let mut ends = [end(from), end(to)];
        ends.sort_unstable();
        Self { ends, protocol }
    }
}

/// The key of a packet's flow, if it has ends.
pub(crate) fn key(packet: &Packet) -> Option<FlowKey> {
    Some(FlowKey::new(
        packet.ends()?,
        packet.ip_protocol()?,
        id(packet),
    ))
}

/// What stands for the ports of an echo message.
fn id(packet: &Packet) -> u16 {
    match packet.transport {
        Transport::Echo { id, .. } => id,
        _ => 0,
    }
}

/// The keys that a path shows: those before and after each translation.
pub(crate) fn keys(path: &Path) -> impl Iterator<Item = FlowKey> {
    let protocol = path.packet.ip_protocol().unwrap_or_default();
    let id = id(&path.packet);
    let translated = path
        .translations
        .iter()
        .map(|translation| translation.after);
    let all = iter::chain(path.packet.ends(), translated);
    all.map(move |ends| FlowKey::new(ends, protocol, id))
}

/// The name of a protocol number, or the number.
pub(crate) fn protocol_name(protocol: u8) -> Cow<'static, str> {
    let name = match protocol {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        58 => "icmpv6",
        132 => "sctp",
        _ => return Cow::Owned(protocol.to_string()),
    };
    Cow::Borrowed(name)
}

/// Whether the first packet seen of a flow comes from its server.
pub(crate) fn is_from_server(packet: &Packet, ends: Ends) -> bool {
    match packet.transport {
        Transport::Echo { reply, .. } => reply,
        Transport::Tcp { flags, .. } if flags & TCP_SYN != 0 => flags & TCP_ACK != 0,
        Transport::Tcp { .. } => ends.ports.is_some_and(|(from, to)| from < to),
        _ => {
            let ports = ends.ports;
            ports.is_some_and(|(from, to)| from < PRIVILEGED && to >= EPHEMERAL)
        }
    }
}

/// Whether a path leads to the client of a flow. `before`: its ends where it was first seen;
/// `client`: those of the client's packets; `reached`: theirs where they were seen last. An answer that
/// dies before it is translated back is for where they seem to come from there.
pub(crate) fn is_answer(path: &Path, before: Ends, client: Ends, reached: Ends) -> bool {
    let is_for_client = |ends: Ends| ends.to() == client.from() || ends == reached.reversed();
    if let Transport::Echo { reply, .. } = path.packet.transport {
        return reply;
    }
    before.from() != client.from()
        && (is_for_client(before) || path.ends().is_some_and(is_for_client))
}

/// The ends that the packets of a flow have where they were seen last, by a path of its client: that
/// of a packet which died on its way shows less than is known.
pub(crate) fn reached(path: &Path, client: Ends, known: Ends) -> Ends {
    match path.ends() {
        Some(ends) if known == client || ends != client => ends,
        _ => known,
    }
}
