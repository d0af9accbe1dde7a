//! The cgroup tree (v2): from a cgroup's id to its path.
use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use nix::sched::{CloneFlags, setns};

use crate::model::snapshot::{CgroupMember, CgroupMembers, CgroupPath};

/// `FILEID_KERNFS` (linux/exportfs.h): a handle that is just the node's id.
const FILEID_KERNFS: i32 = 0xfe;

/// Reads a file of `/proc`. Names of others in it, such as paths of mounts, may be no UTF-8.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read_lossy(path: impl AsRef<Path>) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

/// Enters the cgroup namespace of the first process, if this one is in another: a container's, in
/// which `/proc/<pid>/cgroup` has paths of others that lead nowhere. For the calling thread, and those
/// that it starts later.
///
/// # Errors
/// When it must not. It takes `CAP_SYS_ADMIN` and `CAP_SYS_PTRACE`.
pub fn enter_first() -> io::Result<()> {
    let [own, first] = ["self", "1"].map(|pid| format!("/proc/{pid}/ns/cgroup"));
    if fs::read_link(own)? != fs::read_link(&first)? {
        setns(File::open(first)?, CloneFlags::CLONE_NEWCGROUP)?;
    }
    Ok(())
}

/// A mounted cgroup v2 hierarchy.
#[derive(Debug)]
pub struct CgroupFs {
    root: PathBuf,
    dir: File,
}

impl CgroupFs {
    /// Opens the cgroup2 mount, the unified one of a hybrid system included.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn open() -> io::Result<Self> {
        let mounts = read_lossy("/proc/self/mountinfo")?;
        let root = mount_point(&mounts)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no cgroup2 is mounted"))?;
        let dir = File::open(&root)?;
        Ok(Self { root, dir })
    }

    /// The directory of a cgroup, given its path below the root.
    #[must_use]
    pub fn directory(&self, cgroup: &str) -> PathBuf {
        self.root.join(cgroup.trim_start_matches('/'))
    }

    /// Where a cgroup is. Takes `CAP_DAC_READ_SEARCH`.
    #[must_use]
    pub fn path_of(&self, id: u64) -> CgroupPath {
        match self.open_by_id(id) {
            Ok(cgroup) => self.path(&cgroup).unwrap_or(CgroupPath::Unknown),
            Err(error) if error.raw_os_error() == Some(libc::ESTALE) => CgroupPath::Removed,
            Err(_) => CgroupPath::Unknown,
        }
    }

    /// The processes of a cgroup, given its path below the root; none if they cannot be read.
    #[must_use]
    pub fn members(&self, cgroup: &str) -> Option<CgroupMembers> {
        let text = fs::read_to_string(self.directory(cgroup).join("cgroup.procs")).ok()?;
        let named = named(&text).filter_map(|pid| {
            let command = read_lossy(format!("/proc/{pid}/comm")).ok()?;
            let command = command.trim_end().to_owned();
            Some(CgroupMember { pid, command })
        });
        Some(CgroupMembers {
            count: text.lines().count() as u64,
            named: named.collect(),
        })
    }

    fn path(&self, cgroup: &OwnedFd) -> Option<CgroupPath> {
        let link = fs::read_link(format!("/proc/self/fd/{}", cgroup.as_raw_fd())).ok()?;
        let path = link.strip_prefix(&self.root).ok()?.as_os_str().as_bytes();
        let path = String::from_utf8_lossy(path);
        // The directory of a removed cgroup stays open, by this name.
        Some(if path.ends_with(" (deleted)") {
            CgroupPath::Removed
        } else {
            CgroupPath::At(format!("/{path}"))
        })
    }

    fn open_by_id(&self, id: u64) -> io::Result<OwnedFd> {
        let mut handle = Handle {
            bytes: size_of::<u64>() as u32,
            kind: FILEID_KERNFS,
            id: id.to_ne_bytes(),
        };
        // SAFETY: `handle` has the layout of `struct file_handle` followed by
        // as many bytes as it states, and outlives the call.
        let fd = unsafe {
            libc::open_by_handle_at(
                self.dir.as_raw_fd(),
                (&raw mut handle).cast(),
                libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// The processes that are named, by the text of `cgroup.procs`. Those outside of podtrace's
/// pid namespace have the number 0 there.
fn named(text: &str) -> impl Iterator<Item = u32> {
    let pids = text.lines().filter_map(|line| line.parse().ok());
    let pids = pids.filter(|pid| *pid != 0);
    pids.take(CgroupMembers::NAMED_MAX)
}

/// `struct file_handle` with room for the id of a kernfs node.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    id: [u8; 8],
}

/// Where cgroup2 is mounted, by `/proc/self/mountinfo` (proc(5)): the root of
/// the hierarchy rather than a part of it.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    let all = || Mount::all(mounts).filter(|mount| mount.kind == "cgroup2");
    let whole = all().find(|mount| mount.root == "/");
    whole
        .or_else(|| all().next())
        .map(|mount| mount.point.into())
}

/// A line of `/proc/self/mountinfo` (proc(5)).
pub(super) struct Mount<'a> {
    /// The directory of the file system that is mounted.
    pub(super) root: &'a str,
    /// The mount point.
    pub(super) point: &'a str,
    /// Its type.
    pub(super) kind: &'a str,
    /// The options of its super block, with commas between them.
    pub(super) options: &'a str,
}

