//! What a rule compares.
use super::{
    AT_LEAST, AT_MOST, IIF, IIFNAME, IPV4, IPV6, L4PROTO, Loaded, NFPROTO, OIF, OIFNAME, PROTOCOL,
    Reader, STATES, What, reversed, sign,
};
use crate::{
    model::ruleset::Test,
    nfnetlink::text,
    ruleset::fields::{Header, flags, hex, meta_name, protocol},
};

/// Places of headers, `NFT_PAYLOAD_NETWORK_HEADER` and `_TRANSPORT_HEADER`.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// `NFT_CMP_EQ`, `_NEQ`.
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
/// `NFT_CMP_LT`, `_GT`.
const LESS: u32 = 2;
const GREATER: u32 = 4;

impl Reader<'_> {
    pub(super) fn compare(&mut self, from: usize, op: u32, value: &[u8]) {
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
                let sign = match loaded.mask {
                    Some(_) => sign_or_equal(op),
                    None => sign(op),
                };
                let name = self.name(&loaded);
                // Numbers are in the order of the processor.
                let value = hex(&reversed(value));
                self.unknown(format!("{name} {sign}{value}"));
            }
        }
    }

    pub(super) fn header(&self, base: u32) -> Option<Header> {
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
                        _ => bounds(op, one).and_then(|(low, high)| field.test(&low, &high, bits)),
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

    pub(super) fn range(&mut self, from: usize, is_not: bool, low: &[u8], high: &[u8]) {
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

/// The least and the greatest number that a comparison with another lets pass, of as many bytes.
fn bounds(op: u32, value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (least, greatest) = (vec![0; value.len()], vec![0xff; value.len()]);
    // One more or less than it.
    let step = |is_up: bool| {
        let (mut bytes, (from, to)) = (value.to_owned(), if is_up { (0xff, 0) } else { (0, 0xff) });
        for byte in bytes.iter_mut().rev() {
            if *byte != from {
                *byte = if is_up { *byte + 1 } else { *byte - 1 };
                return Some(bytes);
            }
            *byte = to;
        }
        None
    };
    match op {
        LESS => Some((least, step(false)?)),
        AT_MOST => Some((least, value.to_owned())),
        GREATER => Some((step(true)?, greatest)),
        AT_LEAST => Some((value.to_owned(), greatest)),
        _ => None,
    }
}

/// The name of an interface; one that does not end by a zero stands for all that begin so.
fn interface(value: &[u8]) -> String {
    let name = text(value);
    match value.contains(&0) {
        true => name,
        false => format!("{name}*"),
    }
}
