//! The bytes of session files: plain or compressed, from files or a pipe.
mod counted;
mod frames;
mod gzip;
mod plain;
mod zstd;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{signals::Stop, text::escape::shown};
use counted::Counted;
pub(super) use counted::count_events;
pub(crate) use counted::{bytes_read, events_read};
pub(super) use frames::is_known;
pub use frames::{Endian, Frame, Frames, MAX_BLOCK};
use gzip::Gunzipped;
use plain::Plain;
pub use zstd::Unpacked;

/// How many bytes identify the format of a file.
pub(super) const MAGIC: usize = 4;
/// How far a file is searched to decide whether it is a capture with damaged first bytes.
const FIRST_BYTES: usize = 1 << 20;
/// How far behind damage the search for intact data goes.
pub(super) const SEARCH_MAX: u64 = 64 << 20;

/// First bytes of a zstd frame (RFC 8878).
pub(crate) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// First bytes of a zstd frame without data, as pzstd writes at the begin; the lowest half
/// byte can have any value.
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
    /// Why they were skipped.
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

    /// Records that no more bytes will come: incomplete data is damage.
    fn finish(&mut self) {}
}

#[cfg(test)]
impl Source for io::Cursor<Vec<u8>> {}

/// An input that cannot be opened.
#[derive(Debug, Error)]
pub enum InputError {
    /// No file, or no permission.
    #[error("failed to open {}", named(.path))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not readable for this user, as recordings are for their owner only.
    #[error(
        "no permission to read {}\nhint: its owner, often root, may: use sudo, or let the owner change that (chmod, chown)",
        named(.path)
    )]
    Permission {
        /// The file.
        path: PathBuf,
    },
    /// Reading failed.
    #[error("failed to read {}", named(.path))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a capture.
    #[error("{} is neither pcapng nor pcap{hint}", named(.path))]
    Format {
        /// The file.
        path: PathBuf,
        /// The actual format, and what to do.
        hint: String,
    },
    /// A directory without captures.
    #[error("no capture in {}{hint}", named(.path))]
    Empty {
        /// The directory.
        path: PathBuf,
        /// Describes its content.
        hint: String,
    },
}

/// Describes a path.
#[must_use]
pub fn named(path: &Path) -> String {
    if path.as_os_str() == "-" {
        "standard input".to_owned()
    } else {
        shown(path)
    }
}

/// An open input.
pub struct Opened {
    /// Where the bytes come from, unpacked.
    pub source: Box<dyn Source>,
    /// Its first bytes, which are taken from the source: at least [`MAGIC`], unless the input
    /// is shorter.
    pub first: Vec<u8>,
    /// Whether it is compressed.
    pub is_packed: bool,
}

/// Opens a file, or standard input for `-`; decompresses zstd and gzip. The input ends once
/// `stop` is set.
///
/// # Errors
/// When it cannot be opened or read.
pub fn open(path: &Path, stop: &Stop) -> Result<Opened, InputError> {
    let plain = Plain::open(path, stop).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => InputError::Permission {
            path: path.to_owned(),
        },
        _ => InputError::Open {
            path: path.to_owned(),
            source,
        },
    })?;
    opened(path, plain)
}

/// As [`open`], of a pipe whose reading never waits; `path` is what errors name.
///
/// # Errors
/// When it cannot be read.
pub fn over(path: &Path, pipe: File, stop: &Stop) -> Result<Opened, InputError> {
    opened(path, Plain::of(pipe, stop))
}

fn opened(path: &Path, plain: Plain) -> Result<Opened, InputError> {
    unpack(Box::new(Counted(plain))).map_err(|source| InputError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Whether a path is of standard input, a pipe or a device: it cannot be read twice, and the
/// next bytes may be long in coming.
pub(crate) fn is_stream(path: &Path) -> bool {
    let metadata = || path.metadata().ok();
    path.as_os_str() == "-" || metadata().is_some_and(|metadata| !metadata.is_file())
}

/// Decompresses the source, if it is compressed.
pub(super) fn unpack(mut source: Box<dyn Source>) -> io::Result<Opened> {
    let mut first = first_bytes(&mut source)?;
    let is_zstd = is_zstd(&first);
    let is_packed = is_zstd || first.starts_with(&GZIP_MAGIC);
    if is_packed {
        source = if is_zstd {
            Box::new(Unpacked::new(source, &first)?)
        } else {
            Box::new(Gunzipped::new(source, first))
        };
        first = first_bytes(&mut source)?;
    }
    Ok(Opened {
        source,
        first,
        is_packed,
    })
}

fn is_zstd(first: &[u8]) -> bool {
    let word = first.first_chunk().copied().map(u32::from_le_bytes);
    first.starts_with(&ZSTD_MAGIC) || word.is_some_and(|word| word & !0xf == ZSTD_SKIPPABLE)
}

/// The bytes of one read, at least [`MAGIC`] unless the input is shorter.
fn first_bytes(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = vec![0; FIRST_BYTES];
    let mut len = 0;
    while len < MAGIC {
        match source.read(&mut first[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    first.truncate(len);
    Ok(first)
}

/// The length of the rest, as far as it is read for counting.
pub(super) fn rest(source: &mut impl Read) -> u64 {
    // Unreadable bytes do not count.
    io::copy(&mut source.take(SEARCH_MAX), &mut io::sink()).unwrap_or(0)
}
