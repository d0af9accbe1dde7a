//! The destination of a session, by the kind of its target.
use std::{
    fmt, fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, FileTypeExt as _},
    },
    path::{Path, PathBuf},
};

use super::{
    FileOptions, FilesError, Target,
    name::Names,
    trust::{check_directory, directory, warning},
};
use crate::text::escape::shown;

/// The destination of a session, as found at its start.
#[derive(Debug)]
pub(super) enum Destination {
    /// The standard output.
    Stdout,
    /// A FIFO or character device, which can neither be cut nor rotated.
    Stream(PathBuf),
    /// Regular files.
    Files(Names),
}

impl Destination {
    /// Examines the target; creates a directory whose name ends in `/`.
    ///
    /// # Errors
    /// When the directory cannot be created, or rotation is asked of a FIFO or device.
    pub(super) fn find(options: &FileOptions) -> Result<Self, FilesError> {
        let Target::Path(path) = &options.target else {
            return Ok(Self::Stdout);
        };
        if path.as_os_str().as_bytes().ends_with(b"/") {
            // If the kernel protects links in such directories, the target cannot even be
            // examined.
            check_directory(path)?;
            create_directory(path)?;
        }
        if is_stream(path) {
            return if options.rotates {
                Err(FilesError::NotRotatable(path.clone()))
            } else {
                Ok(Self::Stream(path.clone()))
            };
        }
        Ok(Self::Files(if path.is_dir() {
            Names::in_directory(path, &options.node, options.start, options.zstd)
        } else if options.rotates {
            Names::numbered(path, options.zstd)
        } else {
            Names::exactly(path, options.zstd)
        }))
    }
}

impl Destination {
    /// Describes what other users can do to the files.
    pub(super) fn warning(&self) -> Option<String> {
        let Self::Files(names) = self else {
            return None;
        };
        warning(match names {
            Names::Exactly(path) => directory(path),
            Names::Numbered { directory: at, .. } | Names::InDirectory { directory: at, .. }
                if at.as_os_str().is_empty() =>
            {
                Path::new(".")
            }
            Names::Numbered { directory: at, .. } | Names::InDirectory { directory: at, .. } => at,
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::Stream(path) | Self::Files(Names::Exactly(path)) => f.write_str(&shown(path)),
            Self::Files(
                Names::Numbered { directory, .. } | Names::InDirectory { directory, .. },
            ) if directory.as_os_str().is_empty() => f.write_str("the working directory"),
            Self::Files(
                Names::Numbered { directory, .. } | Names::InDirectory { directory, .. },
            ) => f.write_str(&shown(directory)),
        }
    }
}

pub(super) fn create_directory(path: &Path) -> Result<(), FilesError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| FilesError::system("create directory", path, source))
}

pub(super) fn is_stream(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| {
        let kind = metadata.file_type();
        kind.is_fifo() || kind.is_char_device()
    })
}
