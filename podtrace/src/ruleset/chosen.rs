//! The packets that an expression of pcap-filter asks for, as rules of a firewall can tell them.
use std::net::IpAddr;

use crate::model::{ruleset::Test, subnet::AddressPrefix};

/// Upper bound of the lists.
const LISTS_MAX: usize = 16;

/// Protocols by their names in expressions: family, and number.
const PROTOCOLS: [(&str, Option<bool>, Option<u8>); 6] = [
    ("icmp", Some(true), Some(1)),
    ("icmp6", Some(false), Some(58)),
    ("tcp", None, Some(6)),
    ("udp", None, Some(17)),
    ("ip", Some(true), None),
    ("ip6", Some(false), None),
];

/// Lists of tests, of which one holds for each packet that the expression asks for; none if it
/// says more than addresses, ports and protocols joined by `and`.
pub(crate) fn chosen(expression: &str) -> Option<Vec<Vec<Test>>> {
    let words: Vec<&str> = expression.split_whitespace().collect();
    let mut lists = vec![Vec::new()];
    for term in words.split(|word| matches!(*word, "and" | "&&")) {
        let alternatives = alternatives(term)?;
        let mut all = Vec::new();
        for list in &lists {
            let joined = alternatives
                .iter()
                .map(|tests| [list.as_slice(), tests].concat());
            all.extend(joined);
        }
        lists = all;
        if lists.len() > LISTS_MAX {
            return None;
        }
    }
    Some(lists)
}

/// The lists of tests that one term stands for.
fn alternatives(term: &[&str]) -> Option<Vec<Vec<Test>>> {
    let (protocol, rest) = match term {
        [first, rest @ ..] => match PROTOCOLS.iter().find(|(name, ..)| name == first) {
            Some((_, is_ipv4, number)) => {
                let family = is_ipv4.map(Test::Ipv4);
                let number = number.map(Test::Protocol);
                (family.into_iter().chain(number).collect(), rest)
            }
            None => (Vec::new(), term),
        },
        [] => return None,
    };
    let (side, rest) = match rest {
        ["src", rest @ ..] => (Some(true), rest),
        ["dst", rest @ ..] => (Some(false), rest),
        _ => (None, rest),
    };
    let both: [Test; 2] = match rest {
        [] if side.is_none() && !protocol.is_empty() => return Some(vec![protocol]),
        ["host", address] | [address] => {
            let address: IpAddr = address.parse().ok()?;
            let len = if address.is_ipv4() { 32 } else { 128 };
            let prefix = AddressPrefix { address, len };
            [Test::Source(prefix), Test::Destination(prefix)]
        }
        ["port", port] => {
            let port: u16 = port.parse().ok()?;
            [
                Test::SourcePort(port, port),
                Test::DestinationPort(port, port),
            ]
        }
        _ => return None,
    };
    let lists = both.into_iter().zip([true, false]);
    let lists = lists.filter(|(_, is_source)| side.is_none_or(|side| side == *is_source));
    let with = |(test, _)| protocol.iter().cloned().chain([test]).collect();
    Some(lists.map(with).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_ports_and_protocols_are_told_by_rules() {
        for (expression, lists) in [
            ("icmp", Some(1)),
            ("host 10.244.1.2", Some(2)),
            ("host 10.244.1.2 and tcp port 80", Some(4)),
            ("src 10.244.1.2 and dst host 10.244.2.2", Some(1)),
            ("ip6 and dst port 53", Some(1)),
            ("tcp or udp", None),
            ("not icmp", None),
            ("host web", None),
            ("", None),
            ("src and tcp", None),
            ("tcp[tcpflags] & tcp-syn != 0", None),
        ] {
            assert_eq!(
                chosen(expression).map(|all| all.len()),
                lists,
                "{expression}"
            );
        }
    }
}
