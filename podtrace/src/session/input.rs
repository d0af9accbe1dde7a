//! The bytes of session files: plain or compressed, from files or a pipe.
mod counted;
mod frames;
mod zstd;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use thiserror::Error;

use counted::Counted;
pub(super) use counted::count_event;
pub(crate) use counted::{bytes_read, events_read};
pub use frames::{Endian, Frame, Frames, MAX_BLOCK};
pub use zstd::Unpacked;

/// First bytes of a zstd frame (RFC 8878).
pub(crate) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// First bytes of a zstd frame without data, which pzstd writes first; the lowest half byte
/// can have any value.
const ZSTD_SKIPPABLE: u32 = 0x184d_2a50;
/// First bytes of a gzip file (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Part of an input that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins, in bytes from the beginning of the file; of the compressed file, if
    /// the compressed data is damaged.
    pub offset: u64,
    /// How many bytes were skipped.
    pub len: u64,
    /// What is wrong.
    pub reason: &'static str,
}

/// Upper bound of the separate places of damage in one list.
const DAMAGE_MAX: usize = 1000;

impl Damage {
    /// Adds it to a list. Damage next to the last place extends that place, and so does
    /// damage without room in the list.
    pub(crate) fn add_to(self, list: &mut Vec<Self>) {
        let is_full = list.len() >= DAMAGE_MAX;
        match list.last_mut() {
            Some(last) if is_full || last.offset + last.len == self.offset => {
                let end = self.offset.saturating_add(self.len);
                last.len = last.len.max(end.saturating_sub(last.offset));
            }
            _ => list.push(self),
        }
    }
}

/// A source of bytes, and of the damage found in them.
pub trait Source: Read + Send {
    /// Takes the damage found since the last call.
    fn take_damage(&mut self) -> Vec<Damage> {
        Vec::new()
    }

    /// Notes that no more bytes will come: incomplete data is damage.
    fn finish(&mut self) {}
}

#[cfg(test)]
impl Source for io::Cursor<Vec<u8>> {}

/// An input that cannot be opened.
#[derive(Debug, Error)]
pub enum InputError {
    /// No file, or no permission.
    #[error("failed to open {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading failed.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a capture.
    #[error("{path} is neither pcapng nor pcap{hint}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        hint: &'static str,
    },
    /// A directory without captures.
    #[error("no capture in {path}: nothing ends in .pcapng, .pcap or these with .zst")]
    Empty {
        /// The directory.
        path: PathBuf,
    },
}

/// Opens a file, or standard input for `-`; unpacks zstd.
///
/// # Errors
/// When it cannot be opened, or its first bytes are not those of a capture.
pub fn open(path: &Path) -> Result<(Box<dyn Source>, Vec<u8>), InputError> {
    let source: Box<dyn Source> = if path.as_os_str() == "-" {
        Box::new(Counted(io::stdin()))
    } else {
        let open = |source| InputError::Open {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(open)?;
        if file.metadata().map_err(open)?.is_dir() {
            return Err(open(io::ErrorKind::IsADirectory.into()));
        }
        Box::new(Counted(file))
    };
    begin(source, path)
}

/// [`open`] for an open source.
pub(super) fn begin(
    mut source: Box<dyn Source>,
    path: &Path,
) -> Result<(Box<dyn Source>, Vec<u8>), InputError> {
    let read = |source| InputError::Read {
        path: path.to_owned(),
        source,
    };
    let first = first_bytes(&mut source).map_err(read)?;
    if first.starts_with(&GZIP_MAGIC) {
        return Err(InputError::Format {
            path: path.to_owned(),
            hint: ": it is compressed by gzip\nhint: zcat FILE | podtrace replay -",
        });
    }
    if !is_zstd(&first) {
        return Ok((source, first));
    }
    let mut source: Box<dyn Source> = Box::new(Unpacked::new(source, &first).map_err(read)?);
    let first = first_bytes(&mut source).map_err(read)?;
    Ok((source, first))
}

fn is_zstd(first: &[u8]) -> bool {
    let word = first.first_chunk().copied().map(u32::from_le_bytes);
    first.starts_with(&ZSTD_MAGIC) || word.is_some_and(|word| word & !0xf == ZSTD_SKIPPABLE)
}

/// Up to four bytes.
fn first_bytes(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    source.take(4).read_to_end(&mut first)?;
    Ok(first)
}

/// The captures that a path names: the file itself, or those in the directory, in order of
/// their names.
///
/// # Errors
/// When a directory cannot be read or holds none.
pub fn expand(path: &Path) -> Result<Vec<PathBuf>, InputError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let open = |source| InputError::Open {
        path: path.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in path.read_dir().map_err(open)? {
        let file = entry.map_err(open)?.path();
        let name = file.file_name().and_then(|name| name.to_str());
        let name = name.map(|name| name.strip_suffix(".zst").unwrap_or(name));
        if name.is_some_and(|name| name.ends_with(".pcapng") || name.ends_with(".pcap")) {
            found.push(file);
        }
    }
    if found.is_empty() {
        return Err(InputError::Empty {
            path: path.to_owned(),
        });
    }
    found.sort();
    Ok(found)
}
