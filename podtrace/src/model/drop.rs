//! Packets that a kernel dropped, as it tells them.
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use super::{
    hook::HookPoint,
    ruleset::{Family, Ruleset, safe},
};
use crate::{
    packet::{DecodeOptions, Framing, Packet, Transport, asks_to_connect},
    text::{hexadecimal, sanitize::sanitize},
};

/// Upper bound of the bytes kept of a dropped packet: enough for VXLAN over IPv6 and the
/// headers inside.
pub const DROP_BYTES: usize = 128;

/// Why the socket refuses a datagram that it was for.
const RECEIVER_REASONS: [&str; 4] = [
    "SOCKET_RCVBUFF",
    "SOCKET_FILTER",
    "SOCKET_BACKLOG",
    "PROTO_MEM",
];
/// What the names of UDP's functions begin with, and of those that put a datagram into the queue of
/// its socket.
const UDP: [&str; 2] = ["udp", "__udp"];
const UDP_QUEUE: [&str; 6] = [
    "udp_queue_rcv",
    "__udp_queue_rcv",
    "udp_unicast_rcv",
    "udpv6_queue_rcv",
    "__udpv6_queue_rcv",
    "udp6_unicast_rcv",
];

/// Whether a reason tells anything: kernels have none for many functions.
#[must_use]
pub fn tells(reason: &str) -> bool {
    !matches!(reason, "" | "NOT_SPECIFIED")
}

/// A packet that a kernel dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelDrop {
    /// Nanoseconds, on the clock of the events.
    pub ts_ns: u64,
    /// The reason as the kernel names it, without the common prefix: `NETFILTER_DROP`; none
    /// where it names none (before Linux 5.17).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The kernel's function that dropped it, if symbols can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The hook at which a firewall dropped it, if the calls that led there could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookPoint>,
    /// Id of the namespace of its device; 0 if it has no device.
    pub netns: u64,
    /// Index of its device in that namespace; 0 if it has none. It may be the next one on its
    /// way already.
    pub ifindex: u32,
    /// Index of the device that it came in by; 0 if it did not.
    pub came_by: u32,
    /// EtherType of its bytes.
    pub ethertype: u16,
    /// Its length in bytes, from its network header on.
    pub wire_len: u32,
    /// What of a firewall dropped it, if that was traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Box<DropRule>>,
    /// What connection tracking knew of its flow, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracked: Option<Tracked>,
    /// Its first bytes from there on, [`DROP_BYTES`] at most.
    #[serde(with = "hexadecimal")]
    pub bytes: Vec<u8>,
}

/// What connection tracking knows of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tracked {
    /// Whether it has the flow.
    pub is_known: bool,
    /// Whether it has seen a reply.
    pub has_reply: bool,
    /// Whether it translates its addresses or ports.
    pub is_translated: bool,
}

/// What that means for a packet that a firewall has dropped.
impl Display for Tracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_known {
            let why = "NEW, INVALID, or not tracked";
            return write!(f, "connection tracking has no entry of the flow: {why}");
        }
        f.write_str("connection tracking has the flow")?;
        f.write_str(match self.has_reply {
            true => ", with a reply",
            false => ", UNREPLIED",
        })?;
        f.write_str(match self.is_translated {
            true => ", and translates it",
            false => "",
        })
    }
}

/// The rule that dropped a packet, or the chain by its policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DropRule {
    /// The family of its table.
    pub family: Family,
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// Its handle, as `nft -a` shows it; none if the policy of the chain dropped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<u64>,
    /// Its number in the chain, from 1, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// What it says, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// `rule 7 of chain input of table inet podfw: ip saddr 10.244.1.2 drop`
