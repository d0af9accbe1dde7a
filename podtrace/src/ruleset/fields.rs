//! The fields of headers by their places, and their values in the words of `nft`.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    model::{
        ruleset::{Test, sets::Value},
        subnet::AddressPrefix,
    },
    packet::{IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP},
};

/// A header whose fields are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    Ipv4,
    Ipv6,
    /// That of a protocol of IP; none if it may be of any.
    Transport(Option<u8>),
}

/// How the value of a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Number,
    Address,
    Protocol,
    Flags,
}

/// A field of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    header: Header,
    name: &'static str,
    /// Its offset in the header and its length, in bytes.
    offset: u32,
    pub(super) len: usize,
    form: Form,
}

/// Name, offset, length and form.
type Row = (&'static str, u32, usize, Form);

const IPV4: &[Row] = &[
    ("dscp", 1, 1, Form::Number),
    ("length", 2, 2, Form::Number),
    ("id", 4, 2, Form::Number),
    ("frag-off", 6, 2, Form::Number),
    ("ttl", 8, 1, Form::Number),
    ("protocol", 9, 1, Form::Protocol),
    ("checksum", 10, 2, Form::Number),
    ("saddr", 12, 4, Form::Address),
    ("daddr", 16, 4, Form::Address),
];
const IPV6: &[Row] = &[
    ("length", 4, 2, Form::Number),
    ("nexthdr", 6, 1, Form::Protocol),
    ("hoplimit", 7, 1, Form::Number),
    ("saddr", 8, 16, Form::Address),
    ("daddr", 24, 16, Form::Address),
];
const PORTS: &[Row] = &[("sport", 0, 2, Form::Number), ("dport", 2, 2, Form::Number)];
const TCP: &[Row] = &[
    ("sport", 0, 2, Form::Number),
    ("dport", 2, 2, Form::Number),
    ("sequence", 4, 4, Form::Number),
    ("ackseq", 8, 4, Form::Number),
    ("flags", 13, 1, Form::Flags),
    ("window", 14, 2, Form::Number),
];
const MESSAGE: &[Row] = &[
    ("type", 0, 1, Form::Number),
    ("code", 1, 1, Form::Number),
    ("id", 4, 2, Form::Number),
    ("sequence", 6, 2, Form::Number),
];
const TCP_FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];

/// `enum nft_meta_keys`, as `nft` names them.
const META: [&str; 35] = [
    "length",
    "protocol",
    "priority",
    "mark",
    "iif",
    "oif",
    "iifname",
    "oifname",
    "iiftype",
    "oiftype",
    "skuid",
    "skgid",
    "nftrace",
    "rtclassid",
    "secmark",
    "nfproto",
    "l4proto",
    "ibrname",
    "obrname",
    "pkttype",
    "cpu",
    "iifgroup",
    "oifgroup",
    "cgroup",
    "random",
    "ipsec",
    "iifkind",
    "oifkind",
    "ibrpvid",
    "ibrvproto",
    "time",
    "day",
    "hour",
    "sdif",
    "sdifname",
];

impl Header {
    /// Its field at an offset.
    pub(super) fn field(self, offset: u32) -> Option<Field> {
        let rows = match self {
            Self::Ipv4 => IPV4,
            Self::Ipv6 => IPV6,
            Self::Transport(Some(IPPROTO_TCP)) => TCP,
            Self::Transport(Some(IPPROTO_ICMP | IPPROTO_ICMPV6)) => MESSAGE,
            Self::Transport(_) => PORTS,
        };
        let row = rows.iter().find(|(_, at, ..)| *at == offset)?;
        let (name, offset, len, form) = *row;
        Some(Field {
            header: self,
            name,
            offset,
            len,
            form,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
            Self::Transport(protocol) => protocol.and_then(protocol_name).unwrap_or("th"),
        }
    }
}

impl Field {
    /// `ip saddr`, `tcp dport`
    pub(super) fn name(self) -> String {
        format!("{} {}", self.header.name(), self.name)
    }

