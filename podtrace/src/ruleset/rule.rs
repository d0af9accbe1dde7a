//! A rule from its expressions: its words, its conditions, and what it does.
mod compare;
mod lookup;
mod xtables;

use super::{
    expression::{Expression, Verdict, expressions},
    fields::{Header, hex, meta_name},
};
use crate::model::ruleset::{Action, Condition, Family, Rule, Test, safe};

/// `NFT_CMP_LTE`, `_GTE`, and the signs of all comparisons.
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;
const SIGNS: [&str; 6] = ["", "!= ", "< ", "<= ", "> ", ">= "];
/// `enum nft_ct_keys`, as `nft` names them.
const CONNECTION: [&str; 8] = [
    "state",
    "direction",
    "status",
    "mark",
    "secmark",
    "expiration",
    "helper",
    "l3proto",
];
/// The bits of `ct state`.
pub(super) const STATES: [&str; 7] = [
    "invalid",
    "established",
    "related",
    "new",
    "",
    "",
    "untracked",
];
const PROTOCOL: u32 = 1;
const IIF: u32 = 4;
const OIF: u32 = 5;
const IIFNAME: u32 = 6;
const OIFNAME: u32 = 7;
const NFPROTO: u32 = 15;
const L4PROTO: u32 = 16;
/// `ETH_P_IP` and `ETH_P_IPV6`; `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IPV4: [&[u8]; 2] = [&[8, 0], &[2]];
const IPV6: [&[u8]; 2] = [&[0x86, 0xdd], &[10]];

/// What a register holds.
#[derive(Clone, Debug)]
struct Loaded {
    what: What,
    /// The bits that count, if not all do.
    mask: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum What {
    Payload { base: u32, offset: u32, len: usize },
    Meta(u32),
    Connection(u32),
    Other(String),
}

/// The length of a set's key in bytes, by its name.
type KeyLen<'a> = &'a dyn Fn(&str) -> Option<usize>;

/// Reads a rule of a table.
#[derive(Default)]
struct Reader<'a> {
    /// The lengths of the keys of sets, in bytes.
    key_len: Option<KeyLen<'a>>,
    network: Option<Header>,
    transport: Option<u8>,
    registers: [Option<Loaded>; 16],
    /// Words that are left out if the next ones imply them.
    implied: Vec<String>,
    words: Vec<String>,
    /// Those of iptables.
    comments: Vec<String>,
    rule: Rule,
}

/// The rule with these expressions. `comment`: what its author says of it.
pub(super) fn rule(
    family: Family,
    list: &[u8],
    comment: Option<&str>,
    key_len: KeyLen<'_>,
) -> Rule {
    let network = match family {
        Family::Ip => Some(Header::Ipv4),
        Family::Ip6 => Some(Header::Ipv6),
        _ => None,
    };
    let mut reader = Reader {
        network,
        key_len: Some(key_len),
        ..Reader::default()
    };
    let mut all = expressions(list).peekable();
    while let Some(one) = all.next() {
        // A range is compared twice.
        let high = match (&one, all.peek()) {
            (
                Expression::Compare {
                    from, op: AT_LEAST, ..
                },
                Some(Expression::Compare {
                    from: same,
                    op: AT_MOST,
                    value,
                }),
            ) if from == same => Some(*value),
            _ => None,
        };
        match (one, high) {
            (Expression::Compare { from, value, .. }, Some(high)) => {
                reader.range(from, false, value, high);
                all.next();
            }
            (one, _) => reader.take(one),
        }
    }
    reader.end(comment)
}

