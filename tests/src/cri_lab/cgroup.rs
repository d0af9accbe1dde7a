//! Control groups: every hierarchy of the machine, v1, v2 or hybrid, and the position of this
//! process in each. A lab's groups are below the process's own, and so within its limits.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Where hierarchies are mounted; runtimes use no others.
pub const CGROUP_DIR: &str = "/sys/fs/cgroup";

const REMOVE_DEADLINE: Duration = Duration::from_secs(5);
const REMOVE_POLL: Duration = Duration::from_millis(5);

/// A cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// As in `/proc/self/cgroup`: `cpu,cpuacct`, `name=systemd`; empty for v2.
    pub controllers: String,
    /// Its mount point.
    pub mount: PathBuf,
    /// The directory of this process's own group.
    pub own: PathBuf,
}

/// The hierarchies mounted below [`CGROUP_DIR`], as this process sees them.
pub fn hierarchies() -> io::Result<Vec<Hierarchy>> {
    // Other mounts' paths may not be UTF-8.
    let read = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let mounts = read("/proc/self/mountinfo")?;
    let groups = read("/proc/self/cgroup")?;
    Ok(parse(&mounts, &groups))
}

fn parse(mountinfo: &str, groups: &str) -> Vec<Hierarchy> {
    let mounts: Vec<_> = mountinfo.lines().filter_map(Mount::parse).collect();
    let groups = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    groups
        .filter_map(|(controllers, path)| {
            let mount = mounts.iter().find(|mount| mount.holds(controllers))?;
            // A mount need not begin at the hierarchy's root.
            let inside = Path::new(path).strip_prefix(mount.root).ok()?;
            Some(Hierarchy {
                controllers: controllers.to_owned(),
                mount: PathBuf::from(mount.point),
                own: Path::new(mount.point).join(inside),
            })
        })
        .collect()
}

/// A mounted hierarchy in a line of mountinfo.
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    v2: bool,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (point, kind) = line.split_once(" - ")?;
        let mut point = point.split(' ').skip(3);
        let mut kind = kind.split(' ');
        let mount = Self {
            root: point.next()?,
            point: point.next()?,
            v2: match kind.next()? {
                "cgroup" => false,
                "cgroup2" => true,
                _ => return None,
            },
            options: kind.nth(1)?,
        };
        mount.point.starts_with(CGROUP_DIR).then_some(mount)
    }

    fn holds(&self, controllers: &str) -> bool {
        if controllers.is_empty() {
            return self.v2;
        }
        let mut wanted = controllers.split(',');
        !self.v2 && wanted.all(|wanted| self.options.split(',').any(|option| option == wanted))
    }
}

impl Hierarchy {
    /// Whether this is the hierarchy of cgroup v2.
    #[must_use]
    pub fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Creates the group of this path below the process's own, with its parents.
    pub fn make(&self, below: &Path) -> io::Result<PathBuf> {
        let mut group = self.own.clone();
        for part in below {
            let parent = group.clone();
            group.push(part);
            match fs::create_dir(&group) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => self.prepare(&parent, &group)?,
            }
        }
        Ok(group)
    }

    /// Moves this process into the group of this path below its own.
    pub fn enter(&self, below: &Path) -> io::Result<()> {
        fs::write(self.make(below)?.join("cgroup.procs"), "0")
    }

    /// A cpuset accepts no process before it has processors and memory.
    fn prepare(&self, parent: &Path, group: &Path) -> io::Result<()> {
        if self.controllers.split(',').any(|name| name == "cpuset") {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                fs::write(group.join(file), fs::read(parent.join(file))?)?;
            }
        }
        Ok(())
    }
}

/// Kills the processes of a group and removes it with all groups below. A missing group is no
/// error.
pub fn remove(group: &Path) -> io::Result<()> {
    if !group.exists() {
        return Ok(());
    }
    // Only v2 has it; every process of a lab is in v2 too.
    let kill = group.join("cgroup.kill");
    if kill.exists() {
        fs::write(kill, "1")?;
    }
    let deadline = Instant::now() + REMOVE_DEADLINE;
    loop {
        // Busy until killed processes have exited.
        match remove_once(group) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_busy) => thread::sleep(REMOVE_POLL),
            Ok(()) => return Ok(()),
        }
    }
}

fn remove_once(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_once(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(mountinfo: &str, groups: &str) -> Vec<(String, String)> {
        parse(mountinfo, groups)
            .into_iter()
            .map(|found| (found.controllers, found.own.display().to_string()))
            .collect()
    }

    #[test]
    fn hybrid_machines_have_v1_and_v2() {
        let mounts = "\
30 25 0:26 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
34 25 0:30 / /mnt/elsewhere rw - cgroup cgroup rw,memory";
        let groups = "4:memory:/a\n3:name=systemd:/\n2:cpu,cpuacct:/a/b:c\n0::/u";
        let expected = [
            ("name=systemd", "/sys/fs/cgroup/systemd/"),
            ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/a/b:c"),
            ("", "/sys/fs/cgroup/unified/u"),
        ];
        let expected = expected.map(|(name, path)| (name.to_owned(), path.to_owned()));
        assert_eq!(own(mounts, groups), expected);
    }

    #[test]
    fn a_mount_may_begin_below_the_root() {
        let mounts = "31 30 0:27 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup rw";
        let expected = [(String::new(), "/sys/fs/cgroup/y".to_owned())];
        assert_eq!(own(mounts, "0::/docker/x/y"), expected);
    }
}
