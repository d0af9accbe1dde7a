//! What a rule looks up in sets and maps.
use super::{IIFNAME, L4PROTO, Loaded, NFPROTO, OIFNAME, PROTOCOL, Reader, What};
use crate::model::ruleset::{
    Action, Condition, Test, safe,
    sets::{Lookup, Part, Value},
};

/// The length of a register's word in bytes.
const WORD: usize = 4;
/// The length of the name of an interface, `IFNAMSIZ`.
const NAME_LEN: usize = 16;
/// `NFT_CT_STATE`.
const STATE: u32 = 0;
/// Keys of `meta` that are words of the processor: `NFT_META_LEN`, `_PRIORITY` to `_OIF`, `_SKUID`
/// and `_SKGID`.
const WORDS: [u32; 7] = [0, 2, 3, 4, 5, 10, 11];

impl Reader<'_> {
    pub(super) fn look_up(&mut self, from: usize, set: &str, is_not: bool, is_map: bool) {
        let key_len = self.key_len.and_then(|key_len| key_len(set));
        let parts = key_len.and_then(|key_len| self.parts(from, key_len));
        let first = || self.loaded(from).map(|loaded| self.name(&loaded));
        let name = match &parts {
            Some((_, names)) => names.join(" . "),
            None => first().unwrap_or_default(),
        };
        let kind = if is_map { "vmap " } else { "" };
        let not = if is_not { "!= " } else { "" };
        self.say(format!("{name} {not}{kind}@{set}"));
        let set = safe(set);
        self.rule.sets.push(set.clone());
        let lookup = parts.map(|(parts, _)| Lookup { set, parts });
        match (lookup, is_map) {
            (Some(lookup), false) => self.rule.conditions.push(Condition {
                test: Test::Set(lookup),
                is_not,
            }),
            (lookup, true) => {
                self.rule.is_conditional |= lookup.is_none();
                self.rule.map = lookup;
                self.rule.action = Action::Map;
            }
            (None, false) => self.rule.is_conditional = true,
        }
    }

    /// The parts of a key from a register on, with their names, if all of them are known.
    fn parts(&self, from: usize, key_len: usize) -> Option<(Vec<Part>, Vec<String>)> {
        let (mut parts, mut names) = (Vec::new(), Vec::new());
        let (mut word, words) = (0, key_len.div_ceil(WORD));
        while word < words {
            let loaded = self.loaded(from + word)?;
            let part = self.part(&loaded)?;
            word += usize::from(part.len).div_ceil(WORD).max(1);
            names.push(self.name(&loaded));
            parts.push(part);
        }
        (word == words).then_some((parts, names))
    }

    /// What a register holds.
    fn part(&self, loaded: &Loaded) -> Option<Part> {
        let (what, len) = match &loaded.what {
            What::Payload { base, offset, len } => {
                let field = self.header(*base).and_then(|header| header.field(*offset));
                let field = field.filter(|field| field.len == *len);
                (field.map_or(Value::Number, |field| field.what()), *len)
            }
            What::Meta(L4PROTO) => (Value::Protocol, 1),
            What::Meta(NFPROTO) => (Value::Family, 1),
            What::Meta(PROTOCOL) => (Value::Number, 2),
            What::Meta(IIFNAME) => (Value::Input, NAME_LEN),
            What::Meta(OIFNAME) => (Value::Output, NAME_LEN),
            What::Meta(key) if WORDS.contains(key) => (Value::Other, WORD),
            What::Connection(STATE) => (Value::State, WORD),
            What::Meta(_) | What::Connection(_) | What::Other(_) => return None,
        };
        let what = match loaded.mask {
            Some(_) => Value::Other,
            None => what,
        };
        let len = u8::try_from(len).ok()?;
        Some(Part { what, len })
    }
}