impl Display for DropRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())?;
        match &self.text {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

impl DropRule {
    /// `rule 7 of chain input of table inet podfw`
    #[must_use]
    pub fn place(&self) -> String {
        let rule = match (self.handle, self.number) {
            (None, _) => "the policy".to_owned(),
            (_, Some(number)) => format!("rule {number}"),
            (Some(handle), None) => format!("the rule with handle {handle}"),
        };
        let (chain, family, table) = (&self.chain, self.family.as_str(), &self.table);
        format!("{rule} of chain {chain} of table {family} {table}")
    }

    /// Adds what is known of the rule.
    pub fn look_up(&mut self, ruleset: &Ruleset) {
        let chain = ruleset.chain(self.family, &self.table, &self.chain);
        let mut rules = chain.into_iter().flat_map(|chain| &chain.rules);
        if let Some(rule) = rules.find(|rule| Some(rule.handle) == self.handle) {
            self.number = Some(rule.number);
            self.text = Some(rule.text.clone());
        }
    }

    /// Its size in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let text = self.text.as_ref().map_or(0, String::capacity);
        size_of::<Self>() + self.table.capacity() + self.chain.capacity() + text
    }

    fn make_safe(&mut self) {
        let names = [
            Some(&mut self.table),
            Some(&mut self.chain),
            self.text.as_mut(),
        ];
        for name in names.into_iter().flatten() {
            *name = safe(name);
        }
    }
}

impl KernelDrop {
    /// The packet, as far as its bytes show it.
    #[must_use]
    pub fn packet(&self, options: &DecodeOptions) -> Packet {
        Packet::decode(&self.bytes, self.wire_len, Framing::Ip, options)
    }

    /// The same without the packet's bytes.
    #[must_use]
    pub fn without_bytes(&self) -> Self {
        Self {
            reason: self.reason.clone(),
            function: self.function.clone(),
            rule: self.rule.clone(),
            bytes: Vec::new(),
            ..*self
        }
    }

    /// The reason, if it tells anything.
    #[must_use]
    pub fn telling_reason(&self) -> Option<&str> {
        let reason = self.reason.as_deref();
        reason.filter(|name| tells(name))
    }

    /// What the kernel says of it: `NETFILTER_DROP in nft_do_chain`, `no reason named, in ip_error`
    #[must_use]
    pub fn words(&self) -> String {
        match (self.telling_reason(), &self.function) {
            (Some(reason), Some(function)) => format!("{reason} in {function}"),
            (Some(reason), None) => reason.to_owned(),
            (None, Some(function)) => format!("no reason named, in {function}"),
            (None, None) => "no reason named".to_owned(),
        }
    }

    /// Whether the packet had passed the network when it was dropped: by TCP, such as a segment
    /// that came twice, or by a socket, which may have had a copy of it, as raw sockets of all
    /// ICMP messages, or have closed before a program took it.
    ///
    /// That the packet has a socket tells nothing: IP looks for it before the firewall is asked.
    #[must_use]
    pub fn is_by_transport(&self) -> bool {
        let Some(reason) = self.telling_reason() else {
            return !self.is_by_network();
        };
        let function = self.function.as_deref().unwrap_or_default();
        match reason {
            "QUEUE_PURGE" => !self.is_by_network(),
            // Raw sockets have copies, each of which the policy may refuse.
            "XFRM_POLICY" => function.starts_with("raw"),
            "NO_SOCKET" | "PROTO_MEM" | "PACKET_SOCK_ERROR" => true,
            // What a socket's keys, its minimal TTL or the checksum refuse is for no socket.
            "TCP_CSUM" | "TCP_MINTTL" | "TCP_AUTH_HDR" => false,
            _ => {
                let begins_with = |begin: &&str| reason.starts_with(*begin);
                !["TCP_MD5", "TCP_AO"].iter().any(begins_with)
                    && ["SOCKET_", "TCP_"].iter().any(begins_with)
            }
        }
    }

