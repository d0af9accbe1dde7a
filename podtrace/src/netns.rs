//! A network namespace that can be entered.
pub mod candidates;
pub(crate) mod changes;
pub(crate) mod netlink;
pub mod netstat;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;

use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Socket, Type};
use thiserror::Error;

use crate::text::escape::shown;

/// Where named network namespaces are bind-mounted.
pub const NETNS_DIR: &str = "/run/netns";

/// The kind of number that identifies network namespaces on this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// `SO_NETNS_COOKIE`, since Linux 5.14: a number that is never used again.
    Cookie,
    /// The namespace's inode number, where there is no cookie. A namespace may get the number
    /// of a removed one: late events of the old one's pod then bear the new pod's name.
    Inode,
}

/// The kind in use, determined once.
static IDS: OnceLock<Ids> = OnceLock::new();

/// The kind of [`NetNs::id`] on this kernel.
pub fn ids() -> Ids {
    *IDS.get_or_init(|| match current_cookie() {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ids::Inode,
        _ => Ids::Cookie,
    })
}

/// Uses inode numbers as on a kernel without cookies, to test that. It is to be
/// called before anything asks for [`ids`]: false when it comes too late.
#[must_use]
pub fn force_inode_ids() -> bool {
    *IDS.get_or_init(|| Ids::Inode) == Ids::Inode
}

