//! What of an expression the kernel can decide.
//!
//! A packet is shown with all its hops if it matches at one of them, so the kernel may refuse
//! it at a hop only if it matches at none. What no hop changes is the innermost packet's
//! protocol: address translation changes addresses and ports, tunnels change all that is around
//! it, and a router its TTL. So the kernel asks for the protocols without which the expression
//! cannot be true. It lets ICMP pass, too: its errors tell why other packets went no further.
use std::ops::Range;

use podtrace_ebpf::config::FILTER_SLOTS;

use super::{Begin, Beyond, Block, Expression, Filter, Protocols, Scope, words};

/// Protocols that no outer header of a tunnel has.
const INNERMOST: [&str; 5] = ["icmp", "icmp6", "igmp", "sctp", "tcp"];
/// What VXLAN and Geneve are carried by.
const OUTER: &str = "udp";
/// Extension headers of IPv6: hop-by-hop options, routing, fragment, authentication, destination
/// options.
const EXTENSIONS: [u8; 5] = [0, 43, 44, 51, 60];
/// What always passes.
const ALWAYS: [&str; 2] = ["icmp", "icmp6"];

impl Filter {
    /// What a packet must match by its innermost network header; none if that decides nothing.
    #[must_use]
    pub fn for_kernel(&self) -> Option<Block> {
        block(&self.needs()?.join(" or "))
    }

    /// The same for who reads the protocol itself: of which of these the innermost packet must be.
    #[must_use]
    pub fn protocols(&self) -> Option<Protocols> {
        let needed = self.needs()?;
        Protocols::named(needed.into_iter().chain(ALWAYS))
    }

    /// The names of the protocols of which the innermost packet must be one.
    fn needs(&self) -> Option<Vec<&str>> {
        let text = self.expression.text();
        let protocols = Needs {
            text,
            scope: self.scope,
        };
        protocols.of(&words(text))
    }
}

/// What a packet must match by its innermost network header to be of one of these protocols, as
/// libpcap names them; none if a kernel cannot decide that. Behind extension headers of IPv6 it
/// may be of any.
#[must_use]
pub fn of_protocols(names: &[&str]) -> Option<Block> {
    let extended = EXTENSIONS.map(|number| format!("ip6[6] = {number}"));
    let names = names.iter().map(|name| (*name).to_owned());
    let terms: Vec<_> = names.chain(extended).collect();
    block(&terms.join(" or "))
}

fn block(needed: &str) -> Option<Block> {
    let always = ALWAYS.join(" or ");
    let relaxed = Expression::compile(&format!("{needed} or {always}")).ok()?;
    let block = relaxed.translate(Begin::Ip, Beyond::Unknown).ok()??;
    (block.code.len() <= FILTER_SLOTS).then_some(block)
}

/// Finds the protocols of which an expression needs one.
struct Needs<'a> {
    text: &'a str,
    scope: Scope,
}

