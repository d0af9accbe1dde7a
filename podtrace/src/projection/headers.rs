//! The headers of a packet, field by field.
use std::borrow::Cow;

use crate::{
    field::object,
    packet::{Http, Packet, Payload, Transport, flag_names},
};

object! {
    /// The headers of a packet.
    pub(crate) HeadersObject as "headers" {
        /// VLAN id, on a path at the first hop
        vlan: Option<u16>,
        /// `icmp` (ICMPv6 too), `tcp`, `udp`, `arp` or `other`
        protocol: &'static str,
        /// protocol number of an IP packet
        ip_protocol: Option<u8>,
        /// source port of TCP or UDP
        source_port: Option<u16>,
        /// destination port of TCP or UDP
        destination_port: Option<u16>,
        /// length of the TCP or UDP payload
        payload_bytes: Option<u32>,
        /// names of the set flags, with spaces between
        tcp_flags: Option<String>,
        /// sequence number
        tcp_sequence: Option<u32>,
        /// acknowledgment number
        tcp_acknowledgment: Option<u32>,
        /// type of an ICMP or ICMPv6 message
        icmp_type: Option<u8>,
        /// its code
        icmp_code: Option<u8>,
        /// identifier of an echo message
        icmp_id: Option<u16>,
        /// number of an echo message
        icmp_sequence: Option<u16>,
    }
}

object! {
    /// A message of DNS or mDNS.
    pub(crate) DnsObject as "dns" {
        /// what joins a response to its query
        id: u16,
        /// whether it is a response
        response: bool,
        /// the name that is asked for, as in zone files; it ends with `…` where its rest was not
        /// captured
        name: Option<String>,
        /// the type that is asked for: `A`, `AAAA`, or `TYPE` and its number
        kind: Option<String>,
        /// of a response: `NOERROR`, `NXDOMAIN`, or `RCODE` and its number
        rcode: Option<String>,
        /// of a response: how many answers it has
        answers: Option<u16>,
        /// whether it says that it is cut
        truncated: Option<bool>,
    }
}

object! {
    /// The first line of a message of HTTP/1, where a TCP segment begins with it.
    pub(crate) HttpObject as "http" {
        /// method of a request
        method: Option<String>,
        /// target of a request; it ends with `…` where its rest was not captured
        target: Option<String>,
        /// the `Host` field of a request, if it was captured
        host: Option<String>,
        /// status of a response
        status: Option<u16>,
        /// the words behind the status
        reason: Option<String>,
    }
}

impl HttpObject {
    /// The first line that a packet's payload is, if it is one.
    pub(crate) fn of(payload: Option<&Payload>) -> Option<Self> {
        let none = Self {
            method: None,
            target: None,
            host: None,
            status: None,
            reason: None,
        };
        Some(match payload.and_then(Payload::http)? {
            Http::Request {
                method,
                target,
                host,
            } => Self {
                method: Some(method.as_ref().to_owned()),
                target: Some(target.as_ref().to_owned()),
                host: host.as_deref().map(str::to_owned),
                ..none
            },
            Http::Response { status, reason } => Self {
                status: Some(*status),
                reason: Some(reason.as_ref().to_owned()),
                ..none
            },
        })
    }
}

impl DnsObject {
    /// The message that a packet's payload is, if it is one.
    pub(crate) fn of(payload: Option<&Payload>) -> Option<Self> {
        let dns = payload.and_then(Payload::dns)?;
        Some(Self {
            id: dns.id,
            response: dns.is_response,
            name: dns.name.as_deref().map(str::to_owned),
            kind: dns.kind_name().map(Cow::into_owned),
            rcode: dns.is_response.then(|| dns.rcode_name().into_owned()),
            answers: dns.is_response.then_some(dns.answers),
            truncated: dns.is_truncated.then_some(true),
        })
    }
}

impl HeadersObject {
    pub(crate) fn of(packet: &Packet) -> Self {
        let (source_port, destination_port) = packet.ports().unzip();
        let (icmp_type, icmp_code) = icmp(packet).unzip();
        let mut headers = Self {
            vlan: packet.vlan,
            protocol: packet.protocol().as_str(),
            ip_protocol: packet.ip_protocol(),
            source_port,
            destination_port,
            payload_bytes: None,
            tcp_flags: None,
            tcp_sequence: None,
            tcp_acknowledgment: None,
            icmp_type,
            icmp_code,
            icmp_id: None,
            icmp_sequence: None,
        };
        match packet.transport {
            Transport::Tcp {
                sequence,
                acknowledgment,
                flags,
                payload,
                ..
            } => {
                let mut names = String::new();
                flag_names(&mut names, flags);
                headers.payload_bytes = Some(payload);
                headers.tcp_flags = Some(names);
                headers.tcp_sequence = Some(sequence);
                headers.tcp_acknowledgment = Some(acknowledgment);
            }
            Transport::Udp { payload, .. } => headers.payload_bytes = Some(payload),
            Transport::Echo { id, sequence, .. } => {
                headers.icmp_id = Some(id);
                headers.icmp_sequence = Some(sequence);
            }
            Transport::Icmp { .. }
            | Transport::Neighbor { .. }
            | Transport::Fragment
            | Transport::Other
            | Transport::Unreadable
            | Transport::None => {}
        }
        headers
    }
}

/// Type and code of an ICMP (RFC 792) or ICMPv6 (RFC 4443, 4861) message.
fn icmp(packet: &Packet) -> Option<(u8, u8)> {
    let code = match packet.transport {
        Transport::Icmp { code, .. } => code,
        _ => 0,
    };
    Some((packet.message_type()?, code))
}
