//! Decides whose names are trusted in directories that others can write, such as `/tmp`.
use std::{
    env,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path},
};

use nix::unistd::{Gid, Uid};

use super::FilesError;
use crate::text::escape::shown;

/// Write permission of the group and of everybody.
const OTHERS_WRITE: u32 = 0o022;
/// Write permission of all users.
const EVERYBODY_WRITES: u32 = 0o002;
/// Only its owner can rename or delete a file in the directory.
const STICKY: u32 = 0o1000;

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

/// Refuses a directory that is another user's link in a directory that others can write: the
/// link can lead anywhere.
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

/// Describes what other users can do to files in a directory; none if nothing.
pub(super) fn warning(directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let (itself, above) = (directory.as_path(), directory.ancestors().skip(1));
    let shared = |at: &Path| {
        let found = fs::metadata(at).ok()?;
        let is_sticky = found.mode() & STICKY != 0;
        if !is_trusted(found.uid()) {
            Some(format!(
                "{} belongs to user {}, who can rename and delete what is recorded",
                shown(at),
                found.uid()
            ))
        } else if !strangers_write(&found) {
            None
        } else if !is_sticky {
            Some(format!(
                "others can write to {}: they can rename and delete what is recorded",
                shown(at)
            ))
        } else {
            // They can take the name of a file, but not that of a directory in use.
            (at == itself).then(|| {
                format!(
                    "others can write to {}: they can take the names of files to come",
                    shown(at)
                )
            })
        }
    };
    shared(itself).or_else(|| above.into_iter().find_map(shared))
}

/// Whether untrusted users can write to a directory.
fn strangers_write(directory: &Metadata) -> bool {
    let by_sudo = || env::var("SUDO_GID").ok()?.parse().ok();
    let group = directory.gid();
    let is_own = group == 0 || group == Gid::effective().as_raw() || Some(group) == by_sudo();
    let writers = if is_own {
        EVERYBODY_WRITES
    } else {
        OTHERS_WRITE
    };
    directory.mode() & writers != 0
}

/// The directory that holds the name.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|directory| !directory.as_os_str().is_empty())
        .unwrap_or(Path::new(Component::CurDir.as_os_str()))
}

/// Whether an owner is trusted: the user of podtrace, root, and the user who runs it by sudo.
pub(crate) fn is_trusted(owner: u32) -> bool {
    let by_sudo = || env::var("SUDO_UID").ok()?.parse().ok();
    owner == 0 || owner == Uid::effective().as_raw() || Some(owner) == by_sudo()
}

/// A directory that cannot be examined may be anybody's.
fn others_write(directory: &Path) -> bool {
    fs::metadata(directory).map_or(true, |directory| directory.mode() & OTHERS_WRITE != 0)
}

/// Checks that a name is free, or that of a regular file with `force`.
pub(super) fn check_replaceable(path: &Path, force: bool) -> Result<(), FilesError> {
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    #[test]
    fn directories_of_other_users_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        let (outer, inner) = (dir.path().join("outer"), dir.path().join("outer/inner"));
        fs::create_dir_all(&inner).unwrap();
        let check = |outer_mode, inner_mode| {
            for (path, mode) in [(&outer, outer_mode), (&inner, inner_mode)] {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
            let warning = warning(&inner);
            warning.map(|text| text.replace(&*dir.path().to_string_lossy(), ""))
        };
        assert_eq!(check(0o755, 0o700), None);
        assert_eq!(check(0o1777, 0o755), None);
        assert_eq!(check(0o755, 0o775), None, "the group is ours");
        let expected =
            "others can write to /outer/inner: they can rename and delete what is recorded";
        assert_eq!(check(0o755, 0o777).as_deref(), Some(expected));
        let expected = "others can write to /outer/inner: they can take the names of files to come";
        assert_eq!(check(0o755, 0o1777).as_deref(), Some(expected));
        let expected = "others can write to /outer: they can rename and delete what is recorded";
        assert_eq!(check(0o777, 0o755).as_deref(), Some(expected));
        if Uid::effective().is_root() {
            chown(&inner, Some(1000), Some(1000)).unwrap();
            let expected =
                "/outer/inner belongs to user 1000, who can rename and delete what is recorded";
            assert_eq!(check(0o755, 0o755).as_deref(), Some(expected));
        }
    }
}
