//! Reads batches.
use std::{io, ops::Range};

use podtrace_ebpf::record::{Direction, FLAG_VLAN};
use zstd::{bulk::Decompressor, zstd_safe::get_frame_content_size};

use super::{
    CAPTURED_MAX, Hop, Tap, WHOLE, WireError,
    body::{self, Varying},
    layout::{self, BODIES, END, HEADS, HOPS, TAPS},
};

/// What a batch may be at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes, unpacked; and captured bytes of all hops together.
    pub bytes: usize,
    /// Hops.
    pub hops: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            hops: 64 << 10,
        }
    }
}

/// Unpacks batches.
pub struct Decoder {
    decompressor: Decompressor<'static>,
    limits: Limits,
}

impl Decoder {
    /// A decoder of batches within these limits.
    ///
    /// # Errors
    /// When zstd lacks memory.
    pub fn new(limits: Limits) -> io::Result<Self> {
        Ok(Self {
            decompressor: Decompressor::new()?,
            limits,
        })
    }

    /// Reads a batch: any bytes, whole batches only.
    ///
    /// # Errors
    /// When the bytes are not a batch within the limits.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Hops, WireError> {
        let plain = self.unpack(bytes)?;
        Hops::read(plain, self.limits)
    }

    fn unpack(&mut self, bytes: &[u8]) -> Result<Vec<u8>, WireError> {
        let size = get_frame_content_size(bytes).ok().flatten();
        let size = size.ok_or(WireError::Frame)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > self.limits.bytes {
            return Err(WireError::TooLarge);
        }
        let mut plain = Vec::with_capacity(size);
        let unpacked = self.decompressor.decompress_to_buffer(bytes, &mut plain);
        match unpacked {
            Ok(unpacked) if unpacked == size => Ok(plain),
            _ => Err(WireError::Frame),
        }
    }
}

/// The hops of a batch, in the order in which they were added.
#[derive(Debug)]
pub struct Hops {
    /// The messages.
    plain: Vec<u8>,
    taps: Vec<Tap>,
    heads: Vec<Head>,
    bodies: Vec<Body>,
    rows: std::vec::IntoIter<Row>,
    /// When the last one was seen.
    ts_ns: u64,
    /// The captured bytes of the last one.
    captured: Vec<u8>,
}

/// A row of the record batch.
#[derive(Debug)]
struct Row {
    gap_ns: i32,
    tap: u8,
    head: u16,
    body: u16,
}

#[derive(Debug)]
struct Head {
    /// Where it is in `plain`.
    bytes: Range<usize>,
    captured: u32,
    varying: Varying,
}

#[derive(Debug)]
struct Body {
    /// Where it is in `plain`.
    bytes: Range<usize>,
    length: u32,
    gso_segments: u16,
    sum: Option<u32>,
}

impl Head {
    /// How much of the body was captured behind it; none if there is less.
    #[inline]
    fn kept(&self, body: &Body) -> Option<usize> {
        let kept = if self.captured == WHOLE {
            body.length as usize
        } else {
            (self.captured as usize).checked_sub(self.bytes.len())?
        };
        (kept <= body.bytes.len()).then_some(kept)
    }
}

impl Hops {
    fn read(plain: Vec<u8>, limits: Limits) -> Result<Self, WireError> {
        let mut at = 0;
        let ts_ns = layout::read_schema(&plain, &mut at)?;
        let taps = TAPS.read(&plain, &mut at, limits.hops)?;
        let heads = HEADS.read(&plain, &mut at, limits.hops)?;
        let bodies = BODIES.read(&plain, &mut at, limits.hops)?;
        let (_, columns) = HOPS.read(&plain, &mut at, limits.hops)?;
        if plain.get(at..) != Some(&END) {
            return Err(WireError::Damaged("it does not end where it has to"));
        }
        let mut hops = Self {
            taps: read_taps(&plain, taps)?,
            heads: read_heads(&plain, heads)?,
            bodies: read_bodies(&plain, bodies)?,
            rows: Vec::new().into_iter(),
            ts_ns,
            captured: Vec::new(),
            plain,
        };
        hops.rows = hops.read_rows(&columns, limits)?.into_iter();
        Ok(hops)
    }

