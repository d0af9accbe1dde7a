//! A rule from its expressions: its words, its conditions, and what it does.
use super::{
    expression::{Expression, Verdict, expressions},
    fields::{Header, flags, hex, protocol},
};
use crate::{
    model::ruleset::{Action, Condition, Family, Rule, Test, safe},
    packet::{IPPROTO_TCP, IPPROTO_UDP},
};

/// Places of headers, `NFT_PAYLOAD_NETWORK_HEADER` and `_TRANSPORT_HEADER`.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// `NFT_CMP_EQ`, `_NEQ`, `_LTE`, `_GTE`, and the signs of all.
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;
const SIGNS: [&str; 6] = ["", "!= ", "< ", "<= ", "> ", ">= "];
/// `enum nft_meta_keys` and `enum nft_ct_keys`, as `nft` names them.
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
const STATES: [&str; 7] = [
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

/// The name of a key of `meta`.
pub(super) fn meta_name(key: u32) -> &'static str {
    META.get(key as usize).copied().unwrap_or("?")
}

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

/// Reads a rule of a table.
#[derive(Default)]
struct Reader {
    network: Option<Header>,
    transport: Option<u8>,
    registers: [Option<Loaded>; 16],
    /// Words that are left out if the next ones imply them.
    implied: Vec<String>,
    words: Vec<String>,
    rule: Rule,
}

