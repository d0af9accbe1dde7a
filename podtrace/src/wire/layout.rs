//! The messages of an Arrow IPC stream, with the layout that all batches share.
//!
//! The schema is fixed, so no message differs between two batches in more than some numbers:
//! how many rows there are, and how long the buffers are. They are written here, at their places
//! in the flatbuffer. A reader takes a message only if it is what it would have written itself
//! for these numbers; so nothing in it has to be trusted, and no flatbuffer is followed.
use std::ops::Range;

use smallvec::SmallVec;

use super::WireError;
use Column::{Binary, Fixed, Struct};

const SHORT: WireError = WireError::Damaged("it ends early");
const OTHER: WireError = WireError::Damaged("another layout");
/// The message of the schema, as `arrow-ipc` writes it (`tests/arrow.rs`), with zeros for the base of time.
static SCHEMA: &[u8] = include_bytes!("schema-1.bin");
/// The digits of the base of time in it.
const BASE: Range<usize> = 140..160;
/// What stands before the metadata of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// What ends a stream.
pub(super) const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// Everything is aligned to so many bytes.
const ALIGN: usize = 8;
/// `MetadataVersion.V5`.
const V5: u16 = 4;
/// `MessageHeader` of a dictionary and of a record batch.
const DICTIONARY: u16 = 2;
const RECORD_BATCH: u16 = 3;

/// A buffer of a message.
#[derive(Clone, Copy, Debug)]
enum Buffer {
    /// The bits that tell nulls: there are none.
    Validity,
    /// A value of so many bytes for each row.
    Values(usize),
    /// For each row where its bytes begin in the next buffer, and where the last one's end.
    Offsets,
    /// The bytes themselves.
    Bytes,
}

/// A column, or a field of a struct.
#[derive(Clone, Copy, Debug)]
enum Column {
    /// A struct: its fields follow.
    Struct,
    /// Values of so many bytes.
    Fixed(usize),
    Binary,
}

impl Column {
    fn buffers(self) -> impl Iterator<Item = Buffer> {
        let content = match self {
            Self::Struct => [None, None],
            Self::Fixed(width) => [Some(Buffer::Values(width)), None],
            Self::Binary => [Some(Buffer::Offsets), Some(Buffer::Bytes)],
        };
        std::iter::once(Buffer::Validity).chain(content.into_iter().flatten())
    }
}

/// What messages of one kind have in common.
pub(super) struct Shape {
    /// The number of the dictionary; none for the record batch.
    dictionary: Option<u64>,
    columns: &'static [Column],
}

/// Where packets were seen: interface, direction, flags, vlan_tci, link, cgroup.
pub(super) const TAPS: Shape = Shape {
    dictionary: Some(0),
    columns: &[
        Struct,
        Fixed(4),
        Fixed(1),
        Fixed(1),
        Fixed(2),
        Fixed(2),
        Fixed(8),
    ],
};

/// What is before the innermost IP header, and what of the rest differs between hops: bytes,
/// captured, ttl, checksum.
pub(super) const HEADS: Shape = Shape {
    dictionary: Some(1),
    columns: &[Struct, Binary, Fixed(4), Fixed(1), Fixed(2)],
};

/// The rest: bytes, length, gso_segments.
pub(super) const BODIES: Shape = Shape {
    dictionary: Some(2),
    columns: &[Struct, Binary, Fixed(4), Fixed(2)],
};

/// The hops: gap_ns, tap, head, body.
pub(super) const HOPS: Shape = Shape {
    dictionary: None,
    columns: &[Fixed(4), Fixed(1), Fixed(2), Fixed(2)],
};

impl Shape {
    /// Where the table of the record batch begins, behind its vtable, in the flatbuffer.
    fn batch_at(&self) -> usize {
        if self.dictionary.is_some() { 80 } else { 56 }
    }

    /// Where the first of the nodes is.
    fn nodes_at(&self) -> usize {
        self.batch_at() + 32
    }

    /// Where the first of the buffers is.
    fn buffers_at(&self) -> usize {
        self.nodes_at() + 16 * self.columns.len() + 8
    }

    fn buffers(&self) -> impl Iterator<Item = Buffer> {
        self.columns.iter().flat_map(|column| column.buffers())
    }

    /// Length of the flatbuffer.
    fn len(&self) -> usize {
        self.buffers_at() + 16 * self.buffers().count()
    }

    /// Appends a message: so many rows, with the contents of all buffers but the validities.
    pub(super) fn write(&self, out: &mut Vec<u8>, rows: usize, contents: &[&[u8]]) {
        let lens: SmallVec<[_; 8]> = contents.iter().map(|content| content.len()).collect();
        self.write_metadata(out, rows, &lens);
        for content in contents {
            out.extend_from_slice(content);
            out.resize(out.len().next_multiple_of(ALIGN), 0);
        }
    }

