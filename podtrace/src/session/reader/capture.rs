//! pcap, the older format of tcpdump: one link layer, one clock, no names.
use std::io::{self, BufReader, Chain, Cursor, Read as _};

use super::link_type::{LinkType, without_check};
use crate::{
    model::left_out::Reason,
    packet::link,
    session::input::{Damage, Endian, Source, rest},
};

/// Magic numbers: times in microseconds or in nanoseconds, and records with a longer header.
const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;
const LONG: u32 = 0xa1b2_cd34;
/// The longest packet that is read, in bytes; others are damage.
const MAX_PACKET: u32 = 1 << 18;
/// Magic number, version, time zone, accuracy, snap length and link layer.
const FILE_HEADER: usize = 24;
/// Seconds, part of a second, captured and true length.
const HEADER: usize = 16;
/// In addition: index of the interface, protocol, type of the packet and padding.
const LONG_HEADER: usize = 24;
/// The bits of the file header's last word that hold the link layer; the others hold details
/// of the frames.
const LINK_BITS: u32 = 0x03ff_ffff;
/// If this bit is set, the highest four bits count the pairs of bytes in each frame's check
/// sequence.
const HAS_FCS: u32 = 0x0400_0000;
const FCS_SHIFT: u32 = 28;
/// Bytes of one read.
const READ_BYTES: usize = 256 << 10;

/// The content of a file's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Magic {
    is_big: bool,
    is_nanos: bool,
    /// Bytes of a record before its packet.
    header: usize,
}

impl Magic {
    /// Recognises a pcap file by its first bytes.
    pub(super) fn of(first: &[u8]) -> Option<Self> {
        let bytes = *first.first_chunk()?;
        let (little, big) = (u32::from_le_bytes(bytes), u32::from_be_bytes(bytes));
        let magic = |is_nanos, header| {
            move |is_big| Self {
                is_big,
                is_nanos,
                header,
            }
        };
        let known = [
            (MICROS, magic(false, HEADER)),
            (NANOS, magic(true, HEADER)),
            (LONG, magic(false, LONG_HEADER)),
        ];
        known.into_iter().find_map(|(number, magic)| match number {
            _ if number == little => Some(magic(false)),
            _ if number == big => Some(magic(true)),
            _ => None,
        })
    }
}

/// The first bytes and the others.
type Whole = Chain<Cursor<Vec<u8>>, Box<dyn Source>>;

/// A pcap file being read.
pub(super) struct Capture {
    source: BufReader<Whole>,
    magic: Magic,
    /// The link layer, if it is decoded.
    pub(super) link: Result<LinkType, Reason>,
    /// Its number.
    pub(super) link_number: u16,
    /// Length of the check sequence behind each packet.
    fcs: u32,
    /// The order of a record's two lengths.
    lengths: Lengths,
    /// The record being read.
    bytes: Vec<u8>,
    offset: u64,
    /// The fault, if there is one. The rest cannot be read: no marks show where records begin.
    broken: Option<&'static str>,
    damage: Vec<Damage>,
}

/// Which length of a record comes first; it was not always the captured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    TrueFirst,
    /// The smaller one is the captured one.
    Either,
}

impl Lengths {
    /// The order by the version of the format.
    fn of(major: u16, minor: u16) -> Self {
        match (major, minor) {
            (2, 0..3) | (543, _) => Self::TrueFirst,
            (2, 3) => Self::Either,
            _ => Self::CapturedFirst,
        }
    }

    /// Returns the captured and the true length.
    fn sort(self, first: u32, second: u32) -> (u32, u32) {
        match self {
            Self::TrueFirst => (second, first),
            Self::Either if first > second => (second, first),
            Self::CapturedFirst | Self::Either => (first, second),
        }
    }
}

/// One packet.
pub(super) struct Captured<'a> {
    /// Nanoseconds since 1970.
    pub(super) ts_ns: u64,
    pub(super) wire_len: u32,
    pub(super) data: &'a [u8],
}

