//! The processes of the machine: their namespaces and their containers.
//!
//! One pass over `/proc`, without a runtime's help. Processes come and go meanwhile: one
//! that ends before it is read is left out.
use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::{
    cgroup::{self, CgroupName, fs::read_lossy},
    field::{Content, Type, texts},
};

/// Upper bound of the processes read in one pass: above the default limit of a machine with 32
/// CPUs (`kernel.pid_max`), and far above what a node runs.
const MAX_PROCESSES: usize = 65_536;

/// The processes that a process has started and that run, as far as the kernel lists them
/// (`CONFIG_PROC_CHILDREN`).
///
/// # Errors
/// When the process is not there.
pub fn children(pid: u32) -> io::Result<Vec<u32>> {
    let mut all = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let listed = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        all.extend(
            listed
                .split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    Ok(all)
}

/// The kinds of namespace that a container may share or have of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NsKind {
    /// Interfaces, addresses, routes.
    Net,
    /// System V IPC and POSIX queues.
    Ipc,
    /// Host name.
    Uts,
    /// Process numbers.
    Pid,
    /// Mounts.
    Mnt,
    /// Users.
    User,
    /// Cgroup root.
    Cgroup,
}

impl NsKind {
    /// All kinds, in the order of the output.
    pub const ALL: [Self; 7] = [
        Self::Net,
        Self::Ipc,
        Self::Uts,
        Self::Pid,
        Self::Mnt,
        Self::User,
        Self::Cgroup,
    ];

    /// Its name in `/proc/<pid>/ns`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Pid => "pid",
            Self::Mnt => "mnt",
            Self::User => "user",
            Self::Cgroup => "cgroup",
        }
    }
}

impl fmt::Display for NsKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Inodes of the namespaces of one process. Serialised as an object by kind,
/// without the kinds that are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Namespaces([Option<u64>; NsKind::ALL.len()]);

impl Namespaces {
    /// The inode, as in `net:[4026532281]`; none if it cannot be read.
    #[must_use]
    pub fn get(&self, kind: NsKind) -> Option<u64> {
        self.0[kind as usize]
    }

    /// Sets the inode of a kind.
    pub fn set(&mut self, kind: NsKind, inode: u64) {
        self.0[kind as usize] = Some(inode);
    }
}

impl FromIterator<(NsKind, u64)> for Namespaces {
    fn from_iter<I: IntoIterator<Item = (NsKind, u64)>>(inodes: I) -> Self {
        let mut namespaces = Self::default();
        for (kind, inode) in inodes {
            namespaces.set(kind, inode);
        }
        namespaces
    }
}

texts!(NsKind);

impl Content for Namespaces {
    const TYPE: Type = Type::Numbers;
}

impl Serialize for Namespaces {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for kind in NsKind::ALL {
            if let Some(inode) = self.get(kind) {
                map.serialize_entry(kind.as_str(), &inode)?;
            }
        }
        map.end()
    }
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number as podtrace sees it.
    pub pid: u32,
    /// Its parent's number, 0 for none that podtrace sees.
    pub parent: u32,
    /// Its name, at most 15 bytes and chosen by itself: not safe for a terminal.
    pub comm: String,
    /// When it started, in clock ticks since boot: together with `pid` it identifies the
    /// process uniquely.
    pub start_ticks: u64,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Its cgroup path: the v2 one, or the v1 one that names a container.
    pub cgroup: String,
    /// The pod and container that the path names.
    pub container: CgroupName,
}

/// The result of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The processes, by number.
    pub processes: Vec<Process>,
    /// How many processes podtrace may not read.
    pub denied: usize,
    /// Whether there were more processes than podtrace reads.
    pub truncated: bool,
}

/// The part of a process that identifies the owner of a network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its cgroup path, as in [`Process`].
    pub cgroup: String,
    /// The pod and container that the path names.
    pub container: CgroupName,
    /// Whether the path is the v2 one, the only one that sockets have.
    pub is_unified: bool,
}

/// Reads the cgroups of all processes, by the inodes of their network
/// namespaces: a small part of what [`scan`] costs. Processes that may not be
/// read are left out.
///
/// # Errors
/// When `/proc` itself cannot be read.
pub fn members() -> io::Result<HashMap<u64, Vec<Member>>> {
    let mut members: HashMap<u64, Vec<Member>> = HashMap::new();
    for pid in pids()?.into_iter().take(MAX_PROCESSES) {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let Ok(Some(net)) = read_namespace(&folder, NsKind::Net) else {
            continue;
        };
        let Ok(text) = read_lossy(folder.join("cgroup")) else {
            continue;
        };
        let (cgroup, container) = point(&text);
        let of_namespace = members.entry(net).or_default();
        let member = Member {
            is_unified: cgroup::unified(&text) == Some(&cgroup),
            cgroup,
            container,
        };
        if !of_namespace.contains(&member) {
            of_namespace.push(member);
        }
    }
    Ok(members)
}

