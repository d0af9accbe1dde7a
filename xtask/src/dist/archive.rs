//! Archives that are the same each time: tar, gzip, and checksums.

use std::{fmt::Write as _, io::Write as _};

use anyhow::Result;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::content::Content;

/// A tar of root's files, all of one time.
pub(super) struct Tar {
    builder: Builder<Vec<u8>>,
    time: u32,
}

impl Tar {
    pub(super) fn new(time: u32) -> Self {
        Self {
            builder: Builder::new(Vec::new()),
            time,
        }
    }

    /// Adds a folder; the path ends in a slash.
    pub(super) fn folder(&mut self, path: &str) -> Result<()> {
        self.entry(path, EntryType::Directory, 0o755, &[])
    }

    /// Adds a file.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entry(path, EntryType::Regular, mode, content)
    }

    /// Adds the folders and files of a content, below a root that ends in a slash, if there is one.
    pub(super) fn content(&mut self, root: &str, content: &Content) -> Result<()> {
        for folder in content.folders() {
            self.folder(&format!("{root}{folder}/"))?;
        }
        for file in &content.0 {
            self.file(&format!("{root}{}", file.path), file.mode, &file.bytes)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, kind: EntryType, mode: u32, content: &[u8]) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(self.time.into());
        header.set_size(content.len().try_into()?);
        header.set_uid(0);
        header.set_gid(0);
        header.set_username("root")?;
        header.set_groupname("root")?;
        // As it is: `set_path` would take the leading `./` of Debian's packages away.
        let name = header.as_old_mut().name.get_mut(..path.len());
        let name = name.ok_or_else(|| anyhow::anyhow!("{path} is too long for a tar"))?;
        name.copy_from_slice(path.as_bytes());
        header.set_cksum();
        Ok(self.builder.append(&header, content)?)
    }

    /// The bytes of the tar.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        Ok(self.builder.into_inner()?)
    }
}

/// Compresses, without a name and a time.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// The checksum, in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
