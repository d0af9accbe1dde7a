//! Names of the lab's namespaces: create, remove, sweep.

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

/// The common prefix of the names of all labs; the process id follows.
pub(super) const PREFIX: &str = "podtrace-";

/// Upper bound of the mounts on a name or on its folder that are removed.
const LAYERS_MAX: usize = 16;

/// A name in `/run/netns`, removed when dropped.
#[derive(Debug)]
pub(super) struct NsName(PathBuf);

impl NsName {
    /// Creates a namespace and binds it to a name.
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
            report_left_behind(&self.0, &error);
        }
    }
}

/// Names of labs that had ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many were removed.
    pub removed: usize,
    /// How many could not be removed, which is reported.
    pub left: usize,
}

/// Removes the names whose process is dead.
pub(super) fn sweep() -> Result<Swept, LabError> {
    remove_all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// Removes the names of one process.
pub(super) fn remove_all_of(maker: u32) -> Result<Swept, LabError> {
    remove_all(|pid| pid == maker)
}

/// Removes the names of the matching processes.
fn remove_all(is_meant: impl Fn(u32) -> bool) -> Result<Swept, LabError> {
    let dir = Path::new(NETNS_DIR);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Swept::default()),
        entries => entries.map_err(|source| system("list", dir, source))?,
    };
    let mut swept = Swept::default();
    for entry in entries {
        let entry = entry.map_err(|source| system("list", dir, source))?;
        let owner = owner(&shown(entry.file_name()));
        if owner.is_some_and(&is_meant) {
            remove_leftover(&entry.path(), &mut swept);
        }
    }
    Ok(swept)
}

/// Removes a leftover, unless another process does so at the same time. One that cannot be removed
/// is reported and stays; it does no harm.
fn remove_leftover(path: &Path, swept: &mut Swept) {
    match remove(path) {
        Ok(()) => swept.removed += 1,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            report_left_behind(path, &error);
            swept.left += 1;
        }
    }
}

/// Reports a name that could not be removed.
fn report_left_behind(path: &Path, error: &io::Error) {
    // Somebody else has removed it already.
    if error.kind() == io::ErrorKind::NotFound {
        return;
    }
    sink::tell(&format!(
        "network namespace {} could not be removed: {error}",
        shown(path)
    ));
}

/// The process id in a lab's name.
fn owner(name: &str) -> Option<u32> {
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    pid.parse().ok()
}

/// Runs on a fresh thread with a namespace of its own; the mount keeps that.
fn make(path: &Path) -> io::Result<()> {
    fs::create_dir_all(NETNS_DIR)?;
    share(Path::new(NETNS_DIR))?;
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

/// Makes the folder a mount of its own that is shared, as `ip netns add` does unless it is one:
/// done later, that would hide the mounts of the names that exist.
fn share(folder: &Path) -> io::Result<()> {
    let lock = File::open(folder)?;
    // `ip` takes the same lock. It ends with the file.
    lock.lock()?;
    match set_mount(folder, MsFlags::MS_SHARED | MsFlags::MS_REC) {
        Err(nix::Error::EINVAL) => {
            bind_over_itself(folder)?;
            Ok(set_mount(folder, MsFlags::MS_SHARED | MsFlags::MS_REC)?)
        }
        done => Ok(done?),
    }
}

fn bind_over_itself(folder: &Path) -> nix::Result<()> {
    let none = None::<&str>;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(folder), folder, none, flags, none)
}

fn set_mount(folder: &Path, flags: MsFlags) -> nix::Result<()> {
    let none = None::<&str>;
    mount(none, folder, none, flags, none)
}

fn remove(path: &Path) -> io::Result<()> {
    uncover(path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => remove_hidden(path),
        removed => removed,
    }
}

/// Removes all visible mounts on a name.
fn uncover(path: &Path) -> io::Result<()> {
    for _ in 0..LAYERS_MAX {
        match umount2(path, MntFlags::MNT_DETACH) {
            Ok(()) => {}
            // Not a mount point: only the name is left.
            Err(nix::Error::EINVAL) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Removes a name with a mount that is hidden, because its folder was mounted over itself later.
/// A mount namespace of a thread's own has that mount too, and can take away what hides it;
/// the kernel removes the mounts on a name everywhere when it removes the name.
fn remove_hidden(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let on_thread = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        set_mount(Path::new("/"), MsFlags::MS_PRIVATE | MsFlags::MS_REC)?;
        for _ in 0..LAYERS_MAX {
            umount2(folder, MntFlags::MNT_DETACH)?;
            uncover(path)?;
            match fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                removed => return removed,
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    };
    thread::scope(|scope| {
        let remover = thread::Builder::new().spawn_scoped(scope, on_thread)?;
        remover
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
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
    use nix::unistd::geteuid;

    use super::*;

    #[test]
    fn only_lab_names_have_an_owner() {
        assert_eq!(owner("podtrace-42-0-node1"), Some(42));
        assert_eq!(owner("podtrace-x-0"), None);
        assert_eq!(owner("cni-42-0"), None);
        assert_eq!(owner("podtrace-42"), None);
    }

    /// Runs on a machine without any name: in a mount namespace of a thread's own.
    fn on_fresh_run(run: impl FnOnce() + Send) {
        if !geteuid().is_root() {
            println!("skipped: needs root to mount a tmpfs");
            return;
        }
        let joined = thread::scope(|scope| {
            let on_thread = || {
                unshare(CloneFlags::CLONE_NEWNS).unwrap();
                set_mount(Path::new("/"), MsFlags::MS_PRIVATE | MsFlags::MS_REC).unwrap();
                let (kind, none) = (Some("tmpfs"), None::<&str>);
                mount(kind, "/run", kind, MsFlags::empty(), none).unwrap();
                run();
            };
            scope.spawn(on_thread).join()
        });
        if let Err(panic) = joined {
            std::panic::resume_unwind(panic);
        }
    }

    #[test]
    fn folder_of_names_is_what_ip_makes_of_it() {
        on_fresh_run(|| {
            let folder = Path::new(NETNS_DIR);
            let (name, _) = NsName::create("podtrace-1-0-a").unwrap();
            // What `ip netns add` does first: it binds the folder over itself if that fails.
            set_mount(folder, MsFlags::MS_SHARED | MsFlags::MS_REC).unwrap();
            let (other, _) = NsName::create("podtrace-1-0-b").unwrap();
            drop((name, other));
            assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
        });
    }

    #[test]
    fn hidden_and_doubled_names_are_removed() {
        on_fresh_run(|| {
            let folder = Path::new(NETNS_DIR);
            let names = ["podtrace-1-0-a", "podtrace-1-0-b"].map(|name| {
                let (name, _) = NsName::create(name).unwrap();
                name
            });
            for _ in 0..2 {
                bind_over_itself(folder).unwrap();
            }
            let own = Some("/proc/thread-self/ns/net");
            let none = None::<&str>;
            mount(own, &names[0].0, none, MsFlags::MS_BIND, none).unwrap();
            let files = names.each_ref().map(|name| name.0.clone());
            drop(names);
            assert!(files.iter().all(|file| !file.exists()));
            umount2(folder, MntFlags::MNT_DETACH).unwrap();
            assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
        });
    }
}