/// The numbers of all processes, in order.
fn pids() -> io::Result<Vec<u32>> {
    let mut pids: Vec<u32> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

/// Reads all processes.
///
/// # Errors
/// When `/proc` itself cannot be read.
pub fn scan() -> io::Result<Scan> {
    let mut pids = pids()?;
    let mut scan = Scan {
        truncated: pids.len() > MAX_PROCESSES,
        ..Scan::default()
    };
    pids.truncate(MAX_PROCESSES);
    for pid in pids {
        match read(pid) {
            Ok(process) => scan.processes.push(process),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => scan.denied += 1,
            // The process has ended meanwhile.
            Err(_) => {}
        }
    }
    Ok(scan)
}

/// Reads one process.
///
/// # Errors
/// When it has ended, or may not be read.
pub fn read(pid: u32) -> io::Result<Process> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let stat = read_lossy(folder.join("stat"))?;
    let Stat {
        comm,
        parent,
        start_ticks,
    } = parse_stat(&stat).ok_or(io::ErrorKind::InvalidData)?;
    let namespaces = read_namespaces(&folder)?;
    let text = read_lossy(folder.join("cgroup"))?;
    let (cgroup, container) = point(&text);
    Ok(Process {
        pid,
        parent,
        comm,
        start_ticks,
        namespaces,
        cgroup,
        container,
    })
}

fn read_namespaces(process: &Path) -> io::Result<Namespaces> {
    let mut namespaces = Namespaces::default();
    for kind in NsKind::ALL {
        if let Some(inode) = read_namespace(process, kind)? {
            namespaces.set(kind, inode);
        }
    }
    Ok(namespaces)
}

fn read_namespace(process: &Path, kind: NsKind) -> io::Result<Option<u64>> {
    match fs::read_link(process.join("ns").join(kind.as_str())) {
        Ok(link) => Ok(link.to_str().and_then(parse_namespace)),
        // A kernel without this kind of namespace, or a zombie.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `net:[4026532281]`
fn parse_namespace(link: &str) -> Option<u64> {
    link.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

/// The path that names a container, else the first one; and the names in it.
fn point(text: &str) -> (String, CgroupName) {
    let named = cgroup::paths(text)
        .map(|path| (path, cgroup::parse_path(path)))
        .find(|(_, name)| !name.is_empty());
    let first = || {
        let path = cgroup::paths(text).next().unwrap_or_default();
        (path, CgroupName::default())
    };
    let (path, name) = named.unwrap_or_else(first);
    (path.to_owned(), name)
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    comm: String,
    parent: u32,
    start_ticks: u64,
}

/// `pid (comm) state ppid …`, where comm may hold parentheses and spaces.
fn parse_stat(text: &str) -> Option<Stat> {
    let (before, after) = text.rsplit_once(')')?;
    let (_, comm) = before.split_once('(')?;
    // Fields from the third on: state, ppid, …, starttime is the 22nd.
    let mut fields = after.split_ascii_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some(Stat {
        comm: comm.to_owned(),
        parent,
        start_ticks,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stat_is_read_whatever_the_name() {
        let rest = "S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 11 12";
        for comm in ["sh", "a b", "x) S 1 (y", "", "((("] {
            let stat = parse_stat(&format!("42 ({comm}) {rest}")).unwrap();
            assert_eq!(stat.comm, comm);
            assert_eq!((stat.parent, stat.start_ticks), (7, 98_765));
        }
        for bad in [
            "",
            "1 (x",
            "1 x)",
            "1 (x) S",
            "1 (x) S a b",
            "1 (x) S 1 2 3",
        ] {
            assert_eq!(parse_stat(bad), None, "{bad}");
        }
    }

    #[test]
    fn namespace_links_are_read() {
        assert_eq!(parse_namespace("net:[4026531840]"), Some(4_026_531_840));
        for bad in ["", "net", "net:[", "net:[x]", "net:[1"] {
            assert_eq!(parse_namespace(bad), None, "{bad}");
        }
    }

    #[test]
    fn path_that_names_a_container_is_kept() {
        let uid = "0123456789abcdef0123456789abcdef";
        let pod = format!("/kubepods/pod{uid}");
        let (path, name) = point(&format!("4:memory:{pod}\n0::/system.slice/x.service\n"));
        assert_eq!((path, name.pod_uid.as_deref()), (pod, Some(uid)));
        let (path, name) = point("4:memory:/a\n0::/b\n");
        assert!(path == "/b" && name.is_empty());
        assert_eq!(point("").0, "");
    }

    #[test]
    fn own_process_is_found_with_its_namespaces() {
        let scan = scan().unwrap();
        let own = std::process::id();
        let process = scan.processes.iter().find(|p| p.pid == own).unwrap();
        let inode = |kind: NsKind| fs::metadata(format!("/proc/self/ns/{kind}")).unwrap().ino();
        for kind in NsKind::ALL {
            assert_eq!(process.namespaces.get(kind), Some(inode(kind)), "{kind}");
        }
        assert_eq!(process.parent, std::os::unix::process::parent_id());
        assert!(scan.processes.is_sorted_by_key(|p| p.pid) && !scan.truncated);
    }

    #[test]
    fn namespaces_are_an_object_by_kind() {
        let namespaces: Namespaces = [(NsKind::Net, 5), (NsKind::Mnt, 6)].into_iter().collect();
        let json = serde_json::to_string(&namespaces).unwrap();
        assert_eq!(json, r#"{"net":5,"mnt":6}"#);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,120}") {
            let _ = (parse_stat(&text), parse_namespace(&text), point(&text));
        }
    }
}
