//! Matches and targets of iptables.
use super::{Reader, STATES};
use crate::{
    model::ruleset::{Action, Test},
    nfnetlink::text,
    packet::{IPPROTO_TCP, IPPROTO_UDP},
    ruleset::fields::flags,
};

impl Reader<'_> {
    /// A match of iptables.
    pub(super) fn matched(&mut self, name: &str, data: &[u8]) {
        let port = |at: usize| Some(u16::from_ne_bytes(*data.get(at..)?.first_chunk()?));
        let ports = || Some(((port(0)?, port(2)?), (port(4)?, port(6)?)));
        match (name, ports()) {
            ("comment", _) => {
                let comment = text(data);
                self.comments.push(format!("/* {comment} */"));
            }
            // `struct xt_tcp` and `xt_udp`; what is inverted is behind the ports.
            ("tcp" | "udp", Some((source, destination))) if is_plain(name, data) => {
                let number = if name == "tcp" {
                    IPPROTO_TCP
                } else {
                    IPPROTO_UDP
                };
                self.transport = Some(number);
                for (side, (low, high)) in [("sport", source), ("dport", destination)] {
                    if (low, high) == (0, u16::MAX) {
                        continue;
                    }
                    let test = match side {
                        "sport" => Test::SourcePort(low, high),
                        _ => Test::DestinationPort(low, high),
                    };
                    self.test(Some(test), false);
                    let range = match low == high {
                        true => low.to_string(),
                        false => format!("{low}-{high}"),
                    };
                    self.say(format!("{name} {side} {range}"));
                }
            }
            // `struct ipt_icmp` and `ip6t_icmp`: the type, the first and the last code, and whether
            // that is inverted; `ipt_ttl_info` and `ip6t_hl_info`: how, and the number.
            ("icmp" | "icmp6", _) if let &[kind, 0, 0xff, 0, ..] = data => {
                // Any type.
                if kind != 0xff {
                    self.test(Some(Test::MessageType(kind, kind)), false);
                }
                let name = if name == "icmp" { "icmp" } else { "icmpv6" };
                self.say(format!("{name} type {kind}"));
            }
            ("ttl" | "hl", _) if let Some((least, greatest, sign)) = hops(data) => {
                let is_not = sign == "!= ";
                self.test(Some(Test::Ttl(least, greatest)), is_not);
                let name = if name == "ttl" {
                    "ip ttl"
                } else {
                    "ip6 hoplimit"
                };
                let number = data.get(1).copied().unwrap_or_default();
                self.say(format!("{name} {sign}{number}"));
            }
            ("conntrack", _) if states(data).is_some() => {
                let states = states(data).unwrap_or_default();
                self.unknown(format!("ct state {states}"));
            }
            _ => self.unknown(format!("-m {name}")),
        }
    }

    /// A target of iptables.
    pub(super) fn target(&mut self, name: String) {
        self.rule.action = match name.as_str() {
            "REJECT" => Action::Reject,
            "DNAT" | "SNAT" | "MASQUERADE" | "REDIRECT" | "NETMAP" | "TPROXY" => Action::Accept,
            _ => Action::Continue,
        };
        self.say(match name.as_str() {
            "REJECT" => "reject".to_owned(),
            _ => format!("-j {name}"),
        });
    }
}

/// The least and the greatest TTL of `struct ipt_ttl_info`, and the sign of its comparison.
fn hops(data: &[u8]) -> Option<(u8, u8, &'static str)> {
    let (how, number) = (*data.first()?, *data.get(1)?);
    Some(match how {
        0 => (number, number, ""),
        1 => (number, number, "!= "),
        2 => (0, number.checked_sub(1)?, "< "),
        3 => (number.checked_add(1)?, u8::MAX, "> "),
        _ => return None,
    })
}

/// Whether a match of ports is not inverted, nor about flags and options. Behind the ports,
/// `struct xt_tcp` has the option, mask and value of flags and what is inverted, `struct xt_udp`
/// what is inverted.
fn is_plain(name: &str, data: &[u8]) -> bool {
    let rest = if name == "tcp" { 8..12 } else { 8..9 };
    data.get(rest)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
}

/// The states of connections in `struct xt_conntrack_mtinfo2` and `3`, if it is about nothing
/// else: flags at 146, what is inverted behind them, and the mask of states.
fn states(data: &[u8]) -> Option<String> {
    let word = |at: usize| Some(u16::from_ne_bytes(*data.get(at..)?.first_chunk()?));
    let (matched, inverted, states) = (word(146)?, word(148)?, word(150)?);
    let not = if inverted == 1 { "!= " } else { "" };
    (matched == 1).then(|| format!("{not}{}", flags(&states.to_be_bytes(), &STATES)))
}
