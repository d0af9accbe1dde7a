//! Splits bytes into complete pcapng blocks, past any damage.
//!
//! A block states its length before and behind its body. If the two differ or are
//! impossible, the bytes are damaged up to the next complete block of a known type.
use std::io;

use super::{Damage, SEARCH_MAX, Source};
use crate::session::format::{
    BYTE_ORDER, ENHANCED_PACKET, ENTRY_BLOCK, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS,
    NAME_RESOLUTION, SECTION_HEADER,
};

/// The longest block that is read, in bytes; others are damage.
pub const MAX_BLOCK: usize = 16 << 20;
/// Bytes of one read.
const READ_BYTES: usize = 1 << 20;
/// Type and lengths.
const BLOCK_MIN: usize = 12;
/// The reason for a block that reaches beyond the end of the input.
const CUT: &str = "cut off within a block";
/// The reason for damage after which nothing is read.
const NO_BLOCK: &str = "no good block within 64 MiB, and the rest was not read";
/// Simple packet, obsolete packet, custom (copyable or not), secrets.
const OTHER_TYPES: [u32; 5] = [3, 2, 0x0bad, 0x4000_0bad, 10];

/// The byte order of a section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Endian {
    /// The lowest byte first.
    #[default]
    Little,
    /// The highest byte first.
    Big,
}

impl Endian {
    /// 16 bits at an offset.
    #[must_use]
    pub fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        })
    }

    /// 32 bits at an offset.
    #[must_use]
    pub fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        })
    }
}

/// One complete block.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Where it begins in the input, in bytes.
    pub offset: u64,
    /// Its type.
    pub kind: u32,
    /// Its byte order.
    pub endian: Endian,
    /// All its bytes, including type and lengths.
    pub bytes: &'a [u8],
}

/// Reads blocks.
pub struct Frames {
    source: Box<dyn Source>,
    /// Bytes of one read, before they go to the buffer.
    chunk: Vec<u8>,
    buffer: Vec<u8>,
    /// Where the unread part of the buffer begins.
    start: usize,
    /// Where `start` is in the input.
    offset: u64,
    endian: Endian,
    /// Where the damage being skipped began, and its reason.
    skipping: Option<(u64, &'static str)>,
    damage: Vec<Damage>,
    /// Where the last good block ended, and the one before.
    good: [u64; 2],
    /// Whether the search for the next one was given up.
    has_given_up: bool,
    /// Whether no more bytes will come.
    is_over: bool,
}

/// The result of examining an offset.
enum Found {
    Block(usize),
    /// This many bytes are needed to decide.
    More(usize),
    Nothing(&'static str),
}

impl Frames {
    /// `first`: bytes already taken from the source.
    #[must_use]
    pub fn new(source: Box<dyn Source>, first: Vec<u8>) -> Self {
        Self {
            source,
            chunk: vec![0; READ_BYTES],
            buffer: first,
            start: 0,
            offset: 0,
            endian: Endian::default(),
            skipping: None,
            damage: Vec::new(),
            good: [0; 2],
            has_given_up: false,
            is_over: false,
        }
    }

    /// The next complete block; none if the input has no more for now.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub fn next_block(&mut self) -> io::Result<Option<Frame<'_>>> {
        let mut is_at_end = false;
        loop {
            if self.offset - self.good[0] > SEARCH_MAX {
                self.give_up();
                return Ok(None);
            }
            match self.at(self.start) {
                Found::Block(len) => {
                    self.end_of_damage();
                    return Ok(Some(self.take(len)));
                }
                Found::More(len) => {
                    is_at_end = is_at_end || !self.fill(len)?;
                    if is_at_end && !self.give_up_long() {
                        return Ok(None);
                    }
                }
                Found::Nothing(reason) => {
                    self.skipping.get_or_insert((self.offset, reason));
                    self.skip();
                }
            }
        }
    }

    fn take(&mut self, len: usize) -> Frame<'_> {
        let (start, offset) = (self.start, self.offset);
        self.start += len;
        self.offset += len as u64;
        self.good = [self.offset, self.good[0]];
        let bytes = &self.buffer[start..start + len];
        Frame {
            offset,
            kind: self.endian.u32(bytes, 0).unwrap_or(0),
            endian: self.endian,
            bytes,
        }
    }

    /// Examines an offset of the buffer; takes the byte order from sections.
    fn at(&mut self, at: usize) -> Found {
        let Some(bytes) = self
            .buffer
            .get(at..)
            .filter(|bytes| bytes.len() >= BLOCK_MIN)
        else {
            return Found::More(BLOCK_MIN);
        };
        let mut endian = self.endian;
        let is_section = bytes.starts_with(&SECTION_HEADER.to_le_bytes());
        if is_section {
            endian = match Endian::Little.u32(bytes, 8) {
                Some(BYTE_ORDER) => Endian::Little,
                Some(other) if other.swap_bytes() == BYTE_ORDER => Endian::Big,
                _ => return Found::Nothing("a section header without its magic number"),
            };
        }
        let kind = endian.u32(bytes, 0).unwrap_or(0);
        if self.skipping.is_some() && !is_known(kind) {
            return Found::Nothing("");
        }
        let len = endian.u32(bytes, 4).unwrap_or(0) as usize;
        if len < BLOCK_MIN || !len.is_multiple_of(4) || len > MAX_BLOCK {
            return Found::Nothing("a block of an impossible length");
        }
        if bytes.len() < len {
            return Found::More(len);
        }
        if endian.u32(bytes, len - 4) != Some(len as u32) {
            return Found::Nothing("a block whose two lengths differ");
        }
        self.endian = endian;
        Found::Block(len)
    }

