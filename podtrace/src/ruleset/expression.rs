//! The expressions of rules (linux/netfilter/nf_tables.h).
use super::fields::meta_name;
use crate::{
    model::ruleset::Action,
    nfnetlink::{attribute, attributes, number, text},
};

/// The verdicts of netfilter, and those of nf_tables beside them.
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;
const GOTO: i32 = -4;
const RETURN: i32 = -5;
/// `NFTA_LIST_ELEM`, `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
const ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;
/// `NFTA_DATA_VALUE`, `NFTA_DATA_VERDICT`, `NFTA_VERDICT_CODE`, `NFTA_VERDICT_CHAIN`.
const VALUE: u16 = 1;
const VERDICT: u16 = 2;
const CODE: u16 = 1;
const CHAIN: u16 = 2;

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression<'a> {
    /// Loads a part of a header.
    Payload {
        to: usize,
        base: u32,
        offset: u32,
        len: usize,
    },
    /// Loads what is known beside the packet.
    Meta { to: usize, key: u32 },
    /// Loads what connection tracking knows.
    Connection { to: usize, key: u32 },
    /// Masks a register.
    Mask {
        from: usize,
        to: usize,
        mask: &'a [u8],
        xor: &'a [u8],
    },
    /// Compares a register; another one than the packet ends the rule.
    Compare {
        from: usize,
        op: u32,
        value: &'a [u8],
    },
    /// Compares it with a range.
    Range {
        from: usize,
        is_not: bool,
        low: &'a [u8],
        high: &'a [u8],
    },
    /// Looks a register up in a set, in a map of verdicts, or in one of values.
    Lookup {
        from: usize,
        /// Where a value goes.
        to: Option<usize>,
        set: String,
        is_not: bool,
        is_map: bool,
    },
    /// Decides.
    Verdict(Verdict),
    /// A match of iptables: its name, and its data.
    Match(String, &'a [u8]),
    /// A target of iptables.
    Target(String),
    /// Writes to a log.
    Log(Option<String>),
    /// Loads something else into a register.
    Other { to: usize, name: String },
    /// Does something else, by name.
    Statement(String),
    /// Counts, or sets a register; nothing depends on it.
    Nothing,
}

/// What decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
    Other,
}

/// The expressions of a rule, as far as they can be read.
pub(super) fn expressions(list: &[u8]) -> impl Iterator<Item = Expression<'_>> {
    let elements = attributes(list).filter(|(kind, _)| *kind == ELEMENT);
    elements.filter_map(|(_, element)| {
        let name = text(attribute(element, NAME)?);
        let data = attribute(element, DATA).unwrap_or_default();
        let known = expression(&name, data);
        Some(known.unwrap_or(Expression::Statement(name)))
    })
}

fn expression<'a>(name: &str, data: &'a [u8]) -> Option<Expression<'a>> {
    let get = |kind| attribute(data, kind);
    let of = |kind| number(get(kind)?);
    let at = |kind| of(kind).and_then(register);
    let value = |kind| attribute(get(kind)?, VALUE);
    Some(match name {
        "payload" => Expression::Payload {
            to: at(1)?,
            base: of(2)?,
            offset: of(3)?,
            len: of(4)? as usize,
        },
        "meta" => match at(1) {
            Some(to) => Expression::Meta { to, key: of(2)? },
            None => Expression::Statement(format!("meta {} set", meta_name(of(2)?))),
        },
        "ct" => Expression::Connection {
            to: at(1)?,
            key: of(2)?,
        },
        "bitwise" => Expression::Mask {
            from: at(1)?,
            to: at(2)?,
            mask: value(4)?,
            xor: value(5)?,
        },
        "cmp" => Expression::Compare {
            from: at(1)?,
            op: of(2)?,
            value: value(3)?,
        },
        "range" => Expression::Range {
            from: at(1)?,
            is_not: of(2)? == 1,
            low: value(3)?,
            high: value(4)?,
        },
        "lookup" => Expression::Lookup {
            from: at(2)?,
            to: at(3),
            set: text(get(1)?),
            is_not: of(5).is_some_and(|flags| flags & 1 == 1),
            is_map: of(3) == Some(0),
        },
        "immediate" if of(1)? == 0 => Expression::Verdict(verdict(get(2)?)?),
        "immediate" | "counter" | "notrack" => Expression::Nothing,
        "match" => Expression::Match(text(get(1)?), get(3).unwrap_or_default()),
        "target" => Expression::Target(text(get(1)?)),
        "log" => Expression::Log(get(2).map(text)),
        // They load what they find.
        "fib" | "rt" | "socket" | "exthdr" | "osf" | "numgen" | "hash" | "xfrm" | "tunnel" => {
            let to = at(1).or_else(|| at(2))?;
            let name = name.to_owned();
            Expression::Other { to, name }
        }
        "byteorder" => Expression::Other {
            to: at(2)?,
            name: name.to_owned(),
        },
        _ => return None,
    })
}

impl From<Verdict> for Action {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accept => Self::Accept,
            Verdict::Drop => Self::Drop,
            Verdict::Return => Self::Return,
            Verdict::Jump(chain) => Self::Jump(chain),
            Verdict::Goto(chain) => Self::Goto(chain),
            Verdict::Other => Self::Continue,
        }
    }
}

/// The verdict in the data of an expression.
pub(super) fn verdict(data: &[u8]) -> Option<Verdict> {
    decided(attribute(data, VERDICT)?)
}

/// The verdict by its code.
pub(super) fn decided(verdict: &[u8]) -> Option<Verdict> {
    let code = number(attribute(verdict, CODE)?)?.cast_signed();
    let chain = || attribute(verdict, CHAIN).map(text).unwrap_or_default();
    Some(match code {
        DROP => Verdict::Drop,
        ACCEPT => Verdict::Accept,
        RETURN => Verdict::Return,
        JUMP => Verdict::Jump(chain()),
        GOTO => Verdict::Goto(chain()),
        _ => Verdict::Other,
    })
}

/// The number of a register's first word: there are 16 of four bytes each. The first four numbers
/// of old stand for four words each.
fn register(number: u32) -> Option<usize> {
    let word = match number {
        1..=4 => (number - 1) * 4,
        8..=23 => number - 8,
        _ => return None,
    };
    Some(word as usize)
}
