//! What a lab has outside its processes: a directory, and cgroups named like
//! it. The directory is made first and removed last, and lists the cgroups:
//! so whatever is left of a lab is found.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use super::cgroup;

/// What the name of every lab starts with; the owner's process id follows.
const PREFIX: &str = "podtrace-cri-";
const CGROUPS: &str = "cgroups";

static LABS: AtomicU32 = AtomicU32::new(0);

/// A lab's directory and cgroups, removed when dropped.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) id: String,
    pub(super) dir: PathBuf,
}

impl Home {
    pub(super) fn create() -> Result<Self> {
        let home = Self::create_dir().context("make the lab's directory")?;
        let hierarchies = cgroup::hierarchies().context("look for cgroup hierarchies")?;
        let list: String = hierarchies
            .iter()
            .map(|hierarchy| format!("{}\n", hierarchy.own.join(&home.id).display()))
            .collect();
        fs::write(home.dir.join(CGROUPS), list).context("list the lab's cgroups")?;
        Ok(home)
    }

    fn create_dir() -> io::Result<Self> {
        loop {
            let counter = LABS.fetch_add(1, Ordering::Relaxed);
            let id = format!("{PREFIX}{}-{counter}", process::id());
            let dir = env::temp_dir().join(&id);
            match DirBuilder::new().mode(0o700).create(&dir) {
                // Left by an earlier process of the same id: not ours to sweep
                // as long as we live, but in nobody's way.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self { id, dir }),
            }
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.dir) {
            eprintln!("lab {} could not be removed: {error:#}", self.id);
        }
    }
}

/// Removes what labs of dead processes left; returns how many labs those were.
/// One that resists is said and left.
pub fn sweep() -> Result<usize> {
    let mut swept = 0;
    for entry in fs::read_dir(env::temp_dir())? {
        let entry = entry?;
        let owner = owner(&entry.file_name().to_string_lossy());
        if owner.is_none_or(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            continue;
        }
        match remove(&entry.path()) {
            Ok(()) => swept += 1,
            Err(error) => eprintln!("{} could not be swept: {error:#}", entry.path().display()),
        }
    }
    Ok(swept)
}

/// The process id in a lab's name.
fn owner(name: &str) -> Option<u32> {
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    pid.parse().ok()
}

fn remove(dir: &Path) -> Result<()> {
    for group in listed_cgroups(dir).context("read the list of cgroups")? {
        cgroup::remove(&group).with_context(|| format!("remove cgroup {}", group.display()))?;
    }
    match fs::remove_dir_all(dir) {
        // Somebody else swept at the same time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("remove {}", dir.display())),
    }
}

/// The cgroups a lab's directory lists. Directories in a folder that everybody
/// may write to are believed only if they are our own.
fn listed_cgroups(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let (list, ours) = (dir.join(CGROUPS), fs::metadata("/proc/self")?.uid());
    let metadata = match fs::symlink_metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        metadata => metadata?,
    };
    if !metadata.is_dir() || metadata.uid() != ours {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if !list.exists() {
        return Ok(Vec::new());
    }
    let list = fs::read_to_string(list)?;
    let groups = list.lines().map(PathBuf::from);
    Ok(groups
        .filter(|group| group.file_name() == dir.file_name())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lab_names_have_an_owner() {
        assert_eq!(owner("podtrace-cri-42-0"), Some(42));
        assert_eq!(owner("podtrace-42-0"), None);
        assert_eq!(owner("podtrace-cri-42"), None);
    }
}
