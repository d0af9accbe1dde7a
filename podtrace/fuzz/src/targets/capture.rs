//! A capture file: pcapng or pcap, plain or packed.
use std::mem::{self, Discriminant};

use podtrace::{
    packet::PacketKey,
    session::reader::{Item, Reader, ReaderOptions},
};

use crate::input::MemoryFile;

/// Items that are read at most: a packed file can hold very many.
const ITEMS_MAX: usize = 100_000;
/// Bytes of a file for each item, at least.
const ITEM_BYTES: usize = 6;
/// What a reader wants to see of a file that grows before it says what it is.
const HEADER: usize = 24;

/// Reads the file to its end; an undamaged one also while it grows.
pub(crate) fn run(bytes: &[u8]) {
    let Some(whole) = read(bytes, bytes.len()) else {
        return;
    };
    assert!(
        is_packed(bytes) || whole.items.len() <= bytes.len().div_ceil(ITEM_BYTES),
        "{} items",
        whole.items.len()
    );
    if !is_packed(bytes) && !whole.is_damaged && bytes.len() > HEADER {
        let middle = (bytes.len() / 2).max(HEADER);
        let grown = read(bytes, middle);
        // Without a magic number, a capture is known by its first whole block.
        let is_known = || read(&bytes[..middle], middle).is_some();
        assert!(
            grown.as_ref() == Some(&whole) || !is_known(),
            "{grown:?} while it grows, else {whole:?}"
        );
    }
}

/// What a reader gives of a file.
#[derive(Debug, PartialEq, Eq)]
struct Given {
    items: Vec<Brief>,
    is_damaged: bool,
}

/// An item, or what tells an event from another.
#[derive(Debug, PartialEq, Eq)]
enum Brief {
    Event(u32, u64, u32, PacketKey),
    Other(Discriminant<Item>),
}

/// Reads the file, of which `first_len` bytes are there at first.
fn read(bytes: &[u8], first_len: usize) -> Option<Given> {
    let (first, rest) = bytes.split_at(first_len);
    let mut file = MemoryFile::new(first).ok()?;
    let options = ReaderOptions {
        key_payload: 16,
        keep_captured: true,
        ..ReaderOptions::default()
    };
    let mut reader = Reader::open(&file.path(), options).ok()?;
    let mut given = Given {
        items: Vec::new(),
        is_damaged: false,
    };
    if !rest.is_empty() {
        take(&mut reader, &mut given)?;
        file.append(rest).ok()?;
    }
    take(&mut reader, &mut given)?;
    reader.finish();
    take(&mut reader, &mut given)?;
    for damage in reader.take_damage() {
        given.is_damaged = true;
        let end = damage.offset.checked_add(damage.len);
        // Offsets in a packed file may be those of what it holds.
        assert!(
            is_packed(bytes) || end.is_some_and(|end| end <= bytes.len() as u64),
            "{damage:?} is beyond the file"
        );
    }
    Some(given)
}

/// Takes all items that there are for now; none if the file cannot be read on.
fn take(reader: &mut Reader, given: &mut Given) -> Option<()> {
    while let Some(item) = reader.next_item().ok()? {
        let brief = match (item, reader.event()) {
            (Item::Event, Some(event)) => Brief::Event(
                event.interface,
                event.ts_ns,
                event.wire_len,
                event.packet.key(),
            ),
            (item, _) => Brief::Other(mem::discriminant(&item)),
        };
        given.items.push(brief);
        if given.items.len() > ITEMS_MAX {
            return None;
        }
    }
    Some(())
}

/// Whether the reader unpacks the file.
fn is_packed(bytes: &[u8]) -> bool {
    let word = bytes.first_chunk().map(|word| u32::from_le_bytes(*word));
    let is_zstd = word.is_some_and(|word| word == 0xfd2f_b528 || word & !0xf == 0x184d_2a50);
    is_zstd || bytes.starts_with(&[0x1f, 0x8b])
}
