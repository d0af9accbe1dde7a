//! The messages by which a session goes through a queue: batches of hops, one bucket each, and all
//! else of the session, which tells how many hops of each bucket come before it.
use std::io;

/// First bytes of both kinds.
const HOPS: [u8; 4] = *b"pdtH";
const CONTEXT: [u8; 4] = *b"pdtC";
/// Length of a session's name at most.
const NAME_MAX: usize = 64;
/// Unpacked bytes of a context at most.
const CONTEXT_MAX: usize = 16 << 20;
/// zstd's level.
const LEVEL: i32 = 3;

/// A batch of hops, in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopsMessage<'a> {
    /// Name of the session.
    pub session: &'a str,
    /// Number of the first among the hops of the session in this bucket, from 0.
    pub first: u64,
    /// How many there are.
    pub count: u32,
    /// [`super::Batch::finish`].
    pub batch: &'a [u8],
}

/// Hops that were not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpublished {
    /// Of which bucket.
    pub bucket: u16,
    /// The number of the first.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// Blocks of a session that hops neither interrupt nor are part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// How many hops of each bucket come before.
    pub before: Vec<u64>,
    /// The blocks, which can begin or end in the midst of one.
    pub blocks: Vec<u8>,
}

/// A part of what a session has beside hops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Name of the session.
    pub session: String,
    /// Its number, from 0.
    pub number: u64,
    /// How many buckets there are.
    pub buckets: u16,
    /// Whether the session ends with it.
    pub is_last: bool,
    /// What was not published, as far as it was not told before.
    pub unpublished: Vec<Unpublished>,
    /// The pieces, in order.
    pub pieces: Vec<Piece>,
}

impl<'a> HopsMessage<'a> {
    /// The message.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.batch.len() + 24 + self.session.len());
        write_head(&mut out, HOPS, self.session);
        out.extend(self.first.to_le_bytes());
        out.extend(self.count.to_le_bytes());
        out.extend_from_slice(self.batch);
        out
    }

    /// Reads it; none if it is something else.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (session, rest) = read_head(bytes, HOPS)?;
        let (first, rest) = rest.split_first_chunk()?;
        let (count, batch) = rest.split_first_chunk()?;
        Some(Self {
            session,
            first: u64::from_le_bytes(*first),
            count: u32::from_le_bytes(*count),
            batch,
        })
    }
}

impl Context {
    /// The message.
    ///
    /// # Errors
    /// When zstd lacks memory.
    pub fn write(&self) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        plain.extend(self.buckets.to_le_bytes());
        plain.push(self.is_last.into());
        plain.extend((self.unpublished.len() as u32).to_le_bytes());
        for hops in &self.unpublished {
            plain.extend(hops.bucket.to_le_bytes());
            plain.extend(hops.first.to_le_bytes());
            plain.extend(hops.count.to_le_bytes());
        }
        for piece in &self.pieces {
            let before = piece.before.iter().flat_map(|before| before.to_le_bytes());
            plain.extend(before);
            plain.extend((piece.blocks.len() as u32).to_le_bytes());
            plain.extend_from_slice(&piece.blocks);
        }
        let mut out = Vec::new();
        write_head(&mut out, CONTEXT, &self.session);
        out.extend(self.number.to_le_bytes());
        out.extend(zstd::bulk::compress(&plain, LEVEL)?);
        Ok(out)
    }

    /// Reads it; none if it is something else, or damaged.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (session, rest) = read_head(bytes, CONTEXT)?;
        let (number, packed) = rest.split_first_chunk()?;
        let plain = zstd::bulk::decompress(packed, CONTEXT_MAX).ok()?;
        let mut rest = Rest(&plain);
        let buckets = rest.u16()?;
        let is_last = rest.take(1)? != [0];
        let count = rest.u32()?;
        let unpublished = (0..count).map(|_| {
            Some(Unpublished {
                bucket: rest.u16()?,
                first: rest.u64()?,
                count: rest.u64()?,
            })
        });
        let unpublished = unpublished.collect::<Option<_>>()?;
        let mut pieces = Vec::new();
        while !rest.0.is_empty() {
            let before = (0..buckets).map(|_| rest.u64()).collect::<Option<_>>()?;
            let len = rest.u32()?;
            let blocks = rest.take(len as usize)?.to_vec();
            pieces.push(Piece { before, blocks });
        }
        Some(Self {
            session: session.to_owned(),
            number: u64::from_le_bytes(*number),
            buckets,
            is_last,
            unpublished,
            pieces,
        })
    }
}

fn write_head(out: &mut Vec<u8>, kind: [u8; 4], session: &str) {
    let len = session.floor_char_boundary(NAME_MAX);
    out.extend(kind);
    out.push(len as u8);
    out.extend_from_slice(&session.as_bytes()[..len]);
}

fn read_head(bytes: &[u8], kind: [u8; 4]) -> Option<(&str, &[u8])> {
    let (len, rest) = bytes.strip_prefix(&kind)?.split_first()?;
    let (session, rest) = rest.split_at_checked(usize::from(*len))?;
    Some((str::from_utf8(session).ok()?, rest))
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(*self.take(2)?.first_chunk()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }
}
