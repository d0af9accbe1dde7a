//! Decides whose names to follow in directories that others can write, such as `/tmp`.
use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path},
};

use nix::unistd::Uid;

use super::FilesError;

/// Write permission of the group and of everybody.
const OTHERS_WRITE: u32 = 0o022;

/// Refuses a target that another user has put there: the owner of a FIFO can read it.
///
/// # Errors
/// When the owner is neither trusted nor root, in a directory that others can write.
pub(super) fn check_owner(path: &Path, owner: u32) -> Result<(), FilesError> {
    let is_planted = !is_trusted(owner) && others_write(directory(path));
    if is_planted {
        return Err(FilesError::Planted(path.to_owned()));
    }
    Ok(())
}

/// Refuses a directory that is another user's link in a directory that others can write: it
/// leads wherever they want.
///
/// # Errors
/// When it is such a link.
pub(super) fn check_directory(path: &Path) -> Result<(), FilesError> {
    // Components leave out the trailing slash, which would make the kernel follow a link.
    let itself = path.components().as_path();
    let is_link =
        fs::symlink_metadata(itself).is_ok_and(|link| link.is_symlink() && !is_trusted(link.uid()));
    if is_link && others_write(directory(itself)) {
        return Err(FilesError::Symlink(itself.to_owned()));
    }
    Ok(())
}

/// The directory that holds the name.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|directory| !directory.as_os_str().is_empty())
        .unwrap_or(Path::new(Component::CurDir.as_os_str()))
}

/// Trusts the user of podtrace, root, and the user who runs it by sudo.
fn is_trusted(owner: u32) -> bool {
    let by_sudo = || env::var("SUDO_UID").ok()?.parse().ok();
    owner == 0 || owner == Uid::effective().as_raw() || Some(owner) == by_sudo()
}

/// A directory that cannot be examined may be anybody's.
fn others_write(directory: &Path) -> bool {
    fs::metadata(directory).map_or(true, |directory| directory.mode() & OTHERS_WRITE != 0)
}
