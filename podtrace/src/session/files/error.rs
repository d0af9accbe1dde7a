//! Errors of session files.
use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::text::escape::shown;

/// Why a file could not be opened or written.
#[derive(Debug, Error)]
pub enum FilesError {
    /// A file of that name exists.
    #[error("{} exists already: --force replaces it", shown(.0))]
    Exists(PathBuf),
    /// The name is a symbolic link.
    #[error("{} is a symbolic link, which is not followed: name the file itself", shown(.0))]
    Symlink(PathBuf),
    /// Another user created the FIFO, in a directory that anybody can write.
    #[error("{} belongs to somebody else, who would read what is recorded: choose another name", shown(.0))]
    Planted(PathBuf),
    /// The name belongs to something that cannot be written to or replaced.
    #[error("{} is neither a regular file nor a FIFO or character device: choose another name", shown(.0))]
    NotAFile(PathBuf),
    /// A FIFO or device cannot be rotated.
    #[error("{} is not a regular file and cannot be rotated: leave the rotation away", shown(.0))]
    NotRotatable(PathBuf),
    /// The directory is missing.
    #[error("there is no directory {}: create it first", shown(.0))]
    NoDirectory(PathBuf),
    /// No permission to write.
    #[error("no permission to write {}: run as its owner or choose another directory", shown(.0))]
    Permission(PathBuf, #[source] io::Error),
    /// Mounted read-only.
    #[error("{} is on a read-only file system: choose another directory", shown(.0))]
    ReadOnly(PathBuf, #[source] io::Error),
    /// The disk or the user's quota is full.
    #[error("no space for {}: free some, or keep less", shown(.0))]
    Full(PathBuf, #[source] io::Error),
    /// The limit of the size of a file is reached.
    #[error("{} has reached the limit of a file's size: raise it (ulimit -f), or rotate at a smaller size (--rotate-size)", shown(.0))]
    TooLarge(PathBuf, #[source] io::Error),
    /// A FIFO without a reader.
    #[error("nobody reads the FIFO {}: start its reader", shown(.0))]
    NoReader(PathBuf),
    /// The reader of the standard output went away, and no other can come.
    #[error("nobody reads standard output any more")]
    OutputClosed(#[source] io::Error),
    /// The reader of a FIFO went away.
    #[error("the reader of {} is gone", shown(.0))]
    ReaderGone(PathBuf, #[source] io::Error),
    /// The name no longer leads to the session's file.
    #[error("{} was removed, renamed or replaced by another", shown(.0))]
    Moved(PathBuf),
    /// Another process wrote to the session's file or truncated it.
    #[error("{} was changed by another", shown(.0))]
    Changed(PathBuf),
    /// All older files are deleted already.
    #[error("{} would be more than all that is to be kept: rotate at a smaller size, or keep more", shown(.0))]
    NoRoom(PathBuf),
    /// Data kept in memory could not be compressed.
    #[error("failed to compress for {}", shown(.0))]
    Compress(PathBuf, #[source] io::Error),
    /// Any other error of the kernel.
    #[error("failed to {operation} {path}", path = shown(path))]
    System {
        /// The failed operation.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// No file is to be kept, not even the one being written.
    #[error("at least one file has to be kept")]
    KeepNothing,
    /// A single file may become larger than the limit of all files.
    #[error(
        "files of {file} bytes do not fit in the {keep} bytes to be kept: rotate at a smaller size, or keep more"
    )]
    KeepTooLittle {
        /// The limit of all files, in bytes.
        keep: u64,
        /// The limit of one file, in bytes.
        file: u64,
    },
    /// The thread could not be started.
    #[error("failed to start the thread that writes files")]
    Thread(#[source] io::Error),
}

/// Keeps the kernel's error kind if the reader ended, which is no error for a program with no
/// other task.
impl From<FilesError> for io::Error {
    fn from(error: FilesError) -> Self {
        let kind = match &error {
            FilesError::ReaderGone(..) | FilesError::OutputClosed(_) => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl FilesError {
    /// Turns the kernel's answer to an operation on a file into an error with a remedy.
    pub(super) fn system(operation: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission(path, source),
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(path, source),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path, source),
            io::ErrorKind::FileTooLarge => Self::TooLarge(path, source),
            io::ErrorKind::BrokenPipe => Self::ReaderGone(path, source),
            _ => Self::System {
                operation,
                path,
                source,
            },
        }
    }

    /// A file that may not become larger.
    pub(super) fn at_limit(path: PathBuf) -> Self {
        Self::TooLarge(path, io::Error::from_raw_os_error(libc::EFBIG))
    }

    /// Whether trying again is of no use.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::OutputClosed(_))
    }

    /// Whether the file has reached its limit; another file may be written.
    pub(crate) fn is_at_limit(&self) -> bool {
        matches!(self, Self::TooLarge(..))
    }

    /// Whether the disk is full.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Full(..))
    }
}
