//! Names of the lab's namespaces: made, removed, swept.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::LabError;
use crate::netns::{NETNS_DIR, NetNs};
use crate::sink;
use crate::text::escape::shown;

/// What every name of every lab starts with; the process id follows.
pub(super) const PREFIX: &str = "podtrace-";

/// A name in `/run/netns`, removed when dropped.
#[derive(Debug)]
pub(super) struct NsName(PathBuf);

impl NsName {
    /// Makes a new namespace and binds it to a name.
    pub(super) fn create(name: &str) -> Result<(Self, NetNs), LabError> {
        let path = Path::new(NETNS_DIR).join(name);
        make(&path).map_err(|source| system("create network namespace", &path, source))?;
        let guard = Self(path);
        let ns = NetNs::open(name)?;
        Ok((guard, ns))
    }
}

impl Drop for NsName {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            say_left(&self.0, &error);
        }
    }
}

/// Removes the names whose process is dead.
pub(super) fn sweep() -> Result<usize, LabError> {
    remove_all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// Removes the names of one process.
pub(super) fn remove_all_of(maker: u32) -> Result<usize, LabError> {
    remove_all(|pid| pid == maker)
}

/// Removes the names of these processes; returns how many.
fn remove_all(is_meant: impl Fn(u32) -> bool) -> Result<usize, LabError> {
    let dir = Path::new(NETNS_DIR);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(|source| system("list", dir, source))?,
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry.map_err(|source| system("list", dir, source))?;
        let owner = owner(&shown(entry.file_name()));
        if owner.is_some_and(&is_meant) {
            swept += usize::from(remove_leftover(&entry.path()));
        }
    }
    Ok(swept)
}

/// Whether it was this call that removed the leftover: another process may
/// sweep at the same time. One that resists is said and left, for it is in
/// nobody's way.
fn remove_leftover(path: &Path) -> bool {
    match remove(path) {
        Ok(()) => true,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                say_left(path, &error);
            }
            false
        }
    }
}

/// Says that a name could not be removed. It happens when `ip netns add` was
/// first called after the lab was made: it mounts the folder over itself, and
/// the mounts below can no longer be reached by name.
fn say_left(path: &Path, error: &io::Error) {
    sink::tell(&format!(
        "network namespace {} could not be removed: {error}",
        shown(path)
    ));
}

/// The process id in a name of a lab.
fn owner(name: &str) -> Option<u32> {
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    pid.parse().ok()
}

/// A fresh thread gets a namespace of its own; the mount keeps it.
fn make(path: &Path) -> io::Result<()> {
    fs::create_dir_all(NETNS_DIR)?;
    File::create_new(path)?;
    let made = thread::scope(|scope| {
        let maker = thread::Builder::new().spawn_scoped(scope, || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let own = Path::new("/proc/thread-self/ns/net");
            mount(
                Some(own),
                path,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            )
        })?;
        match maker.join() {
            Ok(result) => result.map_err(io::Error::from),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    if made.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(path);
    }
    made
}

fn remove(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // Not a mount point: the name alone was left.
        Ok(()) | Err(nix::Error::EINVAL) => fs::remove_file(path),
        Err(errno) => Err(errno.into()),
    }
}

fn system(operation: &'static str, path: &Path, source: io::Error) -> LabError {
    LabError::System {
        operation,
        object: shown(path),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lab_names_have_an_owner() {
        assert_eq!(owner("podtrace-42-0-node1"), Some(42));
        assert_eq!(owner("podtrace-x-0"), None);
        assert_eq!(owner("cni-42-0"), None);
        assert_eq!(owner("podtrace-42"), None);
    }
}
