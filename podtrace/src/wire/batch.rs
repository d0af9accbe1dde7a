//! Makes batches.
use std::{hash::BuildHasher as _, io, ops::Range};

use zstd::{
    bulk::Compressor,
    zstd_safe::{CParameter, compress_bound},
};

use super::{
    CAPTURED_MAX, HOPS_MAX, Hop, Tap, WHOLE,
    body::{Varying, split_at},
    dictionary::Index,
    layout::{self, BODIES, END, HEADS, HOPS, TAPS},
};

/// zstd's level. -1 makes batches of short packets a sixth larger, those with random payload a
/// twentieth, for a tenth less work in all.
const LEVEL: i32 = 1;
/// zstd looks for matches of so many bytes: shorter ones are more work than they are worth.
const MATCH_MIN: u32 = 7;
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
}

/// The columns of the hops: little-endian numbers.
#[derive(Default)]
struct Columns {
    gap_ns: Vec<u8>,
    tap: Vec<u8>,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Batch {
    /// An empty batch.
    ///
    /// # Errors
    /// When zstd lacks memory.
    pub fn new() -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::MinMatch(MATCH_MIN))?;
        Ok(Self {
            compressor,
            plain: Vec::new(),
            base_ns: 0,
            last_ns: 0,
            taps: Taps::default(),
            heads: Heads::default(),
            bodies: Bodies::default(),
            hops: Columns::default(),
        })
    }

    /// Hops in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hops.tap.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hops.tap.is_empty()
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
        let split = split_at(hop.captured, hop.tap.link);
        let (head, body) = hop.captured.split_at(split);
        let length = hop.wire_len.wrapping_sub(split as u32);
        let (number, varying) = self.bodies.number(body, length, hop.gso_segments);
        let captured = if body.len() == length as usize {
            WHOLE
        } else {
            hop.captured.len() as u32
        };
        let head = self.heads.number(tap, (captured, varying), head);
        let hops = &mut self.hops;
        hops.gap_ns.extend_from_slice(&gap.to_le_bytes());
        hops.tap.push(tap as u8);
        hops.head.extend_from_slice(&(head as u16).to_le_bytes());
        hops.body.extend_from_slice(&(number as u16).to_le_bytes());
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
        let columns: [&[u8]; 4] = [&hops.gap_ns, &hops.tap, &hops.head, &hops.body];
        HOPS.write(plain, hops.tap.len(), &columns);
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
        let hops = &mut self.hops;
        for column in [
            &mut hops.gap_ns,
            &mut hops.tap,
            &mut hops.head,
            &mut hops.body,
        ] {
            column.clear();
        }
    }
}

/// The dictionary of taps.
#[derive(Default)]
struct Taps {
    index: Index,
    taps: Vec<Tap>,
    /// The last numbers of interfaces and directions, by their lowest bits.
    recent: [u8; 32],
}

impl Taps {
    /// None if there is no room for it.
    fn number(&mut self, tap: &Tap) -> Option<usize> {
        let slot = (tap.interface as usize * 4 + tap.direction as usize) % self.recent.len();
        let number = self.recent[slot].into();
        if self.taps.get(number) == Some(tap) {
            return Some(number);
        }
        let number = self.find(tap)?;
        self.recent[slot] = number as u8;
        Some(number)
    }

    fn find(&mut self, tap: &Tap) -> Option<usize> {
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
        let mut columns = columns(self.taps.len());
        let [interface, direction, flags, vlan_tci, link, cgroup] = &mut columns;
        for tap in &self.taps {
            interface.extend_from_slice(&tap.interface.to_le_bytes());
            direction.push(tap.direction as u8);
            flags.push(tap.flags());
            vlan_tci.extend_from_slice(&tap.vlan_tci.unwrap_or_default().to_le_bytes());
            link.extend_from_slice(&tap.link.to_le_bytes());
            cgroup.extend_from_slice(&tap.cgroup.to_le_bytes());
        }
        let columns = columns.each_ref().map(Vec::as_slice);
        TAPS.write(out, self.taps.len(), &columns);
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
    heads: Vec<Head>,
    /// The last number at each tap.
    recent: Vec<usize>,
}

struct Head {
    bytes: Range<usize>,
    /// How many bytes are captured, and what the body has in place of some.
    hop: (u32, Varying),
}

impl Heads {
    fn number(&mut self, tap: usize, hop: (u32, Varying), bytes: &[u8]) -> usize {
        if tap >= self.recent.len() {
            self.recent.resize(tap + 1, 0);
        }
        let number = self.recent[tap];
        if self
            .heads
            .get(number)
            .is_some_and(|head| self.is(head, hop, bytes))
        {
            return number;
        }
        let number = self.find(hop, bytes);
        self.recent[tap] = number;
        number
    }

