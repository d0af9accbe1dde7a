//! What identifies a flow.
use std::{borrow::Cow, iter, net::IpAddr};

use crate::{
    packet::{Ends, Transport},
    path::Path,
};

/// Two ends and their protocol, the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlowKey {
    /// In order.
    ends: [(IpAddr, u16); 2],
    protocol: u8,
}

impl FlowKey {
    /// `id`: what stands for the ports of an echo message.
    fn new(ends: Ends, protocol: u8, id: u16) -> Self {
        let (from, to) = (ends.from(), ends.to());
        let end = |(address, port): (IpAddr, Option<u16>)| (address, port.unwrap_or(id));
        let mut ends = [end(from), end(to)];
        ends.sort_unstable();
        Self { ends, protocol }
    }
}

/// The keys that a path shows: those before and after each translation.
pub(super) fn keys(path: &Path) -> impl Iterator<Item = FlowKey> {
    let protocol = path.packet.ip_protocol().unwrap_or_default();
    let id = match path.packet.transport {
        Transport::Echo { id, .. } => id,
        _ => 0,
    };
    let translated = path
        .translations
        .iter()
        .map(|translation| translation.after);
    let all = iter::chain(path.packet.ends(), translated);
    all.map(move |ends| FlowKey::new(ends, protocol, id))
}

/// The name of a protocol number, or the number.
pub(super) fn protocol_name(protocol: u8) -> Cow<'static, str> {
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
