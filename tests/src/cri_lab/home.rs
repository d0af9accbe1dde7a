//! The state of a lab outside its processes: a directory, and cgroups with its name. The
//! directory is created first and removed last, and lists the cgroups: so all leftovers of a
//! lab are found.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use super::cgroup;

/// The prefix of every lab's name; the owner's process id follows.
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
                // A leftover of an earlier process with this id: it cannot be swept while we
                // live, and does no harm.
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

/// Removes the leftovers of dead processes' labs; returns how many labs there were. Reports a
/// lab that cannot be removed.
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
        // Another process swept at the same time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("remove {}", dir.display())),
    }
}

/// The cgroups listed in a lab's directory. In a folder that everybody may write to, only our
/// own directories are trusted.
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