    /// The values that it may have: from one to another. `bits`: how many of the first ones count.
    pub(super) fn test(self, from: &[u8], to: &[u8], bits: usize) -> Option<Test> {
        let prefix = || {
            // A range of addresses is none.
            let prefix = (from == to).then(|| address(self.header, from))?;
            let len = u8::try_from(bits).ok()?;
            Some(AddressPrefix {
                address: prefix?,
                len,
            })
        };
        let is_whole = bits == self.len * 8;
        let byte = |value: &[u8]| value.first().copied();
        let port = |value: &[u8]| Some(u16::from_be_bytes(value.try_into().ok()?));
        Some(match (self.header, self.name) {
            (Header::Ipv4 | Header::Ipv6, "saddr") => Test::Source(prefix()?),
            (Header::Ipv4 | Header::Ipv6, "daddr") => Test::Destination(prefix()?),
            _ if !is_whole => return None,
            (_, "protocol" | "nexthdr") if from == to => Test::Protocol(*from.first()?),
            (_, "ttl" | "hoplimit") => Test::Ttl(byte(from)?, byte(to)?),
            (Header::Transport(_), "type") => Test::MessageType(byte(from)?, byte(to)?),
            (Header::Transport(_), "sport") => Test::SourcePort(port(from)?, port(to)?),
            (Header::Transport(_), "dport") => Test::DestinationPort(port(from)?, port(to)?),
            _ => return None,
        })
    }

    /// What of a packet it is.
    pub(super) fn what(self) -> Value {
        match (self.header, self.name) {
            (_, "saddr") => Value::Source,
            (_, "daddr") => Value::Destination,
            (_, "protocol" | "nexthdr") => Value::Protocol,
            (Header::Transport(_), "sport") => Value::SourcePort,
            (Header::Transport(_), "dport") => Value::DestinationPort,
            (Header::Transport(_), "type") => Value::MessageType,
            _ => Value::Number,
        }
    }

    /// A value in words. `bits`: how many of the first ones count.
    pub(super) fn value(self, bytes: &[u8], bits: usize) -> String {
        let is_whole = bits == self.len * 8;
        match self.form {
            Form::Address => match address(self.header, bytes) {
                Some(address) if is_whole => address.to_string(),
                Some(address) => format!("{address}/{bits}"),
                None => hex(bytes),
            },
            Form::Protocol => protocol(bytes.first().copied().unwrap_or_default()),
            Form::Flags => flags(bytes, &TCP_FLAGS),
            Form::Number => decimal(bytes),
        }
    }
}

/// The address that begins with these bytes.
fn address(header: Header, bytes: &[u8]) -> Option<IpAddr> {
    match header {
        Header::Ipv4 => {
            let mut octets = [0; 4];
            octets.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(Ipv4Addr::from(octets).into())
        }
        Header::Ipv6 => {
            let mut octets = [0; 16];
            octets.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(Ipv6Addr::from(octets).into())
        }
        Header::Transport(_) => None,
    }
}

fn protocol_name(number: u8) -> Option<&'static str> {
    Some(match number {
        IPPROTO_ICMP => "icmp",
        IPPROTO_TCP => "tcp",
        IPPROTO_UDP => "udp",
        33 => "dccp",
        50 => "esp",
        51 => "ah",
        IPPROTO_ICMPV6 => "icmpv6",
        132 => "sctp",
        _ => return None,
    })
}

/// A protocol of IP by its name, or its number.
pub(super) fn protocol(number: u8) -> String {
    protocol_name(number).map_or_else(|| number.to_string(), str::to_owned)
}

/// The names of the bits that are set, the lowest first.
pub(super) fn flags(bytes: &[u8], names: &[&str]) -> String {
    let value = number(bytes);
    let set = names.iter().enumerate();
    let set = set.filter(|(bit, name)| value >> bit & 1 == 1 && !name.is_empty());
    let set: Vec<_> = set.map(|(_, name)| *name).collect();
    match set.is_empty() {
        true => hex(bytes),
        false => set.join(","),
    }
}

/// A number in the order of the network; of a longer one, the last bytes.
fn number(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().map(|byte| u64::from(*byte));
    digits.fold(0, |all, byte| all << 8 | byte)
}

/// A number that is not too long for one, in words.
pub(super) fn decimal(bytes: &[u8]) -> String {
    match bytes.len() {
        0..=8 => number(bytes).to_string(),
        _ => hex(bytes),
    }
}

/// `0x0a0b`
pub(super) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    format!("0x{}", digits.collect::<String>())
}

/// The name of a key of `meta`.
pub(super) fn meta_name(key: u32) -> &'static str {
    META.get(key as usize).copied().unwrap_or("?")
}
