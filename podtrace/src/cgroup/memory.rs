//! How much memory the cgroups of this process may still take.
use std::{
    fs,
    path::{Path, PathBuf},
};

use super::fs::{Mount, read_lossy};

/// A hierarchy of cgroups that limits memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    /// The files with limits, in bytes or `max`.
    fn limits(self) -> &'static [&'static str] {
        match self {
            Self::V1 => &["memory.limit_in_bytes"],
            Self::V2 => &["memory.max", "memory.high"],
        }
    }

    /// The file with the memory in use.
    fn usage(self) -> &'static str {
        match self {
            Self::V1 => "memory.usage_in_bytes",
            Self::V2 => "memory.current",
        }
    }

    /// The fields of `memory.stat` with the part of it that the kernel can reclaim.
    fn reclaimable(self) -> [&'static str; 2] {
        match self {
            Self::V1 => ["total_inactive_file ", "total_active_file "],
            Self::V2 => ["inactive_file ", "active_file "],
        }
    }
}

/// Bytes that the cgroups of this process, and those above them, may still use; none without a
/// limit.
#[must_use]
pub fn left_in_cgroups() -> Option<u64> {
    let mounts = read_lossy("/proc/self/mountinfo").ok()?;
    let own = read_lossy("/proc/self/cgroup").ok()?;
    let all = directories(&mounts, &own);
    let left = all.iter().flat_map(|(version, top, own)| {
        let above = own.ancestors().take_while(move |one| one.starts_with(top));
        above.filter_map(|directory| left_in(*version, directory))
    });
    left.min()
}

/// Bytes that one cgroup may still use.
fn left_in(version: Version, directory: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(directory.join(file)).ok();
    // `max` is no number.
    let number = |file: &&str| read(file)?.trim().parse::<u64>().ok();
    let limit = version.limits().iter().filter_map(number).min()?;
    let stat = read("memory.stat").unwrap_or_default();
    let bytes = |name: &str| {
        let mut values = stat.lines().filter_map(|line| line.strip_prefix(name));
        values.next()?.parse::<u64>().ok()
    };
    let reclaimable = version.reclaimable().into_iter().filter_map(bytes).sum();
    let usage = number(&version.usage()).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(reclaimable)))
}

/// The hierarchies with memory: where they are mounted, and the process's directory there.
/// `mounts` is the text of `/proc/self/mountinfo`, `own` that of `/proc/self/cgroup`.
fn directories(mounts: &str, own: &str) -> Vec<(Version, PathBuf, PathBuf)> {
    let directory = |mount: Mount<'_>| {
        let mut options = mount.options.split(',');
        let (version, path) = match mount.kind {
            "cgroup2" => (Version::V2, super::unified(own)?),
            "cgroup" if options.any(|option| option == "memory") => {
                (Version::V1, controller(own, "memory")?)
            }
            _ => return None,
        };
        let top = Path::new(mount.point);
        let below = Path::new(path).strip_prefix(mount.root).ok()?;
        Some((version, top.to_owned(), top.join(below)))
    };
    Mount::all(mounts).filter_map(directory).collect()
}

/// The path of a v1 controller in the text of `/proc/<pid>/cgroup`.
fn controller<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let mut names = fields.next()?.split(',');
        names.any(|name| name == wanted).then(|| fields.next())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_with_memory_are_found() {
        let mounts = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:39 /pod /mnt/part rw - cgroup cgroup rw,cpu,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
nonsense
";
        let own = "4:memory:/a/b\n1:cpu:/c\n0::/d\n";
        let found = directories(mounts, own);
        let found: Vec<_> = found
            .iter()
            .map(|(version, _, own)| (*version, own.to_str().unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                (Version::V1, "/sys/fs/cgroup/memory/a/b"),
                (Version::V2, "/sys/fs/cgroup/unified/d"),
            ]
        );
    }

    #[test]
    fn lowest_limit_counts_and_what_is_reclaimable_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        let left = || left_in(Version::V2, directory.path());
        assert_eq!(left(), None);
        write("memory.max", "max\n");
        assert_eq!(left(), None);
        write("memory.max", "1000\n");
        write("memory.high", "900\n");
        write("memory.current", "500\n");
        assert_eq!(left(), Some(400));
        write(
            "memory.stat",
            "anon 300\ninactive_file 150\nactive_file 50\n",
        );
        assert_eq!(left(), Some(600));
        write("memory.current", "5000\n");
        assert_eq!(left(), Some(0));
    }
}
