//! Finds everything that a lab leaves behind.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use podtrace::netns::{NETNS_DIR, NetNs};

use crate::cri_lab::cgroup::CGROUP_DIR;

/// The traces by which a lab is recognised.
#[derive(Debug)]
pub(super) struct Traces {
    id: String,
    /// How many processes it had.
    pub(super) n_processes: usize,
    /// Its network namespaces, by ids that are not reused.
    pub(super) netns_ids: BTreeSet<u64>,
}

impl Traces {
    /// The traces of a running lab.
    pub(super) fn of(id: &str) -> Self {
        let mut traces = Self {
            id: id.to_owned(),
            n_processes: 0,
            netns_ids: BTreeSet::new(),
        };
        let processes = traces.processes();
        traces.n_processes = processes.len();
        let namespaces = processes.iter().map(|process| process.join("ns/net"));
        traces.netns_ids = namespaces.filter_map(netns_id).collect();
        traces
    }

    /// Everything that still exists, one line each.
    pub(super) fn left(&self) -> Vec<String> {
        // Other mounts' paths may not be UTF-8.
        let mounts = fs::read("/proc/self/mountinfo").unwrap();
        let mounts = String::from_utf8_lossy(&mounts);
        let mounts = mounts.lines().filter(|line| line.contains(&self.id));
        let mut left: Vec<_> = mounts.map(|line| format!("mount {line}")).collect();
        let describe = |kind, paths: Vec<PathBuf>| {
            let lines = paths.into_iter();
            lines.map(move |path| format!("{kind} {}", path.display()))
        };
        left.extend(describe("process", self.processes()));
        left.extend(describe("network namespace", self.namespaces()));
        left.extend(describe("cgroup", self.below(Path::new(CGROUP_DIR), 4)));
        left.extend(describe("file", self.below(&env::temp_dir(), 0)));
        left.extend(describe("file", self.below(Path::new("/run"), 1)));
        left.extend(describe("file", self.below(Path::new("/var/lib"), 1)));
        left
    }

    /// The folders of its processes in `/proc`: those in its cgroups, and those with its
    /// directory in their arguments.
    pub(super) fn processes(&self) -> Vec<PathBuf> {
        let ours = |process: &PathBuf| {
            ["cgroup", "cmdline"].iter().any(|file| {
                let content = fs::read(process.join(file)).unwrap_or_default();
                String::from_utf8_lossy(&content).contains(&self.id)
            })
        };
        numbered("/proc").into_iter().filter(ours).collect()
    }

    /// Everything that holds one of its network namespaces.
    fn namespaces(&self) -> Vec<PathBuf> {
        let processes = numbered("/proc")
            .into_iter()
            .map(|path| path.join("ns/net"));
        let open = numbered("/proc/self/fd").into_iter().filter(|path| {
            fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("net:["))
        });
        let names = entries(Path::new(NETNS_DIR));
        processes
            .chain(open)
            .chain(names)
            .filter(|path| netns_id(path.clone()).is_some_and(|id| self.netns_ids.contains(&id)))
            .collect()
    }

    /// The entries named after the lab in a folder, up to `levels` levels below.
    fn below(&self, dir: &Path, levels: u32) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for path in entries(dir) {
            if path.to_string_lossy().contains(&self.id) {
                found.push(path);
            } else if levels > 0 && path.is_dir() && !path.is_symlink() {
                found.extend(self.below(&path, levels - 1));
            }
        }
        found
    }
}

/// Waits for a condition, at most ten seconds.
pub(super) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// None for an entry that vanished meanwhile.
fn netns_id(path: PathBuf) -> Option<u64> {
    NetNs::open(path).ok().map(|netns| netns.id)
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

fn numbered(dir: &str) -> Vec<PathBuf> {
    let is_number = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.chars().all(|c| c.is_ascii_digit())
    };
    entries(Path::new(dir))
        .into_iter()
        .filter(is_number)
        .collect()
}