    fn is(&self, head: &Head, hop: (u32, Varying), bytes: &[u8]) -> bool {
        head.hop == hop && &self.bytes[head.bytes.clone()] == bytes
    }

    fn find(&mut self, hop: (u32, Varying), bytes: &[u8]) -> usize {
        let hash = self.index.state.hash_one((hop, bytes));
        let is_it = |number: usize| self.is(&self.heads[number], hop, bytes);
        self.index.find(hash, is_it).unwrap_or_else(|| {
            let number = self.heads.len();
            self.index.insert(hash, number);
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            let bytes = start..self.bytes.len();
            self.heads.push(Head { bytes, hop });
            number
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut columns = columns(self.heads.len());
        let [captured, ttl, checksum] = &mut columns;
        for head in &self.heads {
            let (len, varying) = head.hop;
            captured.extend_from_slice(&len.to_le_bytes());
            ttl.push(varying.ttl);
            checksum.extend_from_slice(&varying.checksum.to_le_bytes());
        }
        let offsets = offsets(self.heads.iter().map(|head| head.bytes.end));
        let [captured, ttl, checksum] = &columns;
        let columns: [&[u8]; 5] = [&offsets, &self.bytes, captured, ttl, checksum];
        HEADS.write(out, self.heads.len(), &columns);
    }

    fn clear(&mut self) {
        self.index.clear();
        self.bytes.clear();
        self.heads.clear();
        self.recent.clear();
    }
}

/// The dictionary of bodies.
#[derive(Default)]
struct Bodies {
    index: Index,
    /// Bodies of all hops that had more than those before.
    bytes: Vec<u8>,
    bodies: Vec<Body>,
    /// The last number.
    recent: usize,
}

struct Body {
    bytes: Range<usize>,
    /// Length on the wire, and segments.
    packet: (u32, u16),
}

impl Bodies {
    /// The number of a body that begins with these bytes, and what a hop has in place of some.
    fn number(&mut self, body: &[u8], length: u32, gso_segments: u16) -> (usize, Varying) {
        let packet = (length, gso_segments);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(body);
        let (before, body) = self.bytes.split_at_mut(start);
        let varying = Varying::take(body);
        let is = |known: &Body| {
            let same = known.bytes.len().min(body.len());
            let known_bytes = &before[known.bytes.clone()];
            known.packet == packet && known_bytes[..same] == body[..same]
        };
        let len = body.len();
        let number = if self.bodies.get(self.recent).is_some_and(is) {
            self.recent
        } else {
            let begin = &body[..len.min(HASHED)];
            let hash = self.index.state.hash_one((begin, packet));
            let found = self.index.find(hash, |number| is(&self.bodies[number]));
            found.unwrap_or_else(|| {
                let number = self.bodies.len();
                self.index.insert(hash, number);
                let bytes = start..start;
                self.bodies.push(Body { bytes, packet });
                number
            })
        };
        let known = &mut self.bodies[number];
        if len > known.bytes.len() {
            known.bytes = start..start + len;
        } else {
            self.bytes.truncate(start);
        }
        self.recent = number;
        (number, varying)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut columns = columns(self.bodies.len());
        let [length, gso_segments] = &mut columns;
        for body in &self.bodies {
            bytes.extend_from_slice(&self.bytes[body.bytes.clone()]);
            length.extend_from_slice(&body.packet.0.to_le_bytes());
            gso_segments.extend_from_slice(&body.packet.1.to_le_bytes());
        }
        let mut end = 0;
        let offsets = offsets(self.bodies.iter().map(|body| {
            end += body.bytes.len();
            end
        }));
        let [length, gso_segments] = &columns;
        let columns: [&[u8]; 4] = [&offsets, &bytes, length, gso_segments];
        BODIES.write(out, self.bodies.len(), &columns);
    }

    fn clear(&mut self) {
        self.index.clear();
        self.bytes.clear();
        self.bodies.clear();
    }
}

/// Columns for so many rows, of values of eight bytes at most.
fn columns<const N: usize>(rows: usize) -> [Vec<u8>; N] {
    std::array::from_fn(|_| Vec::with_capacity(8 * rows))
}

/// The column of offsets: where each begins and the last one ends.
fn offsets(ends: impl ExactSizeIterator<Item = usize>) -> Vec<u8> {
    let mut offsets = Vec::with_capacity(4 * (ends.len() + 1));
    for end in std::iter::once(0).chain(ends) {
        offsets.extend_from_slice(&(end as u32).to_le_bytes());
    }
    offsets
}
