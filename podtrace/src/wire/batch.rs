//! Makes batches.
use std::{hash::BuildHasher as _, io};

use zstd::{
    bulk::Compressor,
    zstd_safe::{CParameter, compress_bound},
};

use super::{
    CAPTURED_MAX, HOPS_MAX, Hop, Tap,
    body::{Varying, split_at},
    dictionary::Index,
    layout::{self, BODIES, END, HEADS, HOPS, TAPS},
};

/// zstd's level.
const LEVEL: i32 = 1;
/// Taps of a batch at most: they have numbers of one byte.
const TAPS_MAX: usize = 256;
/// Captured bytes of a batch, equal ones counted once, after which it is full.
const BYTES_MAX: usize = 1 << 20;
/// Of a body, so many bytes are hashed: as many as are captured of it in any tunnel.
const HASHED: usize = 56;

/// Why a hop was not taken into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The batch is full: the hop goes into the next.
    Full,
    /// More than [`CAPTURED_MAX`] bytes of it were captured: it goes into none.
    TooLong,
}

/// A batch that is filled.
pub struct Batch {
    compressor: Compressor<'static>,
    plain: Vec<u8>,
    base_ns: u64,
    last_ns: u64,
    taps: Taps,
    heads: Heads,
    bodies: Bodies,
    hops: Columns,
    /// How many bytes of its body each hop has.
    kept: Vec<usize>,
}

/// The columns of the hops: little-endian numbers.
#[derive(Default)]
struct Columns {
    gap_ns: Vec<u8>,
    tap: Vec<u8>,
    head: Vec<u8>,
    body: Vec<u8>,
    ttl: Vec<u8>,
    checksum: Vec<u8>,
}

impl Batch {
    /// An empty batch.
    ///
    /// # Errors
    /// When zstd lacks memory.
    pub fn new() -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self {
            compressor,
            plain: Vec::new(),
            base_ns: 0,
            last_ns: 0,
            taps: Taps::default(),
            heads: Heads::default(),
            bodies: Bodies::default(),
            hops: Columns::default(),
            kept: Vec::new(),
        })
    }

    /// Hops in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Adds a hop. An empty batch is never full.
    ///
    /// # Errors
    /// When the hop has no room.
    pub fn push(&mut self, hop: &Hop<'_>) -> Result<(), Refused> {
        if hop.captured.len() > CAPTURED_MAX {
            return Err(Refused::TooLong);
        }
        if self.is_empty() {
            (self.base_ns, self.last_ns) = (hop.ts_ns, hop.ts_ns);
        }
        let gap = hop.ts_ns.wrapping_sub(self.last_ns).cast_signed();
        let bytes = self.heads.bytes.len() + self.bodies.bytes.len();
        let has_room = self.len() < HOPS_MAX && bytes <= BYTES_MAX;
        let (Ok(gap), true) = (i32::try_from(gap), has_room) else {
            return Err(Refused::Full);
        };
        let tap = self.taps.number(&hop.tap).ok_or(Refused::Full)?;
        self.last_ns = hop.ts_ns;
        let (head, body) = hop.captured.split_at(split_at(hop.captured, hop.tap.link));
        let length = hop.wire_len.wrapping_sub(head.len() as u32);
        let head = self.heads.number(head);
        self.kept.push(body.len());
        let (body, varying) = self.bodies.number(body, length, hop.gso_segments);
        let hops = &mut self.hops;
        hops.gap_ns.extend(gap.to_le_bytes());
        hops.tap.push(tap as u8);
        hops.head.extend((head as u16).to_le_bytes());
        hops.body.extend((body as u16).to_le_bytes());
        hops.ttl.push(varying.ttl);
        hops.checksum.extend(varying.checksum.to_le_bytes());
        Ok(())
    }

    /// The batch as a message; it is empty again.
    ///
    /// # Errors
    /// When zstd lacks memory.
    pub fn finish(&mut self) -> io::Result<Vec<u8>> {
        let plain = &mut self.plain;
        plain.clear();
        layout::write_schema(plain, self.base_ns);
        self.taps.write(plain);
        self.heads.write(plain);
        self.bodies.write(plain);
        let hops = &self.hops;
        let (numbers, _) = hops.body.as_chunks();
        let cut: Vec<_> = numbers
            .iter()
            .zip(&self.kept)
            .flat_map(|(number, kept)| self.bodies.cut(*number, *kept))
            .collect();
        HOPS.write(
            plain,
            self.kept.len(),
            &[
                &hops.gap_ns,
                &hops.tap,
                &hops.head,
                &hops.body,
                &hops.ttl,
                &hops.checksum,
                &cut,
            ],
        );
        plain.extend(END);
        let mut packed = Vec::with_capacity(compress_bound(plain.len()));
        let result = self.compressor.compress_to_buffer(plain, &mut packed);
        self.clear();
        result?;
        packed.shrink_to_fit();
        Ok(packed)
    }

    fn clear(&mut self) {
        self.taps.clear();
        self.heads.clear();
        self.bodies.clear();
        self.hops.clear();
        self.kept.clear();
    }
}

impl Columns {
    fn clear(&mut self) {
        let Self {
            gap_ns,
            tap,
            head,
            body,
            ttl,
            checksum,
        } = self;
        for column in [gap_ns, tap, head, body, ttl, checksum] {
            column.clear();
        }
    }
}

/// The dictionary of taps.
#[derive(Default)]
struct Taps {
    index: Index,
    taps: Vec<Tap>,
}

