//! Compression of chunks.
use std::io;

use zstd::{
    bulk::Compressor,
    zstd_safe::{CParameter, compress_bound},
};

/// zstd's level. The default, 3, makes captures 3 % smaller for a quarter more time.
const LEVEL: i32 = 1;

/// Converts each chunk into the bytes to write.
pub(super) struct Packer(Option<Zstd>);

struct Zstd {
    compressor: Compressor<'static>,
    frame: Vec<u8>,
}

impl Packer {
    /// Keeps chunks as they are, or compresses them.
    ///
    /// # Errors
    /// When zstd lacks memory.
    pub(super) fn new(zstd: bool) -> io::Result<Self> {
        if !zstd {
            return Ok(Self(None));
        }
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self(Some(Zstd {
            compressor,
            frame: Vec::new(),
        })))
    }

    /// The bytes of a chunk to be written: if compressed, a frame of its own with its size and
    /// a checksum.
    pub(super) fn pack<'a>(&'a mut self, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        let Some(Zstd { compressor, frame }) = &mut self.0 else {
            return Ok(bytes);
        };
        frame.clear();
        frame.reserve(compress_bound(bytes.len()));
        compressor.compress_to_buffer(bytes, frame)?;
        Ok(frame)
    }
}
