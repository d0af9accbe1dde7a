//! Opens files without ever writing to a file of another user.
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsFd as _,
        unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
    sync::Arc,
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{
    FilesError,
    identity::Identity,
    replacement::{Aside, name_aside, remove_left},
    trust::{check_directory, check_owner, check_replaceable, directory},
};

/// Captures hold private data.
const MODE: u32 = 0o600;

/// A regular file that was created.
pub(super) struct Created {
    pub(super) file: File,
    pub(super) identity: Identity,
    /// Its name, if there is an earlier file that it is to replace.
    pub(super) aside: Option<Arc<Aside>>,
}

/// Creates a regular file. With `force`, where a file has the name, it gets another one for now.
///
/// # Errors
/// When the name exists, or the file cannot be created.
pub(super) fn create(path: &Path, force: bool) -> Result<Created, FilesError> {
    check_directory(directory(path))?;
    if force {
        remove_left(path);
    }
    match create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            check_replaceable(path, force)?;
            let aside = name_aside(path);
            let (file, identity) = lock(path, create_new(&aside))?;
            let aside = Aside::new(path.to_owned(), aside, identity);
            Ok(Created {
                file,
                identity,
                aside: Some(Arc::new(aside)),
            })
        }
        created => {
            let (file, identity) = lock(path, created)?;
            Ok(Created {
                file,
                identity,
                aside: None,
            })
        }
    }
}

/// Locks a created file, which shows other runs that it is in use, if the file system has locks.
fn lock(path: &Path, created: io::Result<File>) -> Result<(File, Identity), FilesError> {
    let file = created.map_err(|error| match error.kind() {
        // Where files cannot be created, as in /proc, the kernel says the same.
        io::ErrorKind::NotFound if !directory(path).is_dir() => {
            FilesError::NoDirectory(directory(path).to_owned())
        }
        _ => FilesError::system("create", path, error),
    })?;
    let _ = file.try_lock();
    let metadata = file
        .metadata()
        .map_err(|error| FilesError::system("inspect", path, error))?;
    Ok((file, Identity::from(&metadata)))
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