impl Taps {
    /// None if there is no room for it.
    fn number(&mut self, tap: &Tap) -> Option<usize> {
        let hash = self.index.state.hash_one(tap);
        let found = self.index.find(hash, |number| self.taps[number] == *tap);
        found.or_else(|| {
            let number = self.taps.len();
            (number < TAPS_MAX).then(|| {
                self.index.insert(hash, number);
                self.taps.push(*tap);
                number
            })
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut columns: [Vec<u8>; 6] = Default::default();
        let [interface, direction, flags, vlan_tci, link, cgroup] = &mut columns;
        for tap in &self.taps {
            interface.extend(tap.interface.to_le_bytes());
            direction.push(tap.direction as u8);
            flags.push(tap.flags());
            vlan_tci.extend(tap.vlan_tci.unwrap_or_default().to_le_bytes());
            link.extend(tap.link.to_le_bytes());
            cgroup.extend(tap.cgroup.to_le_bytes());
        }
        TAPS.write(out, self.taps.len(), &columns.each_ref().map(Vec::as_slice));
    }

    fn clear(&mut self) {
        self.index.clear();
        self.taps.clear();
    }
}

/// The dictionary of heads.
#[derive(Default)]
struct Heads {
    index: Index,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Heads {
    fn number(&mut self, head: &[u8]) -> usize {
        let hash = self.index.state.hash_one(head);
        let known = |number: usize| {
            let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
            &self.bytes[start..self.ends[number]]
        };
        let found = self.index.find(hash, |number| known(number) == head);
        found.unwrap_or_else(|| {
            let number = self.ends.len();
            self.index.insert(hash, number);
            self.bytes.extend_from_slice(head);
            self.ends.push(self.bytes.len());
            number
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let offsets = offsets(self.ends.iter().copied());
        HEADS.write(out, self.ends.len(), &[&offsets, &self.bytes]);
    }

    fn clear(&mut self) {
        self.index.clear();
        self.bytes.clear();
        self.ends.clear();
    }
}

/// The dictionary of bodies.
#[derive(Default)]
struct Bodies {
    index: Index,
    /// Bodies of all hops that had more than those before.
    bytes: Vec<u8>,
    bodies: Vec<Body>,
}

struct Body {
    start: usize,
    len: usize,
    /// Of the hop that has the least of it.
    shortest: usize,
    length: u32,
    gso_segments: u16,
}

impl Bodies {
    /// The number of a body that begins with these bytes, and what a hop has in place of some.
    fn number(&mut self, body: &[u8], length: u32, gso_segments: u16) -> (usize, Varying) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(body);
        let (before, body) = self.bytes.split_at_mut(start);
        let varying = Varying::take(body);
        let begin = &body[..body.len().min(HASHED)];
        let hash = self.index.state.hash_one((begin, length, gso_segments));
        let found = self.index.find(hash, |number| {
            let known = &self.bodies[number];
            known.length == length
                && known.gso_segments == gso_segments
                && known.len.max(body.len()) - known.shortest.min(body.len()) <= CUT_MAX
                && has_same_begin(body, before, &body_range(known))
        });
        let len = body.len();
        let number = found.unwrap_or(self.bodies.len());
        match self.bodies.get_mut(number) {
            Some(known) => {
                known.shortest = known.shortest.min(len);
                if len > known.len {
                    (known.start, known.len) = (start, len);
                } else {
                    self.bytes.truncate(start);
                }
            }
            None => {
                self.index.insert(hash, number);
                self.bodies.push(Body {
                    start,
                    len,
                    shortest: len,
                    length,
                    gso_segments,
                });
            }
        }
        (number, varying)
    }

    /// How many bytes of a body are missing if so many are kept.
    fn cut(&self, number: [u8; 2], kept: usize) -> [u8; 2] {
        let body = self.bodies.get(usize::from(u16::from_le_bytes(number)));
        let len = body.map_or(kept, |body| body.len);
        ((len - kept) as u16).to_le_bytes()
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut columns: [Vec<u8>; 3] = Default::default();
        let [bytes, length, gso_segments] = &mut columns;
        for body in &self.bodies {
            bytes.extend_from_slice(&self.bytes[body_range(body)]);
            length.extend(body.length.to_le_bytes());
            gso_segments.extend(body.gso_segments.to_le_bytes());
        }
        let mut end = 0;
        let offsets = offsets(self.bodies.iter().map(|body| {
            end += body.len;
            end
        }));
        let [bytes, length, gso_segments] = &columns;
        let contents: [&[u8]; 4] = [&offsets, bytes, length, gso_segments];
        BODIES.write(out, self.bodies.len(), &contents);
    }

    fn clear(&mut self) {
        self.index.clear();
        self.bytes.clear();
        self.bodies.clear();
    }
}

/// So many bytes of a body may be missing: as many as the column can say.
const CUT_MAX: usize = u16::MAX as usize;

fn body_range(body: &Body) -> std::ops::Range<usize> {
    body.start..body.start + body.len
}

fn has_same_begin(body: &[u8], before: &[u8], known: &std::ops::Range<usize>) -> bool {
    let known = &before[known.clone()];
    let len = known.len().min(body.len());
    known[..len] == body[..len]
}

/// The column of offsets: where each begins and the last one ends.
fn offsets(ends: impl Iterator<Item = usize>) -> Vec<u8> {
    let all = std::iter::once(0).chain(ends);
    all.flat_map(|end| (end as u32).to_le_bytes()).collect()
}
