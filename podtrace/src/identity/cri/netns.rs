//! Finds a sandbox's network namespace where the runtime sees it.
//!
//! A runtime may live in another mount namespace than podtrace, so its paths are looked up
//! below the root directory of its process.
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Component, Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};

use crate::netns::{NetNs, NetNsError};

/// A path that is not a namespace may be anything, even a FIFO: opening it must neither
/// block nor acquire a terminal.
const FLAGS: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);

/// How many links a path may have, as the kernel counts them.
const MAX_LINKS: usize = 40;

/// The identity of a network namespace. Not an open handle, which would keep the namespace
/// of a dead pod alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Inode of the namespace.
    pub(super) inode: u64,
    /// Its id; none if podtrace may not enter it.
    pub(super) id: Option<u64>,
}

/// Identifies the namespace that the process `runtime` knows by `path`. It starts a thread
/// to enter it, so do not call it in an async context.
pub(super) fn mark(runtime: Option<u32>, path: &str) -> io::Result<Mark> {
    let file = open(runtime, Path::new(path))?;
    // The mount point of a removed namespace stays behind as an empty file.
    if fstatfs(&file)?.filesystem_type() != NSFS_MAGIC {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let inode = file.metadata()?.ino();
    let id = match NetNs::from_file(file, path) {
        Ok(ns) => Some(ns.id),
        Err(NetNsError::Enter { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            None
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Mark { inode, id })
}

fn open(runtime: Option<u32>, path: &Path) -> io::Result<File> {
    let root = runtime.and_then(|pid| {
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        Some((File::open(&root).ok()?, root))
    });
    // Where the runtime's root is accessible, a path that is missing there is not looked up in
    // podtrace's own root: it could be another namespace of the same name.
    let Some((directory, root)) = root else {
        return open_plainly(path);
    };
    match openat2(
        directory,
        path,
        OpenHow::new()
            .flags(FLAGS)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT),
    ) {
        Ok(file) => Ok(file.into()),
        // `/proc/<pid>/ns/net` is a link that leads out of any root.
        Err(Errno::EXDEV | Errno::ELOOP) if path.starts_with("/proc") => {
            open_plainly(&root.join(path.strip_prefix("/").unwrap_or(path)))
        }
        // Before Linux 5.6; some containers' seccomp filters refuse it, too.
        Err(Errno::ENOSYS | Errno::EPERM) => open_below(&root, path),
        Err(errno) => Err(errno.into()),
    }
}

/// Resolves a path step by step where [`openat2`] is missing: a concurrent rename can mislead
/// it.
fn open_below(root: &Path, path: &Path) -> io::Result<File> {
    if path.starts_with("/proc") {
        return open_plainly(&root.join(path.strip_prefix("/").unwrap_or(path)));
    }
    open_plainly(&resolve_below(root, path)?)
}

/// Follows the links of a path as a process with this root directory would.
fn resolve_below(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut links = 0;
    let mut resolved = PathBuf::new();
    let mut rest = path.to_owned();
    loop {
        let mut parts = rest.components();
        let Some(part) = parts.next() else {
            return Ok(root.join(resolved));
        };
        let behind = parts.as_path().to_owned();
        match part {
            Component::RootDir | Component::Prefix(_) => resolved.clear(),
            Component::CurDir => {}
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(name) => {
                let place = root.join(&resolved).join(name);
                if place.symlink_metadata()?.is_symlink() {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::ELOOP.into());
                    }
                    rest = fs::read_link(place)?.join(behind);
                    continue;
                }
                resolved.push(name);
            }
        }
        rest = behind;
    }
}

fn open_plainly(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags((FLAGS - OFlag::O_RDONLY).bits())
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, process};

    use super::*;

    #[test]
    fn links_resolve_below_the_root_of_the_runtime() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        symlink(dir.path().join("file"), dir.path().join("link")).unwrap();
        let me = Some(process::id());
        assert!(open(me, &dir.path().join("link")).is_ok());
        assert_eq!(
            open(me, &dir.path().join("none")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn links_resolve_by_steps_as_in_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("run/netns")).unwrap();
        fs::write(root.join("run/netns/cni"), "x").unwrap();
        fs::create_dir(root.join("var")).unwrap();
        symlink("/run", root.join("var/run")).unwrap();
        symlink("../../../run/./netns/cni", root.join("run/up")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let resolve = |path| resolve_below(root, Path::new(path));
        let cni = root.join("run/netns/cni");
        assert_eq!(resolve("/var/run/netns/cni").unwrap(), cni);
        assert_eq!(resolve("/var/run/up").unwrap(), cni);
        let kind = |path| resolve(path).unwrap_err().kind();
        assert_eq!(kind("/var/run/none"), io::ErrorKind::NotFound);
        let looped = resolve("/loop").unwrap_err();
        assert_eq!(looped.raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn magic_links_are_followed() {
        let own = format!("/proc/{}/ns/net", process::id());
        let mark = mark(Some(process::id()), &own).unwrap();
        assert_eq!(mark.inode, fs::metadata(&own).unwrap().ino());
    }

    #[test]
    fn other_files_are_refused_as_network_namespaces() {
        let me = Some(process::id());
        assert!(mark(me, &format!("/proc/{}/ns/uts", process::id())).is_err());
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("left"), "").unwrap();
        assert!(mark(me, dir.path().join("left").to_str().unwrap()).is_err());
        let path = dir.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(mark(me, path.to_str().unwrap()).is_err());
    }
}
