//! The options of a block, and the check that the block is intact.
use crate::session::{
    format::{ENTERPRISE, OPT_CUSTOM, OPT_END},
    input::{Endian, Frame},
};

/// The options from `at` to the end of a block: code and value. Stops at the first
/// incomplete one.
pub(super) fn options<'a>(
    frame: &Frame<'a>,
    at: usize,
) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
    let (bytes, endian) = (frame.bytes, frame.endian);
    let end = bytes.len() - 4;
    let mut at = at;
    std::iter::from_fn(move || {
        let code = endian.u16(bytes, at)?;
        let len = usize::from(endian.u16(bytes, at + 2)?);
        let value = bytes.get(at + 4..at + 4 + len)?;
        at += 4 + len.next_multiple_of(4);
        (code != OPT_END && at <= end).then_some((code, value))
    })
}

/// A custom option of podtrace.
#[derive(Clone, Copy)]
pub(super) struct Ours<'a> {
    /// The letter that follows `pdt`.
    pub(super) letter: u8,
    /// The bytes between the letter and the checksum.
    pub(super) value: &'a [u8],
    checksum: u32,
}

/// Reads a custom option, if it is one of podtrace.
pub(super) fn ours<'a>(code: u16, value: &'a [u8], endian: Endian) -> Option<Ours<'a>> {
    if code != OPT_CUSTOM || endian.u32(value, 0) != Some(ENTERPRISE) {
        return None;
    }
    let value = value.get(4..)?.strip_prefix(b"pdt")?;
    let (letter, value) = value.split_first()?;
    let (value, checksum) = value.split_last_chunk()?;
    Some(Ours {
        letter: *letter,
        value,
        checksum: u32::from_le_bytes(*checksum),
    })
}

impl Ours<'_> {
    /// Whether the block is intact.
    pub(super) fn is_intact(&self, frame: &Frame<'_>) -> bool {
        // The checksum follows the value.
        let start = frame.bytes.as_ptr() as usize;
        let end = self.value.as_ptr() as usize + self.value.len();
        let covered = frame.bytes.get(..end.wrapping_sub(start));
        covered.is_some_and(|covered| crc32fast::hash(covered) == self.checksum)
    }
}