    /// Whether the socket that a datagram was for has refused it: no program gets it. Only UDP's own
    /// functions tell of that socket; where no symbols can be read, it is taken for it.
    #[must_use]
    pub fn is_by_receiver(&self, packet: &Packet) -> bool {
        let begins_with = |begins: &[&str], function: &str| {
            begins.iter().any(|begin| function.starts_with(*begin))
        };
        let function = self.function.as_deref();
        let is_told = match self.telling_reason() {
            Some(reason) => {
                RECEIVER_REASONS.contains(&reason)
                    && function.is_none_or(|function| begins_with(&UDP, function))
            }
            None => function.is_some_and(|function| begins_with(&UDP_QUEUE, function)),
        };
        is_told && matches!(packet.transport, Transport::Udp { .. })
    }

    /// Whether nobody listens at the port that a connection is asked of.
    #[must_use]
    pub fn is_without_listener(&self, packet: &Packet) -> bool {
        self.telling_reason() == Some("NO_SOCKET")
            && matches!(packet.transport, Transport::Tcp { flags, .. } if asks_to_connect(flags))
    }

    /// Whether its drop takes nothing from a packet that has arrived: it was dropped behind the
    /// network, and neither by the socket that it was for nor for lack of one.
    #[must_use]
    pub fn is_beyond(&self, packet: &Packet) -> bool {
        self.is_by_transport() && !self.is_by_receiver(packet) && !self.is_without_listener(packet)
    }

    /// Whether a firewall dropped it.
    #[must_use]
    pub fn is_by_firewall(&self) -> bool {
        let function = self.function.as_deref().unwrap_or_default();
        match self.telling_reason() {
            Some(reason) => reason == "NETFILTER_DROP",
            None => ["nf_", "nft_", "ipt_", "ip6t_"]
                .iter()
                .any(|begin| function.starts_with(begin)),
        }
    }

    /// Whether a function of the network layer or of the firewall dropped it.
    fn is_by_network(&self) -> bool {
        let function = self.function.as_deref().unwrap_or_default();
        ["nf", "ip_", "ip6_", "ipv6_", "arp_", "br_"]
            .iter()
            .any(|begin| function.starts_with(begin))
    }

    /// Sanitizes the names, as a file can hold anything.
    pub fn make_safe(&mut self) {
        for name in [&mut self.reason, &mut self.function].into_iter().flatten() {
            *name = sanitize(name);
        }
        if let Some(rule) = &mut self.rule {
            rule.make_safe();
        }
        self.bytes.truncate(DROP_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_of_a_socket_is_behind_the_network() {
        for (reason, function, is_by_transport) in [
            ("QUEUE_PURGE", Some("inet_sock_destruct"), true),
            ("QUEUE_PURGE", Some("nf_queue_nf_hook_drop"), false),
            ("QUEUE_PURGE", None, true),
            ("SOCKET_FILTER", Some("sock_queue_rcv_skb_reason"), true),
            ("NOT_SPECIFIED", Some("inet_sock_destruct"), true),
            ("NOT_SPECIFIED", Some("ip_error"), false),
            ("NETFILTER_DROP", Some("nf_hook_slow"), false),
            ("NETFILTER_DROP", None, false),
            ("IP_RPFILTER", Some("ip_rcv_finish_core"), false),
            ("XFRM_POLICY", Some("tcp_v4_rcv"), false),
            ("XFRM_POLICY", Some("raw_rcv"), true),
            ("PACKET_SOCK_ERROR", Some("packet_rcv"), true),
            ("TCP_CSUM", Some("tcp_v4_rcv"), false),
            ("TCP_MD5NOTFOUND", Some("tcp_v4_rcv"), false),
            ("TCP_OLD_DATA", Some("tcp_data_queue"), true),
        ] {
            let drop = KernelDrop {
                reason: Some(reason.into()),
                function: function.map(Into::into),
                ..KernelDrop::default()
            };
            assert_eq!(
                drop.is_by_transport(),
                is_by_transport,
                "{reason} {function:?}"
            );
        }
    }
}
