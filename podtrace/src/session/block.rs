//! Writes pcapng blocks.
mod packet;

use std::sync::LazyLock;

use crc32fast::Hasher;

pub use packet::{PacketBlock, encoded_option};

use super::format::{ENTERPRISE, ENTRY_BLOCK, ENTRY_MAGIC, Entry, MAGIC_JSON, OPT_CUSTOM, OPT_END};

/// Longest value of an option.
const OPTION_MAX: usize = u16::MAX as usize;

/// A block being written to a buffer. [`Self::end`] fills in its length fields.
pub struct Block<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Block<'a> {
    /// Begins a block of that type.
    pub fn begin(out: &'a mut Vec<u8>, kind: u32) -> Self {
        let start = out.len();
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        Self { out, start }
    }

    /// Appends bytes unchanged.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// Appends 16 bits.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends 32 bits.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends a time: 64 bits, the high half first.
    pub fn time(&mut self, ns: u64) -> &mut Self {
        let (high, low) = halves(ns);
        self.u32(high).u32(low)
    }

    /// Fills up to a multiple of 32 bits.
    pub fn pad(&mut self) -> &mut Self {
        let len = self.out.len() - self.start;
        self.bytes(&[0; 3][..len.wrapping_neg() % 4])
    }

    /// Appends an option; a value that is too long is cut.
    pub fn option(&mut self, code: u16, value: &[u8]) -> &mut Self {
        let value = &value[..value.len().min(OPTION_MAX)];
        self.u16(code).u16(len16(value.len())).bytes(value).pad()
    }

    /// Ends the options with a custom one that holds the value and the checksum, and ends
    /// the block.
    pub fn seal(&mut self, magic: [u8; 4], value: &[u8]) {
        let len = value.len().min(OPTION_MAX - 12);
        self.u16(OPT_CUSTOM).u16(len16(len + 12));
        self.u32(ENTERPRISE).bytes(&magic).bytes(&value[..len]);
        // Checksum with its padding, end of options, and the length again.
        let rest = 4 + len.wrapping_neg() % 4 + 4 + 4;
        self.set_length(self.out.len() + rest - self.start);
        self.checksum();
        self.pad().u16(OPT_END).u16(0);
        self.end();
    }

    /// [`Self::seal`] with JSON.
    pub fn seal_json(&mut self, value: &impl serde::Serialize) {
        // Cannot fail: the maps have string keys and nothing else can.
        let json = serde_json::to_vec(value).unwrap_or_default();
        self.seal(MAGIC_JSON, &json);
    }

    /// CRC-32 of the block so far.
    fn checksum(&mut self) {
        let crc = crc32(&self.out[self.start..]);
        self.u32(crc);
    }

    fn set_length(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.out[self.start + 4..self.start + 8].copy_from_slice(&len.to_le_bytes());
    }

    /// Ends the block.
    pub fn end(&mut self) {
        let len = self.out.len() + 4 - self.start;
        self.set_length(len);
        self.u32(u32::try_from(len).unwrap_or(u32::MAX));
    }
}

/// Appends an entry in a block of its own.
pub fn entry(out: &mut Vec<u8>, entry: &Entry) {
    let json = serde_json::to_vec(entry).unwrap_or_default();
    let mut block = Block::begin(out, ENTRY_BLOCK);
    block.bytes(&ENTRY_MAGIC);
    block.u32(u32::try_from(json.len()).unwrap_or(u32::MAX));
    block.bytes(&json).pad();
    block.set_length(block.out.len() + 8 - block.start);
    block.checksum();
    block.end();
}

/// CRC-32 of a block, by the best instructions of the processor, which are detected once.
fn crc32(block: &[u8]) -> u32 {
    static NEW: LazyLock<Hasher> = LazyLock::new(Hasher::new);
    let mut hasher = NEW.clone();
    hasher.update(block);
    hasher.finalize()
}

fn len16(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// High and low half.
#[must_use]
pub fn halves(value: u64) -> (u32, u32) {
    let [h0, h1, h2, h3, l0, l1, l2, l3] = value.to_be_bytes();
    (
        u32::from_be_bytes([h0, h1, h2, h3]),
        u32::from_be_bytes([l0, l1, l2, l3]),
    )
}