impl Reader<'_> {
    fn take(&mut self, expression: Expression<'_>) {
        match expression {
            Expression::Payload {
                to,
                base,
                offset,
                len,
            } => self.load(to, What::Payload { base, offset, len }),
            Expression::Meta { to, key } => self.load(to, What::Meta(key)),
            Expression::Connection { to, key } => self.load(to, What::Connection(key)),
            Expression::Other { to, name } => self.load(to, What::Other(name)),
            Expression::Mask {
                from,
                to,
                mask,
                xor,
            } => self.mask(from, to, mask, xor),
            Expression::Compare { from, op, value } => self.compare(from, op, value),
            Expression::Range {
                from,
                is_not,
                low,
                high,
            } => self.range(from, is_not, low, high),
            Expression::Lookup {
                from,
                to,
                set,
                is_not,
                is_map,
            } => {
                self.look_up(from, &set, is_not, is_map);
                if let Some(to) = to {
                    self.load(to, What::Other("map".to_owned()));
                }
            }
            Expression::Verdict(verdict) => self.decide(verdict),
            Expression::Match(name, data) => self.matched(&name, data),
            Expression::Target(name) => self.target(name),
            Expression::Log(prefix) => {
                let prefix = prefix.map_or_else(String::new, |text| format!(" prefix \"{text}\""));
                self.say(format!("log{prefix}"));
            }
            Expression::Statement(name) => self.state(name),
            Expression::Nothing => {}
        }
    }

    fn load(&mut self, to: usize, what: What) {
        if let Some(register) = self.registers.get_mut(to) {
            *register = Some(Loaded { what, mask: None });
        }
    }

    fn loaded(&self, from: usize) -> Option<Loaded> {
        self.registers.get(from)?.clone()
    }

    fn mask(&mut self, from: usize, to: usize, mask: &[u8], xor: &[u8]) {
        let mut loaded = self.loaded(from);
        if let Some(loaded) = &mut loaded {
            if xor.iter().any(|byte| *byte != 0) {
                loaded.what = What::Other("bitwise".to_owned());
            }
            loaded.mask = Some(mask.to_owned());
        }
        if let Some(register) = self.registers.get_mut(to) {
            *register = loaded;
        }
    }

    /// Adds words, and forgets those that they imply.
    fn say(&mut self, words: String) {
        let parts = words.split(" . ");
        let firsts: Vec<_> = parts.filter_map(|part| part.split(' ').next()).collect();
        self.implied.retain(|implied| {
            let is_family = |first: &&str| matches!(*first, "ip" | "ip6" | "icmp" | "icmpv6");
            let names_family = implied.starts_with("meta nfproto") && firsts.iter().any(is_family);
            let protocol = implied.strip_prefix("meta l4proto ");
            !names_family && !protocol.is_some_and(|protocol| firsts.contains(&protocol))
        });
        self.words.push(words);
    }

    /// Adds a condition that is not followed.
    fn unknown(&mut self, words: String) {
        self.rule.is_conditional = true;
        self.say(words);
    }

    fn test(&mut self, test: Option<Test>, is_not: bool) {
        match test {
            Some(test) => self.rule.conditions.push(Condition { test, is_not }),
            None => self.rule.is_conditional = true,
        }
    }

    /// What a register holds, in words.
    fn name(&self, loaded: &Loaded) -> String {
        let name = match &loaded.what {
            What::Payload { base, offset, len } => {
                let field = self.header(*base).and_then(|header| header.field(*offset));
                let known = field.filter(|field| field.len == *len);
                known.map_or_else(
                    || {
                        format!(
                            "@{base},{},{}",
                            offset.saturating_mul(8),
                            len.saturating_mul(8)
                        )
                    },
                    |field| field.name(),
                )
            }
            What::Meta(key) => match *key {
                IIF..=OIFNAME => meta_name(*key).to_owned(),
                key => format!("meta {}", meta_name(key)),
            },
            What::Connection(key) => {
                let name = CONNECTION.get(*key as usize).copied().unwrap_or("?");
                format!("ct {name}")
            }
            What::Other(name) => name.clone(),
        };
        match &loaded.mask {
            Some(mask) => format!("{name} & {}", hex(&reversed(mask))),
            None => name,
        }
    }

    fn state(&mut self, name: String) {
        match name.as_str() {
            "reject" => self.rule.action = Action::Reject,
            "nat" | "masq" | "redir" | "tproxy" => self.rule.action = Action::Accept,
            // What exceeds them does not match.
            "limit" | "quota" | "connlimit" => self.rule.is_conditional = true,
            _ => {}
        }
        self.say(name);
    }

    fn decide(&mut self, verdict: Verdict) {
        self.rule.action = verdict.into();
        self.say(does(&self.rule.action));
    }

    fn end(mut self, comment: Option<&str>) -> Rule {
        // What it does comes last.
        let does = usize::from(self.rule.action != Action::Continue);
        let at = self.words.len().saturating_sub(does);
        self.words.splice(at..at, self.implied);
        self.words.extend(self.comments);
        if let Some(comment) = comment {
            self.words.push(format!("comment \"{comment}\""));
        }
        self.rule.text = safe(&self.words.join(" "));
        self.rule
    }
}

/// What is done, as `nft` has it.
pub(super) fn does(action: &Action) -> String {
    match action {
        Action::Accept => "accept".to_owned(),
        Action::Drop => "drop".to_owned(),
        Action::Reject => "reject".to_owned(),
        Action::Return => "return".to_owned(),
        Action::Jump(chain) => format!("jump {chain}"),
        Action::Goto(chain) => format!("goto {chain}"),
        Action::Continue | Action::Map => "continue".to_owned(),
    }
}

fn sign(op: u32) -> &'static str {
    SIGNS.get(op as usize).copied().unwrap_or("? ")
}

/// A number of the processor in the order of the network.
pub(super) fn reversed(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_owned();
    if cfg!(target_endian = "little") {
        value.reverse();
    }
    value
}
