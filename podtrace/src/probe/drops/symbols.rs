//! The names of the kernel's functions, from `/proc/kallsyms`.
use std::{
    fs::File,
    io::{BufRead, BufReader},
    str,
    sync::{Arc, OnceLock},
    thread,
};

use crate::privilege;

/// The kernel's symbols, by address.
const SYMBOLS: &str = "/proc/kallsyms";
/// Upper bound of the names' bytes: a kernel has some MiB of them.
const NAMES_MAX: usize = 16 << 20;

/// The names of the kernel's functions. To read them takes a tenth of a second, on a thread of its
/// own.
pub(super) struct Symbols(Arc<OnceLock<Table>>);

/// Functions in the order of their addresses.
#[derive(Default)]
struct Table {
    /// The begin of each, and of its name.
    begins: Vec<(u64, u32)>,
    /// Names, a line each.
    names: Vec<u8>,
}

impl Symbols {
    /// Begins to read those of the running kernel.
    pub(super) fn read() -> Self {
        let symbols = Self(Arc::default());
        let table = Arc::clone(&symbols.0);
        // Whether a reader sees addresses depends on the rights with which it opens the list.
        let list = File::open(SYMBOLS);
        let started = thread::Builder::new()
            .name("symbols".into())
            .spawn(move || {
                let read = privilege::keep(privilege::NONE).ok().and(list.ok());
                let read = read.map(|list| Table::read(BufReader::with_capacity(1 << 16, list)));
                let _ = table.set(read.unwrap_or_default());
            });
        if started.is_err() {
            let _ = symbols.0.set(Table::default());
        }
        symbols
    }

    /// Whether there are any; waits until they were read.
    pub(super) fn are_known(&self) -> bool {
        !self.0.wait().begins.is_empty()
    }

    /// The function that an address is in; none if its name cannot be read. Waits until the names
    /// were read.
    pub(super) fn name(&self, address: u64) -> Option<&str> {
        self.0.wait().name(address)
    }
}

impl Table {
    /// Reads lines as `ffffffff81000000 T name`, with a module behind the name.
    fn read(mut list: impl BufRead) -> Self {
        let mut table = Self::default();
        let mut line = Vec::new();
        while let Ok(1..) = list.read_until(b'\n', &mut line) {
            table.add(&line);
            line.clear();
        }
        table.begins.sort_unstable();
        table
    }

    fn add(&mut self, line: &[u8]) {
        let mut words = line.split(|byte| byte.is_ascii_whitespace());
        if let (Some(begin), Some([b't' | b'T' | b'w' | b'W']), Some(name)) =
            (words.next(), words.next(), words.next())
            && let Some(begin @ 1..) = number(begin)
            && self.names.len() + name.len() < NAMES_MAX
            && let Ok(at) = u32::try_from(self.names.len())
        {
            self.begins.push((begin, at));
            self.names.extend(name);
            self.names.push(b'\n');
        }
    }

    /// The last function that begins at the address or before it.
    fn name(&self, address: u64) -> Option<&str> {
        let behind = self.begins.partition_point(|(begin, _)| *begin <= address);
        let (_, at) = self.begins.get(behind.checked_sub(1)?)?;
        let name = self.names.get(*at as usize..)?;
        str::from_utf8(name.split(|byte| *byte == b'\n').next()?).ok()
    }
}

/// A hexadecimal number.
fn number(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
ffffffffc0000000 t vxlan_xmit\t[vxlan]
ffffffff81000000 T _text
ffffffff81000100 t nf_hook_slow
ffffffff81000180 d a_variable
ffffffff81000200 T icmp_rcv
";

    #[test]
    fn function_around_an_address_is_found() {
        let table = Table::read(LIST.as_bytes());
        assert_eq!(table.name(0xffff_ffff_8100_0190), Some("nf_hook_slow"));
        assert_eq!(table.name(0xffff_ffff_8100_0200), Some("icmp_rcv"));
        assert_eq!(table.name(0xffff_ffff_c000_0010), Some("vxlan_xmit"));
        assert_eq!(table.name(7), None);
    }

    #[test]
    fn addresses_that_are_hidden_name_nothing() {
        let hidden = "0000000000000000 T _text\n0000000000000000 T icmp_rcv\nnonsense\n\n";
        let table = Table::read(hidden.as_bytes());
        assert_eq!(table.name(0xffff_ffff_8100_0190), None);
    }
}
