//! Where network namespaces can be found: by name and by process.
use std::{collections::HashSet, fs, iter, os::unix::fs::MetadataExt as _, path::PathBuf};

use super::NETNS_DIR;

/// Where `ip netns` and container runtimes keep named namespaces.
/// The last is the machine's own, where podtrace runs in a container.
const NETNS_DIRS: [&str; 3] = [NETNS_DIR, "/var/run/docker/netns", "/proc/1/root/run/netns"];

/// A namespace that may be a pod's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// A path that opens it.
    pub path: PathBuf,
    /// Its inode, reused after its end.
    pub inode: u64,
}

/// Every network namespace that has a name or a process, each once, the named
/// ones first and by their names. The processes are looked at only when the
/// names have come to an end.
pub fn candidates() -> impl Iterator<Item = Candidate> {
    let named = NETNS_DIRS.iter().flat_map(|dir| entries(dir));
    let of_processes = iter::once("/proc").flat_map(entries).filter_map(|path| {
        let name = path.file_name()?.as_encoded_bytes();
        let is_process = name.iter().all(u8::is_ascii_digit);
        is_process.then(|| path.join("ns/net"))
    });
    // Not anything else that lies there: opening it may block.
    let own = fs::metadata("/proc/self/ns/net")
        .map(|file| file.dev())
        .ok();
    let mut inodes = HashSet::new();
    named.chain(of_processes).filter_map(move |path| {
        let file = fs::metadata(&path).ok()?;
        let inode = file.ino();
        let is_new = Some(file.dev()) == own && inodes.insert(inode);
        is_new.then_some(Candidate { path, inode })
    })
}

fn entries(dir: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}