impl<'a> Needs<'a> {
    fn word(&self, at: &Range<usize>) -> &'a str {
        self.text.get(at.clone()).unwrap_or_default()
    }

    /// The protocols of which the words need one; none if they may be true without.
    fn of(&self, words: &[Range<usize>]) -> Option<Vec<&'a str>> {
        let (parts, are_all_needed) = self.parts(words)?;
        match parts.as_slice() {
            [part] => self.of_one(part),
            parts if are_all_needed => parts.iter().find_map(|part| self.of(part)),
            parts => {
                let all: Option<Vec<_>> = parts.iter().map(|part| self.of(part)).collect();
                all.map(|all| all.concat())
            }
        }
    }

    /// The parts between `and`, or those between `or`, outside of parentheses, and whether it is
    /// `and`; none if there are both, which libpcap takes from left to right.
    fn parts<'w>(&self, words: &'w [Range<usize>]) -> Option<(Vec<&'w [Range<usize>]>, bool)> {
        let (mut depth, mut begin) = (0_usize, 0);
        let (mut parts, mut ands, mut ors) = (Vec::new(), 0, 0);
        for (at, word) in words.iter().enumerate() {
            match self.word(word) {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                joint @ ("and" | "&&" | "or" | "||") if depth == 0 => {
                    parts.push(words.get(begin..at)?);
                    begin = at + 1;
                    match joint {
                        "and" | "&&" => ands += 1,
                        _ => ors += 1,
                    }
                }
                _ => {}
            }
        }
        parts.push(words.get(begin..)?);
        (ands == 0 || ors == 0).then_some((parts, ors == 0))
    }

    fn of_one(&self, part: &[Range<usize>]) -> Option<Vec<&'a str>> {
        if let [open, inner @ .., close] = part
            && (self.word(open), self.word(close)) == ("(", ")")
            && self.is_balanced(inner)
        {
            return self.of(inner);
        }
        let first = self.word(part.first()?);
        let is_needed = match self.scope {
            Scope::Both => INNERMOST.contains(&first),
            Scope::Inner => INNERMOST.contains(&first) || first == OUTER,
            // The kernel looks at the innermost.
            Scope::Outer => false,
        };
        is_needed.then(|| vec![first])
    }

    /// Whether no parenthesis closes one that was opened before these words.
    fn is_balanced(&self, words: &[Range<usize>]) -> bool {
        let mut depth = 0_i32;
        words.iter().all(|word| {
            match self.word(word) {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            depth >= 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(text: &str, scope: Scope) -> Option<String> {
        let needs = Needs { text, scope };
        needs.of(&words(text)).map(|protocols| protocols.join(" "))
    }

    #[test]
    fn protocols_are_found_where_nothing_matches_without() {
        for (text, both, inner) in [
            ("icmp", Some("icmp"), Some("icmp")),
            ("tcp port 80", Some("tcp"), Some("tcp")),
            ("host 10.0.0.1 and tcp", Some("tcp"), Some("tcp")),
            ("tcp[tcpflags] & tcp-syn != 0", Some("tcp"), Some("tcp")),
            ("icmp or tcp port 80", Some("icmp tcp"), Some("icmp tcp")),
            (
                "(icmp or tcp) and host 10.0.0.1",
                Some("icmp tcp"),
                Some("icmp tcp"),
            ),
            ("((icmp)) and (tcp[0] = 1)", Some("icmp"), Some("icmp")),
            ("udp port 53", None, Some("udp")),
            ("udp or tcp", None, Some("udp tcp")),
            ("port 53", None, None),
            ("not tcp", None, None),
            ("! icmp", None, None),
            ("tcp or port 53", None, None),
            ("not (tcp) and (icmp)", Some("icmp"), Some("icmp")),
            ("(tcp) or not (icmp)", None, None),
            ("tcp or icmp and port 53", None, None),
            ("tcp src or dst port 80", None, None),
            ("ip proto 6", None, None),
            ("vlan and tcp", Some("tcp"), Some("tcp")),
            ("", None, None),
        ] {
            assert_eq!(needed(text, Scope::Both).as_deref(), both, "{text}");
            assert_eq!(needed(text, Scope::Inner).as_deref(), inner, "{text}");
            assert_eq!(needed(text, Scope::Outer), None, "{text}");
        }
    }

    #[test]
    fn block_fits() {
        let filter = |text: &str| Filter {
            expression: Expression::compile(text).unwrap(),
            scope: Scope::Inner,
        };
        let all = "icmp or icmp6 or igmp or sctp or tcp or udp";
        let block = filter(all).for_kernel().unwrap();
        assert!(!block.is_indexed);
        assert!(filter("port 53").for_kernel().is_none());
        let all: Vec<_> = all.split(" or ").chain(["esp", "ah"]).collect();
        assert!(of_protocols(&all).is_some() && of_protocols(&[]).is_some());
    }
}
