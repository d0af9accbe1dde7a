//! Distinguishes copies of a file from other files.
use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::{
    session::input::{InputError, open},
    signals::Stop,
};

/// Bytes compared at once.
const PART_BYTES: u64 = 64 << 10;

/// Whether a file has more bytes than another, both decompressed.
pub(super) fn holds_more(one: &Path, other: &Path) -> Result<bool, InputError> {
    Ok(len(one)? > len(other)?)
}

/// The length of a file, decompressed.
fn len(path: &Path) -> Result<u64, InputError> {
    let read = |source| InputError::Read {
        path: path.to_owned(),
        source,
    };
    let mut opened = open(path, &Stop::default())?;
    if !opened.is_packed {
        return Ok(path.metadata().map_err(read)?.len());
    }
    let rest = io::copy(&mut opened.source, &mut io::sink()).map_err(read)?;
    Ok(opened.first.len() as u64 + rest)
}

/// The length of files and a hash of their bytes (FNV-1a, 64 bits), all decompressed, in words.
pub(super) fn fingerprint(paths: &[PathBuf]) -> Result<String, InputError> {
    let (mut len, mut hash) = (0_u64, 0xcbf2_9ce4_8422_2325_u64);
    let mut part = vec![0; PART_BYTES as usize];
    for path in paths {
        let read = |source| InputError::Read {
            path: path.clone(),
            source,
        };
        let opened = open(path, &Stop::default())?;
        let mut source = io::Cursor::new(opened.first).chain(opened.source);
        loop {
            let count = source.read(&mut part).map_err(read)?;
            if count == 0 {
                break;
            }
            len += count as u64;
            for byte in &part[..count] {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    Ok(format!("{len}-{hash:016x}"))
}

/// Whether two files have the same bytes.
pub(super) fn is_copy(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    loop {
        let parts = [part(&mut one)?, part(&mut other)?];
        if parts[0] != parts[1] {
            return Ok(false);
        }
        if parts[0].is_empty() {
            return Ok(true);
        }
    }
}

/// The next part of a file; empty at its end.
fn part(file: &mut File) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    file.take(PART_BYTES).read_to_end(&mut part)?;
    Ok(part)
}
