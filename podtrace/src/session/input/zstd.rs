//! Decompresses zstd frame by frame: a damaged frame does not affect the rest.
use std::io::{self, Read};

use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

use super::{Damage, SEARCH_MAX, Source, ZSTD_MAGIC};

/// Bytes of one read.
const READ_BYTES: usize = 256 << 10;

/// The reason for damage after which nothing is read.
const NO_FRAME: &str = "no zstd frame within 64 MiB, and the rest was not read";

/// A compressed input.
pub struct Unpacked {
    source: Box<dyn Source>,
    decoder: Decoder<'static>,
    packed: Vec<u8>,
    start: usize,
    /// Where `start` is in the input.
    offset: u64,
    /// Where the damage being skipped began.
    skipping: Option<u64>,
    /// Where the frame under way began.
    frame: u64,
    is_inside: bool,
    /// Whether the decoder has more output than found room.
    has_more: bool,
    /// The offset at the last output.
    fruitful: u64,
    /// Whether the search for more was given up.
    has_given_up: bool,
    damage: Vec<Damage>,
}

impl Unpacked {
    /// `first`: bytes already taken from the source.
    ///
    /// # Errors
    /// When there is no memory for a decoder.
    pub fn new(source: Box<dyn Source>, first: &[u8]) -> io::Result<Self> {
        Ok(Self {
            source,
            decoder: Decoder::new()?,
            packed: first.to_vec(),
            start: 0,
            offset: 0,
            skipping: None,
            frame: 0,
            is_inside: false,
            has_more: false,
            fruitful: 0,
            has_given_up: false,
            damage: Vec::new(),
        })
    }

    /// Reads more; false at the end of the input.
    fn fill(&mut self) -> io::Result<bool> {
        self.packed.drain(..self.start);
        self.start = 0;
        let filled = self.packed.len();
        self.packed.resize(filled + READ_BYTES, 0);
        let read = self.source.read(&mut self.packed[filled..]);
        let len = read.as_ref().copied().unwrap_or(0);
        self.packed.truncate(filled + len);
        Ok(read? > 0)
    }

    fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Skips to the next frame; returns false if that needs more input.
    fn skip(&mut self) -> bool {
        let rest = &self.packed[self.start..];
        let magic = rest
            .windows(ZSTD_MAGIC.len())
            .position(|window| window == ZSTD_MAGIC);
        let keep = ZSTD_MAGIC.len() - 1;
        let skipped = magic.unwrap_or(rest.len().saturating_sub(keep));
        self.advance(skipped);
        if magic.is_some() {
            self.record_damage(self.offset, "a damaged zstd frame");
        }
        magic.is_some()
    }

    /// Records the skipped bytes as damage, if there are any.
    fn record_damage(&mut self, end: u64, reason: &'static str) {
        if let Some(offset) = self.skipping.take() {
            let damage = Damage {
                offset,
                len: end - offset,
                reason,
            };
            damage.add_to(&mut self.damage);
        }
    }

    /// Ends the reading, as no more output comes.
    fn give_up(&mut self) {
        self.has_given_up = true;
        self.is_inside = false;
        self.skipping.get_or_insert(self.fruitful);
        self.record_damage(self.offset, NO_FRAME);
    }

    /// Decompresses the available input; returns 0 if it needs more.
    fn unpack(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.skipping.is_some() && !self.skip() {
            return Ok(0);
        }
        if !self.is_inside {
            self.frame = self.offset;
        }
        let mut input = InBuffer::around(&self.packed[self.start..]);
        let mut output = OutBuffer::around(out);
        let result = self.decoder.run(&mut input, &mut output);
        let (used, written) = (input.pos(), output.pos());
        match result {
            Ok(hint) => {
                self.advance(used);
                // A complete frame has no more output.
                self.is_inside = hint != 0;
            }
            Err(_) => {
                self.skipping = Some(self.frame);
                // Skips the magic number of the damaged frame itself.
                self.advance(1.min(self.packed.len() - self.start));
                self.decoder.reinit()?;
                self.is_inside = false;
            }
        }
        self.has_more = self.is_inside && written == out.len();
        Ok(written)
    }
}

impl Read for Unpacked {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.has_given_up {
            let before = (self.start, self.skipping);
            // The decoder treats a call without input as an error.
            if self.start < self.packed.len() || self.has_more {
                let written = self.unpack(out)?;
                if written > 0 || out.is_empty() {
                    self.fruitful = self.offset;
                    return Ok(written);
                }
            }
            let is_stuck = before == (self.start, self.skipping);
            if self.offset - self.fruitful > SEARCH_MAX {
                self.give_up();
            } else if is_stuck && !self.fill()? {
                break;
            }
        }
        Ok(0)
    }
}

impl Source for Unpacked {
    fn take_damage(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damage)
    }

    fn finish(&mut self) {
        let end = self.offset + (self.packed.len() - self.start) as u64;
        self.record_damage(end, "a damaged zstd frame");
        if std::mem::take(&mut self.is_inside) {
            self.skipping = Some(self.frame);
            self.record_damage(end, "cut off within a zstd frame");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_end_where_the_room_ends_are_whole() {
        let frames = [&b"four"[..], b"", b"eightful", b"four"];
        let packed = frames.map(|frame| zstd::encode_all(frame, 1).unwrap());
        let source = Box::new(io::Cursor::new(packed.concat()));
        let mut unpacked = Unpacked::new(source, &[]).unwrap();
        let (mut out, mut room) = (Vec::new(), [0; 4]);
        while unpacked.read(&mut room).unwrap() > 0 {
            out.extend(room);
        }
        unpacked.finish();
        assert_eq!(out, frames.concat());
        assert_eq!(unpacked.take_damage(), []);
    }
}