    /// The rows, if all refer to what is there and all bytes are within the limits.
    fn read_rows(
        &self,
        columns: &[Range<usize>; 4],
        limits: Limits,
    ) -> Result<Vec<Row>, WireError> {
        let column = |column: &Range<usize>| self.plain.get(column.clone()).unwrap_or_default();
        let [gap_ns, tap, head, body] = columns.each_ref().map(column);
        let (gaps, heads, bodies) = (gap_ns.as_chunks(), head.as_chunks(), body.as_chunks());
        let mut rows = Vec::with_capacity(tap.len());
        let mut all = 0_usize;
        for (((gap_ns, tap), head), body) in gaps.0.iter().zip(tap).zip(heads.0).zip(bodies.0) {
            let row = Row {
                gap_ns: i32::from_le_bytes(*gap_ns),
                tap: *tap,
                head: u16::from_le_bytes(*head),
                body: u16::from_le_bytes(*body),
            };
            let (_, head, _, kept) = self
                .parts(&row)
                .ok_or(WireError::Damaged("a hop of what it lacks"))?;
            let len = head.bytes.len() + kept;
            all = all.saturating_add(len);
            if len > CAPTURED_MAX || all > limits.bytes {
                return Err(WireError::TooLarge);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// What a row refers to, and how much of the body it has.
    #[inline]
    fn parts(&self, row: &Row) -> Option<(&Tap, &Head, &Body, usize)> {
        let tap = self.taps.get(usize::from(row.tap))?;
        let head = self.heads.get(usize::from(row.head))?;
        let body = self.bodies.get(usize::from(row.body))?;
        Some((tap, head, body, head.kept(body)?))
    }

    /// How many are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    /// The next one. It borrows its bytes: each takes the place of the one before.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend the bytes"
    )]
    pub fn next(&mut self) -> Option<Hop<'_>> {
        let row = self.rows.next()?;
        self.ts_ns = self.ts_ns.wrapping_add_signed(row.gap_ns.into());
        let mut captured = std::mem::take(&mut self.captured);
        let (tap, head, body, kept) = self.parts(&row)?;
        captured.clear();
        captured.extend_from_slice(self.plain.get(head.bytes.clone())?);
        let kept = self.plain.get(body.bytes.start..)?.get(..kept)?;
        captured.extend_from_slice(kept);
        head.varying
            .put(captured.get_mut(head.bytes.len()..)?, body.sum);
        let (tap, gso_segments) = (*tap, body.gso_segments);
        let wire_len = body.length.wrapping_add(head.bytes.len() as u32);
        self.captured = captured;
        Some(Hop {
            ts_ns: self.ts_ns,
            tap,
            wire_len,
            gso_segments,
            captured: &self.captured,
        })
    }
}

/// Rows of a message, and where its columns are.
type Columns<const N: usize> = (usize, [Range<usize>; N]);

/// The value of a column in a row.
#[inline]
fn value<const N: usize>(plain: &[u8], column: &Range<usize>, row: usize) -> Option<[u8; N]> {
    let column = plain.get(column.clone())?;
    column.get(row * N..)?.first_chunk().copied()
}

fn read_taps(plain: &[u8], (rows, columns): Columns<6>) -> Result<Vec<Tap>, WireError> {
    let [interface, direction, flags, vlan_tci, link, cgroup] = &columns;
    let tap = |row| {
        let half = |column| Some(u16::from_le_bytes(value(plain, column, row)?));
        let byte = |column| value::<1>(plain, column, row).map(|[byte]| byte);
        let direction = match byte(direction)? {
            3 => Direction::Unknown,
            number => *Direction::ALL.get(usize::from(number))?,
        };
        let vlan_tci = half(vlan_tci)?;
        Some(Tap {
            interface: u32::from_le_bytes(value(plain, interface, row)?),
            direction,
            cgroup: u64::from_le_bytes(value(plain, cgroup, row)?),
            vlan_tci: (byte(flags)? & FLAG_VLAN != 0).then_some(vlan_tci),
            link: half(link)?,
        })
    };
    let taps: Option<_> = (0..rows).map(tap).collect();
    taps.ok_or(WireError::Damaged("a direction that there is not"))
}

fn read_heads(plain: &[u8], (rows, columns): Columns<5>) -> Result<Vec<Head>, WireError> {
    let [offsets, bytes, captured, ttl, checksum] = &columns;
    let head = |row| {
        Ok(Head {
            bytes: range(plain, offsets, bytes, row)?,
            captured: value(plain, captured, row).map_or(0, u32::from_le_bytes),
            varying: Varying {
                ttl: value::<1>(plain, ttl, row).map_or(0, |[ttl]| ttl),
                checksum: value(plain, checksum, row).map_or(0, u16::from_le_bytes),
            },
        })
    };
    (0..rows).map(head).collect()
}

fn read_bodies(plain: &[u8], (rows, columns): Columns<4>) -> Result<Vec<Body>, WireError> {
    let [offsets, bytes, length, gso_segments] = &columns;
    let body = |row| {
        let bytes = range(plain, offsets, bytes, row)?;
        Ok(Body {
            sum: body::sum_of(plain.get(bytes.clone()).unwrap_or_default()),
            bytes,
            length: value(plain, length, row).map_or(0, u32::from_le_bytes),
            gso_segments: value(plain, gso_segments, row).map_or(0, u16::from_le_bytes),
        })
    };
    (0..rows).map(body).collect()
}

/// Where the bytes of a row are.
fn range(
    plain: &[u8],
    offsets: &Range<usize>,
    bytes: &Range<usize>,
    row: usize,
) -> Result<Range<usize>, WireError> {
    let offset = |row| {
        let offset = u32::from_le_bytes(value(plain, offsets, row)?);
        let at = bytes.start.checked_add(usize::try_from(offset).ok()?)?;
        (at <= bytes.end).then_some(at)
    };
    match (offset(row), offset(row + 1)) {
        (Some(start), Some(end)) if start <= end => Ok(start..end),
        _ => Err(WireError::Damaged("offsets beyond the bytes")),
    }
}
