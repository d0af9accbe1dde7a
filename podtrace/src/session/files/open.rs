//! Opens files without ever writing to a file of another user.
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsFd as _,
        unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{
    FilesError,
    trust::{check_directory, check_owner, directory},
};

/// Captures hold private data.
const MODE: u32 = 0o600;

/// Creates a regular file. `force` replaces an existing one.
///
/// # Errors
/// When the name exists, or the file cannot be created.
pub(super) fn create(path: &Path, force: bool) -> Result<File, FilesError> {
    check_directory(directory(path))?;
    match create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            make_way(path, force)?;
            create_new(path)
        }
        created => created,
    }
    .map_err(|error| match error.kind() {
        // Another process took the name meanwhile.
        io::ErrorKind::AlreadyExists => FilesError::Exists(path.to_owned()),
        // Where files cannot be created, as in /proc, the kernel says the same.
        io::ErrorKind::NotFound if !directory(path).is_dir() => {
            FilesError::NoDirectory(directory(path).to_owned())
        }
        _ => FilesError::system("create", path, error),
    })
}

/// Opens a FIFO or character device.
///
/// # Errors
/// When it is neither any more, may be a trap of another user, or the FIFO has no reader.
pub(super) fn open_stream(path: &Path) -> Result<File, FilesError> {
    // Checked before opening, which could wait for a FIFO of another user; the opened one is
    // checked too.
    if let Ok(found) = fs::symlink_metadata(path) {
        check_owner(path, found.uid())?;
    }
    let file = OpenOptions::new()
        .write(true)
        // Refuses a FIFO without a reader, which would block otherwise.
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits())
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ENXIO) => FilesError::NoReader(path.to_owned()),
            Some(libc::ELOOP) => FilesError::Symlink(path.to_owned()),
            _ => FilesError::system("open", path, error),
        })?;
    let metadata = file
        .metadata()
        .map_err(|error| FilesError::system("inspect", path, error))?;
    check_owner(path, metadata.uid())?;
    let kind = metadata.file_type();
    if !kind.is_fifo() && !kind.is_char_device() {
        return Err(FilesError::NotAFile(path.to_owned()));
    }
    fcntl(file.as_fd(), FcntlArg::F_SETFL(OFlag::empty()))
        .map_err(|errno| FilesError::system("open", path, errno.into()))?;
    Ok(file)
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
}

/// Removes a regular file, and only with `force`.
fn make_way(path: &Path, force: bool) -> Result<(), FilesError> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FilesError::system("inspect", path, error)),
    };
    if kind.is_symlink() {
        return Err(FilesError::Symlink(path.to_owned()));
    }
    if !kind.is_file() {
        return Err(FilesError::NotAFile(path.to_owned()));
    }
    if !force {
        return Err(FilesError::Exists(path.to_owned()));
    }
    fs::remove_file(path).map_err(|error| FilesError::system("replace", path, error))
}
