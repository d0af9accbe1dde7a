//! Tells copies of one file from other files.
use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use crate::{
    session::input::{InputError, open},
    signals::Stop,
};

/// How much is compared at once.
const PART_BYTES: u64 = 64 << 10;

/// Whether a file has more bytes than another, both unpacked.
pub(super) fn holds_more(one: &Path, other: &Path) -> Result<bool, InputError> {
    Ok(len(one)? > len(other)?)
}

/// How many bytes a file has, unpacked.
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
