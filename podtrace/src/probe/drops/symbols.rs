//! The names of the kernel's functions, from `/proc/kallsyms`.
use std::{
    fs::File,
    io::{BufRead, BufReader, Seek as _},
    str,
};

/// The kernel's symbols, by address.
const SYMBOLS: &str = "/proc/kallsyms";
/// Upper bound of the names' bytes: a kernel has some MiB of them.
const NAMES_MAX: usize = 16 << 20;

/// The names of the kernel's functions.
pub(super) struct Symbols {
    /// Opened early: whether a reader sees addresses depends on the rights at that time.
    list: Option<File>,
    /// Empty until it is read, which takes a tenth of a second.
    table: Table,
}

/// Functions in the order of their addresses.
#[derive(Default)]
struct Table {
    /// The begin of each, and of its name.
    begins: Vec<(u64, u32)>,
    /// Names, a line each.
    names: Vec<u8>,
}

impl Symbols {
    /// The running kernel's.
    pub(super) fn open() -> Self {
        Self {
            list: File::open(SYMBOLS).ok(),
            table: Table::default(),
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

    /// Reads the names.
    pub(super) fn read(&mut self) {
        if let Some(mut list) = self.list.take()
            && list.rewind().is_ok()
        {
            self.table = Table::read(BufReader::with_capacity(1 << 16, list));
        }
    }

    /// The function that an address is in; none if the names were not read.
    pub(super) fn name(&self, address: u64) -> Option<&str> {
        self.table.name(address)
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
