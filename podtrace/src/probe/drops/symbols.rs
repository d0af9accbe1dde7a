//! The names of the kernel's functions, from `/proc/kallsyms`.
use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Seek as _},
};

/// The kernel's symbols, by address.
const SYMBOLS: &str = "/proc/kallsyms";
/// Upper bound of the addresses that are remembered: there are as many places that drop packets
/// as a kernel has.
const KNOWN_MAX: usize = 1024;

/// The names of the functions that were asked for. The list has some hundred thousand symbols:
/// each new address is searched in it, and nothing else of it is kept.
pub(super) struct Symbols {
    /// Opened early: whether a reader sees addresses depends on the rights at that time.
    list: Option<File>,
    known: HashMap<u64, Option<Box<str>>>,
}

impl Symbols {
    /// The running kernel's.
    pub(super) fn open() -> Self {
        Self {
            list: File::open(SYMBOLS).ok(),
            known: HashMap::new(),
        }
    }

    /// Whether the list has addresses.
    pub(super) fn are_known(&self) -> bool {
        let mut first = String::new();
        let list = self.list.as_ref();
        let read = list.map(|list| BufReader::new(list).read_line(&mut first));
        let address = first.split(' ').next().unwrap_or_default();
        matches!(read, Some(Ok(1..))) && address.bytes().any(|digit| digit != b'0')
    }

    /// The function that an address is in; none if that cannot be read.
    pub(super) fn name(&mut self, address: u64) -> Option<&str> {
        if !self.known.contains_key(&address) {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            let found = self.list.as_mut().and_then(|list| {
                list.rewind().ok()?;
                search(BufReader::with_capacity(1 << 16, list), address)
            });
            self.known.insert(address, found);
        }
        self.known.get(&address)?.as_deref()
    }
}

/// The last function that begins at the address or before it. Each line is
/// `ffffffff81000000 T name`, with a module behind it.
fn search(mut list: impl BufRead, address: u64) -> Option<Box<str>> {
    let (mut best, mut found) = (0, None);
    let mut line = String::new();
    while list.read_line(&mut line).ok()? > 0 {
        let mut words = line.split_ascii_whitespace();
        if let (Some(begin), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
            && matches!(kind, "t" | "T" | "w" | "W")
            && let Ok(begin) = u64::from_str_radix(begin, 16)
            && begin <= address
            && begin > best
        {
            best = begin;
            found = Some(name.into());
        }
        line.clear();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
ffffffff81000000 T _text
ffffffff81000100 t nf_hook_slow
ffffffff81000180 d a_variable
ffffffff81000200 T icmp_rcv
ffffffffc0000000 t vxlan_xmit\t[vxlan]
";

    fn name(address: u64) -> Option<Box<str>> {
        search(LIST.as_bytes(), address)
    }

    #[test]
    fn function_around_an_address_is_found() {
        assert_eq!(name(0xffff_ffff_8100_0190).as_deref(), Some("nf_hook_slow"));
        assert_eq!(name(0xffff_ffff_8100_0200).as_deref(), Some("icmp_rcv"));
        assert_eq!(name(0xffff_ffff_c000_0010).as_deref(), Some("vxlan_xmit"));
        assert_eq!(name(7), None);
    }

    #[test]
    fn addresses_that_are_hidden_name_nothing() {
        let hidden = "0000000000000000 T _text\n0000000000000000 T icmp_rcv\n";
        assert_eq!(search(hidden.as_bytes(), 0xffff_ffff_8100_0190), None);
    }
}
