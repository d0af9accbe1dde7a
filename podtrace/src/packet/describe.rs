//! A packet in words.
use std::{
    borrow::Cow,
    fmt::{self, Display, Write as _},
};

use podtrace_ebpf::parse::{ETHERTYPE_PPPOE_DISCOVERY, PROTOCOL_GRE, PROTOCOL_IPV4, PROTOCOL_IPV6};

use super::{Llc, Mac, Network, Packet, Shim, TCP_ACK, Transport, quote::icmp_error_name};
use crate::text::write;

impl Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// How much is said of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpWords {
    /// Flags and the numbers of the header.
    Whole,
    /// Flags and numbers, counted from these: the sequence number, and what is acknowledged.
    From(u32, u32),
    /// Ports and the length.
    Short,
}

impl Packet {
    /// Appends what the packet is, without its addresses.
    pub fn describe(&self, out: &mut String) {
        self.describe_as(out, TcpWords::Whole);
    }

    /// [`Self::describe`], with so much of TCP.
    pub fn describe_as(&self, out: &mut String, words: TcpWords) {
        // Writing to a String cannot fail.
        let _ = match &self.network {
            Network::Ip(ip) => {
                let version = if ip.source.is_ipv4() { "4" } else { "6" };
                self.describe_transport(out, ip.protocol, version, words)
            }
            Network::Arp(arp) => match arp.operation {
                1 => write!(out, "ARP who has {} tell {}", arp.target, arp.sender),
                2 => write!(out, "ARP {} is at {}", arp.sender, arp.sender_mac),
                other => write!(out, "ARP operation {other}"),
            },
            Network::Llc(llc) => describe_llc(out, *llc),
            Network::Other => self.describe_other(out),
            Network::Unreadable => write!(out, "unreadable frame"),
        };
        if let Network::Ip(ip) = &self.network
            && let Some(fragment) = ip.fragment
        {
            let _ = write!(
                out,
                " fragment id {} offset {}",
                fragment.id, fragment.offset
            );
        }
        if let Some(vlan) = self.vlan {
            let _ = write!(out, " vlan {vlan}");
        }
        let _ = match self.shim {
            Some(Shim::Mpls(label)) => write!(out, " mpls label {label}"),
            Some(Shim::Pppoe { session, .. }) => write!(out, " pppoe session {session}"),
            None => Ok(()),
        };
    }

    fn describe_other(&self, out: &mut String) -> fmt::Result {
        let ethertype = self.link.map_or(0, |link| link.ethertype);
        match (self.shim, ethertype) {
            (Some(Shim::Pppoe { protocol, .. }), _) => write!(out, "PPP protocol {protocol:#06x}"),
            (_, ETHERTYPE_PPPOE_DISCOVERY) => out.write_str("PPPoE discovery"),
            _ => write!(out, "ethertype {ethertype:#06x}"),
        }
    }

    fn describe_transport(
        &self,
        out: &mut String,
        protocol: u8,
        version: &str,
        words: TcpWords,
    ) -> fmt::Result {
        let icmp = if version == "6" { "ICMPv6" } else { "ICMP" };
        match self.transport {
            Transport::Echo {
                reply,
                id,
                sequence,
            } => {
                out.push_str(icmp);
                out.push_str(if reply {
                    " echo reply id "
                } else {
                    " echo request id "
                });
                write::number(out, id);
                out.push_str(" seq ");
                write::number(out, sequence);
                Ok(())
            }
            Transport::Icmp { kind, code } => match icmp_name(version, kind, code) {
                Some(name) => write!(out, "{icmp} {name}"),
                None => write!(out, "{icmp} type {kind} code {code}"),
            },
            Transport::Neighbor {
                advertisement: false,
                target,
                ..
            } => write!(out, "ICMPv6 neighbor solicitation who has {target}"),
            Transport::Neighbor { target, mac, .. } => {
                write!(out, "ICMPv6 neighbor advertisement {target}")?;
                mac.map_or(Ok(()), |mac| write!(out, " is at {mac}"))
            }
            Transport::Tcp {
                source,
                destination,
                sequence,
                acknowledgment,
                flags,
                payload,
            } => {
                ports(out, "TCP ", source, destination);
                tcp_numbers(out, (sequence, acknowledgment), flags, payload, words);
                out.push_str(" len ");
                write::number(out, payload);
                Ok(())
            }
            Transport::Udp {
                source,
                destination,
                payload,
            } => {
                ports(out, "UDP ", source, destination);
                out.push_str(" len ");
                write::number(out, payload);
                Ok(())
            }
            Transport::Fragment => write!(out, "IPv{version}"),
            Transport::Unreadable => write!(out, "IP protocol {protocol}, header cut off"),
            Transport::Other | Transport::None => match protocol {
                2 => write!(out, "IGMP"),
                PROTOCOL_IPV4 => write!(out, "IPv4 in IPv{version}"),
                PROTOCOL_IPV6 => write!(out, "IPv6 in IPv{version}"),
                PROTOCOL_GRE => write!(out, "GRE"),
                132 => write!(out, "SCTP"),
                _ => write!(out, "IP protocol {protocol}"),
            },
        }
    }
}

