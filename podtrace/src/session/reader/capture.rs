//! pcap, the older format of tcpdump: one link layer, one clock, no names.
use std::io::{self, Read as _};

use crate::session::input::{Damage, Source};

use super::packet::LinkType;

/// Magic numbers: times in microseconds or in nanoseconds.
const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;
/// The longest packet that is read, in bytes; others are damage.
const MAX_PACKET: u32 = 1 << 18;
/// Magic number, version, time zone, accuracy, snap length and link layer.
const FILE_HEADER: usize = 24;
/// Seconds, part of a second, captured and true length.
const HEADER: usize = 16;

/// A pcap file being read.
pub(super) struct Capture {
    source: Box<dyn Source>,
    /// None for an unknown link layer.
    pub(super) link: Option<LinkType>,
    /// Its number.
    pub(super) link_number: u16,
    big: bool,
    nanos: bool,
    /// The record under way.
    bytes: Vec<u8>,
    offset: u64,
    /// What is wrong, if anything. Nothing behind it can be read: records have no marks to
    /// find them by.
    broken: Option<&'static str>,
    damage: Vec<Damage>,
}

/// One packet.
pub(super) struct Captured<'a> {
    /// Nanoseconds since 1970.
    pub(super) ts_ns: u64,
    pub(super) wire_len: u32,
    pub(super) data: &'a [u8],
}

impl Capture {
    /// Whether a file with these first bytes is a pcap file.
    pub(super) fn is_one(first: &[u8]) -> bool {
        magic(first).is_some()
    }

    /// `first`: the first four bytes of the source.
    pub(super) fn new(mut source: Box<dyn Source>, first: Vec<u8>) -> io::Result<Self> {
        let (big, nanos) = magic(&first).unwrap_or_default();
        let mut header = first;
        (&mut source).take(20).read_to_end(&mut header)?;
        let mut capture = Self {
            source,
            link: None,
            link_number: 0,
            big,
            nanos,
            bytes: header,
            offset: 0,
            broken: None,
            damage: Vec::new(),
        };
        if capture.bytes.len() < FILE_HEADER {
            capture.broken = Some("cut off within the file header");
            return Ok(capture);
        }
        // The other bits hold details of the frames.
        let link = capture.word(20) & 0x0fff_ffff;
        capture.link = LinkType::of(link);
        capture.link_number = u16::try_from(link).unwrap_or(u16::MAX);
        capture.bytes.clear();
        capture.offset = FILE_HEADER as u64;
        Ok(capture)
    }

    /// Skips the rest of a file that cannot be decoded; returns its length.
    fn rest(&mut self) -> u64 {
        // Bytes that cannot be read do not count.
        let skipped = io::copy(&mut self.source, &mut io::sink()).unwrap_or(0);
        self.bytes.len() as u64 + skipped
    }

    /// Fills the record up to a length; false if the file ends before.
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        let missing = len.saturating_sub(self.bytes.len());
        let mut part = (&mut self.source).take(missing as u64);
        part.read_to_end(&mut self.bytes)?;
        self.note_source();
        Ok(self.bytes.len() >= len)
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.bytes.get(at..).and_then(|bytes| bytes.first_chunk());
        let bytes = bytes.copied().unwrap_or_default();
        if self.big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }

    /// Whether the record is complete.
    fn is_whole(&self) -> bool {
        self.bytes.len() >= HEADER && self.bytes.len() >= HEADER + self.word(8) as usize
    }

    /// The next packet; none if the file has no more for now.
    pub(super) fn next_packet(&mut self) -> io::Result<Option<Captured<'_>>> {
        if self.broken.is_some() {
            return Ok(None);
        }
        if self.is_whole() {
            // The last one was given out.
            self.offset += self.bytes.len() as u64;
            self.bytes.clear();
        }
        if !self.fill(HEADER)? {
            return Ok(None);
        }
        let captured = self.word(8);
        if captured > MAX_PACKET {
            self.broken = Some("a packet of an impossible length, and all behind it");
            return Ok(None);
        }
        if !self.fill(HEADER + captured as usize)? {
            return Ok(None);
        }
        let unit = if self.nanos { 1 } else { 1000 };
        let part = u64::from(self.word(4)) * unit;
        Ok(Some(Captured {
            ts_ns: u64::from(self.word(0)) * 1_000_000_000 + part,
            wire_len: self.word(12),
            data: &self.bytes[HEADER..],
        }))
    }

    /// Notes that the file has ended.
    pub(super) fn finish(&mut self) {
        let is_cut = !self.bytes.is_empty() && !self.is_whole();
        let cut = is_cut.then_some("cut off within a packet");
        if let Some(reason) = self.broken.take().or(cut) {
            let damage = Damage {
                offset: self.offset,
                len: self.rest(),
                reason,
            };
            damage.add_to(&mut self.damage);
            self.bytes.clear();
        }
        self.source.finish();
        self.note_source();
    }

    fn note_source(&mut self) {
        for damage in self.source.take_damage() {
            damage.add_to(&mut self.damage);
        }
    }

    pub(super) fn is_damaged(&self) -> bool {
        !self.damage.is_empty()
    }

    pub(super) fn take_damage(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damage)
    }
}

/// Byte order (big) and unit (nanoseconds) of a file with these first bytes.
fn magic(first: &[u8]) -> Option<(bool, bool)> {
    let bytes = *first.first_chunk()?;
    match (u32::from_le_bytes(bytes), u32::from_be_bytes(bytes)) {
        (MICROS, _) => Some((false, false)),
        (NANOS, _) => Some((false, true)),
        (_, MICROS) => Some((true, false)),
        (_, NANOS) => Some((true, true)),
        _ => None,
    }
}