    /// Everything before the buffers. `lens`: how long the contents are.
    fn write_metadata(&self, out: &mut Vec<u8>, rows: usize, lens: &[usize]) {
        out.extend(CONTINUATION);
        out.extend((self.len() as u32).to_le_bytes());
        let start = out.len();
        out.resize(start + self.len(), 0);
        let mut flat = Flat(&mut out[start..]);
        // The root: `Message` at 16, its vtable before it.
        flat.u32(0, 16);
        flat.vtable(4, 24, &[4, 6, 16, 8]);
        flat.u32(16, 12);
        flat.u16(20, V5);
        let batch_at = self.batch_at();
        match self.dictionary {
            Some(number) => {
                flat.u16(22, DICTIONARY);
                flat.offset(32, 48);
                // `DictionaryBatch` at 48.
                flat.vtable(40, 16, &[8, 4]);
                flat.u32(48, 8);
                flat.offset(52, batch_at);
                flat.u64(56, number);
            }
            None => {
                flat.u16(22, RECORD_BATCH);
                flat.offset(32, batch_at);
            }
        }
        // `RecordBatch`: rows, nodes, buffers.
        flat.vtable(batch_at - 16, 24, &[8, 4, 16]);
        flat.u32(batch_at, 16);
        flat.u64(batch_at + 8, rows as u64);
        let (nodes_at, buffers_at) = (self.nodes_at(), self.buffers_at());
        flat.vector(batch_at + 4, nodes_at, self.columns.len());
        flat.vector(batch_at + 16, buffers_at, self.buffers().count());
        for node in 0..self.columns.len() {
            flat.u64(nodes_at + 16 * node, rows as u64);
        }
        let (mut offset, mut lens) = (0, lens.iter());
        for (at, buffer) in (buffers_at..).step_by(16).zip(self.buffers()) {
            let len = match buffer {
                Buffer::Validity => 0,
                Buffer::Values(_) | Buffer::Offsets | Buffer::Bytes => {
                    lens.next().copied().unwrap_or_default()
                }
            };
            flat.u64(at, offset as u64);
            flat.u64(at + 8, len as u64);
            offset += len.next_multiple_of(ALIGN);
        }
        flat.u64(24, offset as u64);
    }

    /// Reads the message at `at`, and sets that to its end: how many rows there are, and where
    /// the contents of all buffers but the validities are. `rows_max`: how many there may be.
    pub(super) fn read<const N: usize>(
        &self,
        plain: &[u8],
        at: &mut usize,
        rows_max: usize,
    ) -> Result<(usize, [Range<usize>; N]), WireError> {
        let flat_at = *at + CONTINUATION.len() + 4;
        let metadata = plain.get(*at..flat_at + self.len()).ok_or(SHORT)?;
        let number = |at: usize| {
            let bytes = plain.get(flat_at + at..)?.first_chunk()?;
            usize::try_from(u64::from_le_bytes(*bytes)).ok()
        };
        let rows = number(self.batch_at() + 8).ok_or(OTHER)?;
        if rows > rows_max {
            return Err(WireError::TooLarge);
        }
        let mut end = *at + metadata.len();
        let mut contents = [const { 0..0 }; N];
        let places = (self.buffers_at()..).step_by(16).zip(self.buffers());
        let real = places.filter(|(_, buffer)| !matches!(buffer, Buffer::Validity));
        for ((at, buffer), content) in real.zip(&mut contents) {
            let len = match buffer {
                Buffer::Validity => 0,
                Buffer::Values(width) => rows * width,
                Buffer::Offsets => (rows + 1) * 4,
                Buffer::Bytes => number(at + 8).ok_or(OTHER)?,
            };
            *content = end..end.checked_add(len).ok_or(SHORT)?;
            end = content.end.checked_next_multiple_of(ALIGN).ok_or(SHORT)?;
            if end > plain.len() {
                return Err(SHORT);
            }
        }
        let mut expected = Vec::with_capacity(metadata.len());
        self.write_metadata(&mut expected, rows, &contents.each_ref().map(Range::len));
        if expected != metadata {
            return Err(OTHER);
        }
        *at = end;
        Ok((rows, contents))
    }
}

/// A flatbuffer in which places are filled.
struct Flat<'a>(&'a mut [u8]);

impl Flat<'_> {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    fn u16(&mut self, at: usize, number: u16) {
        self.put(at, &number.to_le_bytes());
    }

    fn u32(&mut self, at: usize, number: usize) {
        self.put(at, &(number as u32).to_le_bytes());
    }

    fn u64(&mut self, at: usize, number: u64) {
        self.put(at, &number.to_le_bytes());
    }

    /// At `at`, where `target` is.
    fn offset(&mut self, at: usize, target: usize) {
        self.u32(at, target - at);
    }

    /// The vtable of a table of `len` bytes, with the places of its fields.
    fn vtable(&mut self, at: usize, len: u16, fields: &[u16]) {
        self.u16(at, 4 + 2 * fields.len() as u16);
        self.u16(at + 2, len);
        for (at, field) in (at + 4..).step_by(2).zip(fields) {
            self.u16(at, *field);
        }
    }

    /// Refers, at `at`, to a vector whose items begin at `items`.
    fn vector(&mut self, at: usize, items: usize, count: usize) {
        self.offset(at, items - 4);
        self.u32(items - 4, count);
    }
}

/// Appends the schema, with the base of time.
pub(super) fn write_schema(out: &mut Vec<u8>, base_ns: u64) {
    let start = out.len();
    out.extend_from_slice(SCHEMA);
    let mut rest = base_ns;
    for digit in out[start..][BASE].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Reads the schema, with which a batch begins: the base of time in it. Sets `at` to its end.
pub(super) fn read_schema(plain: &[u8], at: &mut usize) -> Result<u64, WireError> {
    let schema = plain.get(..SCHEMA.len()).ok_or(WireError::Version)?;
    if schema[..BASE.start] != SCHEMA[..BASE.start] || schema[BASE.end..] != SCHEMA[BASE.end..] {
        return Err(WireError::Version);
    }
    let digits = &schema[BASE];
    let base = digits.iter().try_fold(0_u64, |base, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        base.checked_mul(10)?.checked_add(digit.into())
    });
    *at = SCHEMA.len();
    base.ok_or(WireError::Damaged("its base of time is no number"))
}