/// The protocols of bridges and switches by name.
fn describe_llc(out: &mut String, llc: Llc) -> fmt::Result {
    const CISCO: u32 = 0x0c;
    match (llc.snap, llc.dsap, llc.ssap) {
        (None, 0x42, 0x42) => out.write_str("STP"),
        (Some((CISCO, 0x010b)), ..) => out.write_str("PVST+"),
        (Some((CISCO, 0x2000)), ..) => out.write_str("CDP"),
        (Some((organisation, protocol)), ..) => {
            write!(out, "SNAP {organisation:#08x} protocol {protocol:#06x}")
        }
        (None, dsap, ssap) => write!(out, "LLC {dsap:#04x} from {ssap:#04x}"),
    }
}

fn ports(out: &mut String, protocol: &str, source: u16, destination: u16) {
    out.push_str(protocol);
    write::number(out, source);
    out.push_str(" > ");
    write::number(out, destination);
}

/// Flags and numbers of TCP: `[PSH ACK] seq 1:30 ack 1`
fn tcp_numbers(
    out: &mut String,
    (sequence, acknowledgment): (u32, u32),
    flags: u8,
    payload: u32,
    words: TcpWords,
) {
    let (from, acknowledged_from) = match words {
        TcpWords::Short => return,
        TcpWords::Whole => (0, 0),
        TcpWords::From(sequence, acknowledgment) => (sequence, acknowledgment),
    };
    let is_whole = words == TcpWords::Whole;
    out.push_str(" [");
    flag_names(out, flags);
    out.push_str("] seq ");
    let begin = sequence.wrapping_sub(from);
    write::number(out, begin);
    if payload > 0 && !is_whole {
        out.push(':');
        write::number(out, begin.wrapping_add(payload));
    }
    if flags & TCP_ACK != 0 || is_whole {
        out.push_str(" ack ");
        write::number(out, acknowledgment.wrapping_sub(acknowledged_from));
    }
}

/// The names of the set TCP flags, from the low bit up.
pub(crate) fn flag_names(out: &mut String, flags: u8) {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set = NAMES.iter().enumerate();
    for (n, (_, name)) in set.filter(|(bit, _)| flags >> bit & 1 == 1).enumerate() {
        if n > 0 {
            out.push(' ');
        }
        out.push_str(name);
    }
}

/// Names of ICMP (RFC 792) and ICMPv6 (RFC 4443, 4861) messages.
fn icmp_name(version: &str, kind: u8, code: u8) -> Option<Cow<'static, str>> {
    Some(match (version, kind) {
        ("4", 3) | ("6", 1) => {
            let why = icmp_error_name(version == "4", kind, code)?;
            let why = why.strip_suffix(" unreachable").unwrap_or(why);
            format!("destination unreachable ({why})").into()
        }
        ("4", 11) | ("6", 3) => "time exceeded".into(),
        ("6", 133) => "router solicitation".into(),
        ("6", 134) => "router advertisement".into(),
        ("6", 143) => "multicast listener report".into(),
        _ => icmp_error_name(version == "4", kind, code)?.into(),
    })
}