    /// Skips to the next byte where a block of a known type may begin.
    fn skip(&mut self) {
        let rest = &self.buffer[self.start..];
        let little = self.endian == Endian::Little;
        let may_begin = |at: &usize| {
            let Some(word) = rest.get(*at..*at + 4).and_then(|word| word.first_chunk()) else {
                return true;
            };
            let kind = if little {
                u32::from_le_bytes(*word)
            } else {
                u32::from_be_bytes(*word)
            };
            is_known(kind)
        };
        let next = (1..rest.len()).find(may_begin).unwrap_or(rest.len().max(1));
        let next = next.min(rest.len().max(1));
        self.start = (self.start + next).min(self.buffer.len());
        self.offset += next as u64;
    }

    /// Reads until the buffer has `len` bytes; false at the end of the input.
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        // Moves the rest, which can be long, only now and then.
        if self.start >= READ_BYTES || self.start == self.buffer.len() {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        while self.buffer.len() - self.start < len {
            let read = match self.source.read(&mut self.chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other,
            };
            for damage in self.source.take_damage() {
                damage.add_to(&mut self.damage);
            }
            let read = read?;
            if read == 0 {
                return Ok(false);
            }
            self.buffer.extend_from_slice(&self.chunk[..read]);
        }
        Ok(true)
    }

    /// Ends the reading, as nothing intact follows.
    fn give_up(&mut self) {
        if std::mem::replace(&mut self.has_given_up, true) {
            return;
        }
        let from = self.skipping.take().map_or(self.offset, |(from, _)| from);
        // Separate from the damage before it, as the reason differs.
        self.damage.push(Damage {
            offset: from,
            len: self.offset - from,
            reason: NO_BLOCK,
        });
    }

    /// Once the input has ended, rejects a block that reaches beyond the end; other blocks may
    /// follow its begin. Returns false if nothing is left.
    fn give_up_long(&mut self) -> bool {
        if !self.is_over {
            return false;
        }
        if self.start == self.buffer.len() {
            self.record_damage();
            return false;
        }
        self.skipping.get_or_insert((self.offset, CUT));
        self.skip();
        true
    }

    /// Ends the damage at the next block.
    fn end_of_damage(&mut self) {
        if let Some((_, reason)) = &mut self.skipping
            && *reason == CUT
        {
            *reason = "a block of a wrong length";
        }
        self.record_damage();
    }

    fn record_damage(&mut self) {
        if let Some((offset, reason)) = self.skipping.take() {
            let len = self.offset - offset;
            self.damaged(offset, len, reason);
        }
    }

    /// Whether a block can begin behind the last one; otherwise the length of the last one
    /// is doubtful.
    pub fn goes_on(&mut self) -> bool {
        !matches!(self.at(self.start), Found::Nothing(_))
    }

    /// Rejects the last block, which was mistaken for one inside damage. Call it before
    /// reading the next.
    pub fn reject(&mut self, len: u64, reason: &'static str) {
        self.start = self.start.saturating_sub(usize::try_from(len).unwrap_or(0));
        self.offset = self.offset.saturating_sub(len);
        self.good[0] = self.good[1];
        self.skipping = Some((self.offset, reason));
        self.skip();
    }

    /// Records that the last block is damaged. Call it before reading the next.
    pub fn pass_over(&mut self, offset: u64, len: u64, reason: &'static str) {
        self.good[0] = self.good[1];
        self.damaged(offset, len, reason);
    }

    /// Records damage, also inside a complete block.
    pub fn damaged(&mut self, offset: u64, len: u64, reason: &'static str) {
        let damage = Damage {
            offset,
            len,
            reason,
        };
        damage.add_to(&mut self.damage);
    }

    /// Whether damage was found since it was last taken.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        !self.damage.is_empty()
    }

    /// Takes the damage found since the last call.
    pub fn take_damage(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damage)
    }

    /// Records that the input has ended: the rest is damage, or the beginning of a truncated
    /// block. Call it once there are no more blocks; [`Self::next_block`] then gives the
    /// blocks behind the damage, if any.
    pub fn finish(&mut self) {
        self.is_over = true;
        self.source.finish();
        for damage in self.source.take_damage() {
            damage.add_to(&mut self.damage);
        }
    }
}

/// Whether blocks of that type can be expected in a file.
pub(crate) fn is_known(kind: u32) -> bool {
    matches!(
        kind,
        SECTION_HEADER
            | INTERFACE_DESCRIPTION
            | NAME_RESOLUTION
            | INTERFACE_STATISTICS
            | ENHANCED_PACKET
            | ENTRY_BLOCK
    ) || OTHER_TYPES.contains(&kind)
}