/// Failures of operations on a network namespace.
#[derive(Debug, Error)]
pub enum NetNsError {
    /// The file that stands for the namespace cannot be opened or read.
    #[error("failed to open network namespace {path}")]
    Open {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A thread cannot be started or cannot enter the namespace.
    #[error("failed to enter network namespace {name}")]
    Enter {
        /// The namespace.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The namespace's id cannot be read.
    #[error("failed to read the id of network namespace {name}")]
    Id {
        /// The namespace.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A netlink connection cannot be opened in the namespace.
    #[error("failed to open netlink in network namespace {name}")]
    Netlink {
        /// The namespace.
        name: String,
        /// Why.
        source: io::Error,
    },
}

impl From<NetNsError> for io::Error {
    fn from(error: NetNsError) -> Self {
        Self::other(error)
    }
}

/// An open network namespace. It stays alive as long as a clone of this does.
#[derive(Debug, Clone)]
pub struct NetNs {
    file: Arc<File>,
    /// Inode of the namespace, as in `net:[4026531840]`.
    pub inode: u64,
    /// Its id, of the kind that [`ids`] returns.
    pub id: u64,
    /// Name for display.
    pub name: String,
}

impl NetNs {
    /// The namespace of the calling thread, named `net:[inode]`.
    pub fn current() -> Result<Self, NetNsError> {
        let mut ns = Self::open("/proc/thread-self/ns/net")?;
        ns.name = format!("net:[{}]", ns.inode);
        Ok(ns)
    }

    /// Opens a namespace by its name in `/run/netns`, or by a path.
    pub fn open(name_or_path: impl AsRef<Path>) -> Result<Self, NetNsError> {
        let path = locate(name_or_path.as_ref());
        let fail = |source| NetNsError::Open {
            path: shown(&path),
            source,
        };
        let file = File::open(&path).map_err(fail)?;
        Self::from_file(file, display_name(&path))
    }

    /// A namespace from an open file that stands for it, with a name for
    /// display. A file that is no network namespace is an error.
    pub fn from_file(file: File, name: impl Into<String>) -> Result<Self, NetNsError> {
        let mut ns = Self::without_id(file, name.into())?;
        let id = ns.run(|| ns.id_from_within())?;
        ns.id = id.map_err(|source| ns.no_id(source))?;
        Ok(ns)
    }

    /// The same with a netlink connection in it, as [`Self::netlink`] gives it,
    /// for one entry into the namespace.
    pub fn from_file_with_netlink(
        file: File,
        name: impl Into<String>,
    ) -> Result<(Self, rtnetlink::Handle), NetNsError> {
        let mut ns = Self::without_id(file, name.into())?;
        let runtime = ns.runtime()?;
        let (id, connection) = ns.run(|| {
            let _entered = runtime.enter();
            (ns.id_from_within(), netlink::connect())
        })?;
        ns.id = id.map_err(|source| ns.no_id(source))?;
        let (connection, handle) = connection.map_err(|source| ns.no_netlink(source))?;
        runtime.spawn(connection);
        Ok((ns, handle))
    }

    fn without_id(file: File, name: String) -> Result<Self, NetNsError> {
        match file.metadata() {
            Ok(metadata) => Ok(Self {
                file: Arc::new(file),
                inode: metadata.ino(),
                id: 0,
                name,
            }),
            Err(source) => Err(NetNsError::Open { path: name, source }),
        }
    }

    /// Its id; to be called inside of it.
    fn id_from_within(&self) -> io::Result<u64> {
        match ids() {
            Ids::Cookie => current_cookie(),
            Ids::Inode => Ok(self.inode),
        }
    }

    /// Runs `f` on a fresh thread inside the namespace and waits for it.
    /// The calling thread stays where it is; a panic of `f` goes on in it.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T, NetNsError> {
        let fail = |source| NetNsError::Enter {
            name: self.name.clone(),
            source,
        };
        thread::scope(|scope| {
            let entered = thread::Builder::new()
                .name("netns".to_owned())
                .spawn_scoped(scope, || {
                    setns(self.as_fd(), CloneFlags::CLONE_NEWNET)?;
                    Ok::<T, nix::Error>(f())
                })
                .map_err(fail)?;
            match entered.join() {
                Ok(result) => result.map_err(|errno| fail(errno.into())),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Opens a netlink connection in the namespace. It is driven by a task on
    /// the current tokio runtime and ends with the last clone of the handle.
    pub fn netlink(&self) -> Result<rtnetlink::Handle, NetNsError> {
        let runtime = self.runtime()?;
        let (connection, handle) = self
            .run(|| {
                let _entered = runtime.enter();
                netlink::connect()
            })?
            .map_err(|source| self.no_netlink(source))?;
        runtime.spawn(connection);
        Ok(handle)
    }

    /// The runtime that drives netlink connections.
    fn runtime(&self) -> Result<tokio::runtime::Handle, NetNsError> {
        tokio::runtime::Handle::try_current()
            .map_err(|error| self.no_netlink(io::Error::other(error)))
    }

    fn no_id(&self, source: io::Error) -> NetNsError {
        NetNsError::Id {
            name: self.name.clone(),
            source,
        }
    }

    fn no_netlink(&self, source: io::Error) -> NetNsError {
        NetNsError::Netlink {
            name: self.name.clone(),
            source,
        }
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The name that a namespace's path gives it: that of its file. None for `/proc/<pid>/ns/net`,
/// which says less than the namespace's inode.
#[must_use]
pub fn file_name(path: &Path) -> Option<&OsStr> {
    path.file_name().filter(|name| *name != "net")
}

/// A bare name is looked up in the directory of named namespaces.
fn locate(name_or_path: &Path) -> PathBuf {
    if name_or_path.components().count() == 1 && name_or_path.is_relative() {
        Path::new(NETNS_DIR).join(name_or_path)
    } else {
        name_or_path.to_owned()
    }
}

/// The bare name if the namespace has one, else the path.
fn display_name(path: &Path) -> String {
    shown(path.strip_prefix(NETNS_DIR).unwrap_or(path))
}

/// The cookie of the calling thread's namespace.
fn current_cookie() -> io::Result<u64> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: `cookie` is valid for writes of `length` bytes and both outlive
    // the call; the descriptor is open while `socket` lives.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if status == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_names_are_looked_up_and_paths_kept() {
        assert_eq!(locate(Path::new("blue")), Path::new("/run/netns/blue"));
        assert_eq!(
            locate(Path::new("/proc/1/ns/net")),
            Path::new("/proc/1/ns/net")
        );
        assert_eq!(display_name(Path::new("/run/netns/blue")), "blue");
    }

    #[test]
    fn a_missing_namespace_is_named_in_the_error() {
        let error = NetNs::open("podtrace-no-such-namespace").unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to open network namespace /run/netns/podtrace-no-such-namespace"
        );
    }
}