impl<'a> Mount<'a> {
    /// All lines that can be read.
    pub(super) fn all(text: &'a str) -> impl Iterator<Item = Self> {
        text.lines().filter_map(Self::parse)
    }

    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut fields = file_system.split(' ');
        let kind = fields.next()?;
        // Behind the device.
        let options = fields.nth(1).unwrap_or_default();
        Some(Self {
            root,
            point,
            kind,
            options,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn mount_of_the_whole_hierarchy_is_chosen() {
        let mounts = "\
30 23 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
41 23 0:27 /part /mnt/part rw - cgroup2 cgroup2 rw
31 23 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw
";
        let expected = Path::new("/sys/fs/cgroup/unified");
        assert_eq!(mount_point(mounts).unwrap(), expected);
        let part = mounts.lines().take(2).collect::<Vec<_>>().join("\n");
        assert_eq!(mount_point(&part).unwrap(), Path::new("/mnt/part"));
        assert_eq!(mount_point("nonsense\n"), None);
    }

    #[test]
    fn members_are_named_as_far_as_they_are_in_view() {
        assert!(named("7\n0\n8\n9\n10\n11\n").eq([7, 8, 9, 10]));
        assert_eq!(named("").count(), 0);
        let directory = tempfile::tempdir().unwrap();
        let cgroups = CgroupFs {
            root: directory.path().to_owned(),
            dir: File::open(directory.path()).unwrap(),
        };
        assert_eq!(cgroups.members("/"), None);
        let own = std::process::id();
        fs::write(directory.path().join("cgroup.procs"), format!("{own}\n0\n")).unwrap();
        let members = cgroups.members("/").unwrap();
        assert_eq!((members.count, members.named.len()), (2, 1));
        assert_eq!(members.named[0].pid, own);
        assert!(!members.named[0].command.is_empty());
    }

    #[test]
    fn own_cgroup_is_found_by_its_id_where_that_is_allowed() {
        let Ok(cgroups) = CgroupFs::open() else {
            println!("skipped: no cgroup2 here");
            return;
        };
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("0::"));
        let own = own.unwrap();
        let id = fs::metadata(cgroups.directory(own)).unwrap().ino();
        let Ok(_) = cgroups.open_by_id(id) else {
            println!("skipped: needs CAP_DAC_READ_SEARCH");
            return;
        };
        assert_eq!(cgroups.path_of(id), CgroupPath::At(own.into()));
        assert_eq!(cgroups.path_of(u64::MAX), CgroupPath::Removed);
    }
}