impl Capture {
    /// `first`: bytes already taken from the source.
    pub(super) fn new(source: Box<dyn Source>, first: Vec<u8>, magic: Magic) -> io::Result<Self> {
        let source = Cursor::new(first).chain(source);
        let mut capture = Self {
            source: BufReader::with_capacity(READ_BYTES, source),
            magic,
            link: LinkType::of(0),
            link_number: 0,
            fcs: 0,
            lengths: Lengths::CapturedFirst,
            bytes: Vec::new(),
            offset: 0,
            broken: None,
            damage: Vec::new(),
        };
        if !capture.fill(FILE_HEADER)? {
            capture.broken = Some("cut off within the file header");
            return Ok(capture);
        }
        let word = capture.word(20);
        let link = word & LINK_BITS;
        if word & HAS_FCS != 0 {
            capture.fcs = (word >> FCS_SHIFT) * 2;
        }
        capture.link = LinkType::of(link);
        capture.link_number = link::canonical(u16::try_from(link).unwrap_or(u16::MAX));
        capture.lengths = Lengths::of(capture.half(4), capture.half(6));
        capture.bytes.clear();
        capture.offset = FILE_HEADER as u64;
        Ok(capture)
    }

    /// Reads the record up to a length; returns false if the file ends before.
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        let missing = len.saturating_sub(self.bytes.len());
        let mut part = (&mut self.source).take(missing as u64);
        part.read_to_end(&mut self.bytes)?;
        self.collect_source_damage();
        Ok(self.bytes.len() >= len)
    }

    fn endian(&self) -> Endian {
        if self.magic.is_big {
            Endian::Big
        } else {
            Endian::Little
        }
    }

    fn half(&self, at: usize) -> u16 {
        self.endian().u16(&self.bytes, at).unwrap_or(0)
    }

    fn word(&self, at: usize) -> u32 {
        self.endian().u32(&self.bytes, at).unwrap_or(0)
    }

    /// The captured and the true length of the record being read.
    fn lengths(&self) -> (u32, u32) {
        self.lengths.sort(self.word(8), self.word(12))
    }

    /// Whether the record is complete.
    fn is_whole(&self) -> bool {
        let header = self.magic.header;
        let (captured, _) = self.lengths();
        self.bytes.len() >= header && self.bytes.len() >= header + captured as usize
    }

    /// The next packet; none if the file has no more for now.
    pub(super) fn next_packet(&mut self) -> io::Result<Option<Captured<'_>>> {
        let header = self.magic.header;
        if self.broken.is_some() {
            return Ok(None);
        }
        if self.is_whole() {
            // The caller has the last record.
            self.offset += self.bytes.len() as u64;
            self.bytes.clear();
        }
        if !self.fill(header)? {
            return Ok(None);
        }
        let (captured, wire_len) = self.lengths();
        if captured > MAX_PACKET {
            self.broken = Some("a packet of an impossible length, and all behind it");
            return Ok(None);
        }
        if !self.fill(header + captured as usize)? {
            return Ok(None);
        }
        let unit = if self.magic.is_nanos { 1 } else { 1000 };
        let part = u64::from(self.word(4)) * unit;
        let (data, wire_len) = without_check(&self.bytes[header..], wire_len, self.fcs);
        Ok(Some(Captured {
            ts_ns: u64::from(self.word(0)) * 1_000_000_000 + part,
            wire_len,
            data,
        }))
    }

    /// Records that the file has ended.
    pub(super) fn finish(&mut self) {
        let is_cut = !self.bytes.is_empty() && !self.is_whole();
        let cut = is_cut.then_some("cut off within a packet");
        if let Some(reason) = self.broken.take().or(cut) {
            let damage = Damage {
                offset: self.offset,
                len: self.bytes.len() as u64 + rest(&mut self.source),
                reason,
            };
            damage.add_to(&mut self.damage);
            self.bytes.clear();
        }
        self.source.get_mut().get_mut().1.finish();
        self.collect_source_damage();
    }

    fn collect_source_damage(&mut self) {
        for damage in self.source.get_mut().get_mut().1.take_damage() {
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
