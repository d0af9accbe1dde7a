//! An expression, and a frame that it looks at.
use podtrace::filter::{Begin, Beyond, Expression, Filter, Scope, Seen};

use crate::input::parts;

/// Words that are no names: others would be looked up in the network.
const WORDS: [&str; 40] = [
    "and",
    "arp",
    "broadcast",
    "dst",
    "ether",
    "fd00::1",
    "geneve",
    "greater",
    "host",
    "icmp",
    "icmp6",
    "inbound",
    "ip",
    "ip6",
    "len",
    "less",
    "llc",
    "mask",
    "mpls",
    "multicast",
    "net",
    "not",
    "or",
    "outbound",
    "port",
    "portrange",
    "pppoes",
    "proto",
    "protochain",
    "sctp",
    "src",
    "tcp",
    "tcpflags",
    "udp",
    "vlan",
    "icmptype",
    "igmp",
    "esp",
    "ah",
    "iso",
];

/// Compiles the first part, and runs it on the second in all ways.
pub(crate) fn run(bytes: &[u8]) {
    let mut parts = parts(bytes);
    let (Some(text), Some(frame)) = (parts.next(), parts.next()) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    if !names_nothing(text) {
        return;
    }
    match Expression::compile(text) {
        Ok(expression) => all_ways(expression, frame),
        Err(mistake) => {
            assert!(
                mistake
                    .place()
                    .is_none_or(|place| text.get(place).is_some())
            );
            assert!(!mistake.to_string().contains('\u{1b}'));
        }
    }
}

/// Whether nothing of an expression would be looked up in the network, and it is not long.
pub(crate) fn names_nothing(text: &str) -> bool {
    let is_known = |word: &str| {
        let is_number = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | 'x');
        WORDS.contains(&word)
            || word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(is_number)
    };
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | ':' | '_' | '\\');
    let mut words = text.split(|c| !is_part(c));
    text.len() <= 400 && words.all(|word| word.is_empty() || is_known(word))
}

fn all_ways(expression: Expression, bytes: &[u8]) {
    for begin in [Begin::Ethernet, Begin::Ip] {
        for beyond in [Beyond::NoMatch, Beyond::Unknown] {
            let _ = expression.translate(begin, beyond);
        }
    }
    let mut filter = Filter {
        expression,
        scope: Scope::Both,
    };
    let seen = Seen {
        bytes,
        length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        begin: Begin::Ethernet,
        is_outgoing: false,
        tag: Some(5),
        inner: Some((14, Begin::Ip)),
    };
    let mut verdicts = [Scope::Both, Scope::Outer, Scope::Inner].map(|scope| {
        filter.scope = scope;
        let _ = filter.for_kernel();
        filter.matches(&seen)
    });
    let [both, outer, inner] = &mut verdicts;
    assert_eq!(*both, *outer || *inner);
}
