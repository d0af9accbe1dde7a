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