/// The rule with these expressions. `comment`: what its author says of it.
pub(super) fn rule(family: Family, list: &[u8], comment: Option<&str>) -> Rule {
    let network = match family {
        Family::Ip => Some(Header::Ipv4),
        Family::Ip6 => Some(Header::Ipv6),
        _ => None,
    };
    let mut reader = Reader {
        network,
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

impl Reader {
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
                set,
                is_not,
                is_map,
            } => {
                let name = self
                    .loaded(from)
                    .map_or_else(String::new, |loaded| self.name(&loaded));
                let kind = if is_map { "vmap " } else { "" };
                let not = if is_not { "!= " } else { "" };
                self.unknown(format!("{name} {not}{kind}@{set}"));
                if is_map {
                    self.rule.action = Action::Map;
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

    /// Adds words, after those that they do not imply.
    fn say(&mut self, words: String) {
        let first = words.split(' ').next().unwrap_or_default();
        let implied = std::mem::take(&mut self.implied);
        let rest = implied.into_iter().filter(|implied| {
            let is_said = match first {
                "ip" | "ip6" | "icmpv6" => implied.starts_with("meta nfproto"),
                _ => false,
            };
            !is_said && implied.strip_prefix("meta l4proto ") != Some(first)
        });
        self.words.extend(rest);
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

    fn compare(&mut self, from: usize, op: u32, value: &[u8]) {
        let Some(loaded) = self.loaded(from) else {
            return self.unknown("?".to_owned());
        };
        match loaded.what {
            What::Payload { base, offset, .. } => {
                self.compare_header(&loaded, base, offset, op, value)
            }
            What::Meta(key) if loaded.mask.is_none() && op <= NOT_EQUAL => {
                self.compare_meta(key, op == NOT_EQUAL, value);
            }
            What::Connection(0) if is_any(&loaded, op, value) => {
                let states = flags(
                    &reversed(loaded.mask.as_deref().unwrap_or_default()),
                    &STATES,
                );
                self.unknown(format!("ct state {states}"));
            }
            _ => {
                let (name, sign) = (self.name(&loaded), sign(op));
                // Numbers are in the order of the processor.
                let value = hex(&reversed(value));
                self.unknown(format!("{name} {sign}{value}"));
            }
        }
    }

    fn header(&self, base: u32) -> Option<Header> {
        match base {
            NETWORK => self.network,
            TRANSPORT => Some(Header::Transport(self.transport)),
            _ => None,
        }
    }

    /// A comparison may be with several fields in a row.
    fn compare_header(&mut self, loaded: &Loaded, base: u32, offset: u32, op: u32, value: &[u8]) {
        let header = self.header(base);
        let (mut offset, mut rest) = (offset, value);
        let mut mask = loaded.mask.as_deref();
        while !rest.is_empty() {
            let Some(field) = header.and_then(|header| header.field(offset)) else {
                let name = self.name(loaded);
                return self.unknown(format!("{name} {}{}", sign(op), hex(value)));
            };
            let len = field.len.min(rest.len());
            let (one, after) = rest.split_at(len);
            let of_field = mask.map(|mask| &mask[..len.min(mask.len())]);
            let bits = match of_field {
                Some(mask) => prefix_bits(mask),
                None => Some(len * 8),
            };
            let is_flags = op == NOT_EQUAL && value.iter().all(|byte| *byte == 0);
            match (bits, of_field) {
                (Some(0), _) => {}
                (_, Some(mask)) if is_flags => {
                    self.unknown(format!(
                        "{} {}",
                        field.name(),
                        field.value(mask, field.len * 8)
                    ));
                }
                (Some(bits), _) => {
                    let test = match op {
                        EQUAL | NOT_EQUAL => field.test(one, one, bits),
                        _ => None,
                    };
                    // Several fields differ if one of them does.
                    let test = test.filter(|_| op == EQUAL || len == value.len());
                    if let (Some(Test::Protocol(number)), EQUAL) = (&test, op) {
                        self.transport = Some(*number);
                    }
                    self.test(test, op == NOT_EQUAL);
                    let value = field.value(one, bits);
                    self.say(format!("{} {}{value}", field.name(), sign(op)));
                }
                (None, mask) => {
                    let mask = hex(mask.unwrap_or_default());
                    self.unknown(format!(
                        "{} & {mask} {}{}",
                        field.name(),
                        sign_or_equal(op),
                        hex(one)
                    ));
                }
            }
            mask = mask.map(|mask| mask.get(len..).unwrap_or_default());
            offset += u32::try_from(len).unwrap_or(u32::MAX / 2);
            rest = after;
        }
    }

    fn compare_meta(&mut self, key: u32, is_not: bool, value: &[u8]) {
        let name = meta_name(key);
        let not = if is_not { "!= " } else { "" };
        match (key, value) {
            (PROTOCOL | NFPROTO, _) if IPV4.contains(&value) || IPV6.contains(&value) => {
                let is_ipv4 = IPV4.contains(&value);
                let (header, word) = match is_ipv4 {
                    true => (Header::Ipv4, "ipv4"),
                    false => (Header::Ipv6, "ipv6"),
                };
                self.test(Some(Test::Ipv4(is_ipv4)), is_not);
                if !is_not {
                    self.network = Some(header);
                }
                self.implied.push(format!("meta nfproto {not}{word}"));
            }
            (L4PROTO, [number]) => {
                self.test(Some(Test::Protocol(*number)), is_not);
                if !is_not {
                    self.transport = Some(*number);
                }
                self.implied
                    .push(format!("meta l4proto {not}{}", protocol(*number)));
            }
            (IIFNAME | OIFNAME, _) => {
                let interface = interface(value);
                self.say(format!("{name} {not}\"{interface}\""));
                let test = match key {
                    IIFNAME => Test::Input(interface),
                    _ => Test::Output(interface),
                };
                self.test(Some(test), is_not);
            }
            // The first interface of each namespace is its loopback.
            (IIF | OIF, _) if value == 1_u32.to_ne_bytes() => {
                self.say(format!("{name} {not}\"lo\""));
                let test = match key {
                    IIF => Test::Input("lo".to_owned()),
                    _ => Test::Output("lo".to_owned()),
                };
                self.test(Some(test), is_not);
            }
            (IIF | OIF, _) => {
                let value = u32::from_ne_bytes(value.try_into().unwrap_or_default());
                self.unknown(format!("{name} {not}{value}"));
            }
            _ => self.unknown(format!("meta {name} {not}{}", hex(&reversed(value)))),
        }
    }

    fn range(&mut self, from: usize, is_not: bool, low: &[u8], high: &[u8]) {
        let not = if is_not { "!= " } else { "" };
        let Some(loaded) = self.loaded(from) else {
            return self.unknown("?".to_owned());
        };
        let field = match loaded.what {
            What::Payload { base, offset, .. } => self
                .header(base)
                .and_then(|header| header.field(offset))
                .filter(|field| field.len == low.len() && low.len() == high.len()),
            _ => None,
        };
        let Some(field) = field.filter(|_| loaded.mask.is_none()) else {
            let name = self.name(&loaded);
            return self.unknown(format!("{name} {not}{}-{}", hex(low), hex(high)));
        };
        let bits = field.len * 8;
        self.test(field.test(low, high, bits), is_not);
        let (low, high) = (field.value(low, bits), field.value(high, bits));
        self.say(format!("{} {not}{low}-{high}", field.name()));
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

    /// A match of iptables.
    fn matched(&mut self, name: &str, data: &[u8]) {
        let port = |at: usize| Some(u16::from_ne_bytes(*data.get(at..)?.first_chunk()?));
        let ports = || Some(((port(0)?, port(2)?), (port(4)?, port(6)?)));
        match (name, ports()) {
            ("comment", _) => {
                let comment = super::message::text(data);
                self.implied.push(format!("/* {comment} */"));
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
    fn target(&mut self, name: String) {
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
        let (action, words) = match verdict {
            Verdict::Accept => (Action::Accept, "accept".to_owned()),
            Verdict::Drop => (Action::Drop, "drop".to_owned()),
            Verdict::Return => (Action::Return, "return".to_owned()),
            Verdict::Jump(chain) => (Action::Jump(chain.clone()), format!("jump {chain}")),
            Verdict::Goto(chain) => (Action::Goto(chain.clone()), format!("goto {chain}")),
            Verdict::Other => (Action::Continue, "continue".to_owned()),
        };
        self.rule.action = action;
        self.say(words);
    }

    fn end(mut self, comment: Option<&str>) -> Rule {
        let rest = std::mem::take(&mut self.implied);
        self.words.extend(rest);
        if let Some(comment) = comment {
            self.words.push(format!("comment \"{comment}\""));
        }
        self.rule.text = safe(&self.words.join(" "));
        self.rule
    }
}

fn sign(op: u32) -> &'static str {
    SIGNS.get(op as usize).copied().unwrap_or("? ")
}

fn sign_or_equal(op: u32) -> &'static str {
    match op {
        EQUAL => "== ",
        _ => sign(op),
    }
}

/// Whether any of the masked bits has to be set.
fn is_any(loaded: &Loaded, op: u32, value: &[u8]) -> bool {
    loaded.mask.is_some() && op == NOT_EQUAL && value.iter().all(|byte| *byte == 0)
}

/// A number of the processor in the order of the network.
fn reversed(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_owned();
    if cfg!(target_endian = "little") {
        value.reverse();
    }
    value
}

/// How many of the first bits are set, if no others are.
fn prefix_bits(mask: &[u8]) -> Option<usize> {
    let set: usize = mask.iter().map(|byte| byte.count_ones() as usize).sum();
    let first = mask.iter().position(|byte| *byte != 0xff);
    let first = match first.and_then(|at| Some((at, mask.get(at)?))) {
        Some((at, byte)) => at * 8 + byte.leading_ones() as usize,
        None => mask.len() * 8,
    };
    (set == first).then_some(set)
}

/// The name of an interface; one that does not end by a zero stands for all that begin so.
fn interface(value: &[u8]) -> String {
    let name = super::message::text(value);
    match value.contains(&0) {
        true => name,
        false => format!("{name}*"),
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
