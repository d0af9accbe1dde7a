//! Which file it is, whatever its name.
use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// The identity of a file, independent of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl Identity {
    /// The metadata of the file of that name, if it is this file; does not follow links.
    pub(super) fn at(self, path: &Path) -> Option<Metadata> {
        fs::symlink_metadata(path)
            .ok()
            .filter(|metadata| Self::from(metadata) == self)
    }
}
