//! A file that is to replace an earlier one: it has another name until it may.
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, TryLockError},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::unistd::Uid;

use super::{
    FilesError,
    identity::Identity,
    trust::{check_replaceable, directory},
};

/// What the name of a file ends in that is not in its place yet.
const SUFFIX: &str = "new";
/// Upper bound of a file's name, in bytes (`NAME_MAX`).
const NAME_MAX: usize = 255;
/// Room for what is added to the name: the dots, a process id and the suffix.
const ADDED: usize = 20;

/// A file that takes the name of an earlier one once that is confirmed and something is written to
/// it. Dropped before it is confirmed, it is removed, and the earlier file stays as it was.
#[derive(Debug)]
pub struct Replacement(Arc<Aside>);

impl Replacement {
    pub(super) fn new(aside: Arc<Aside>) -> Self {
        Self(aside)
    }

    /// The file that is to be replaced.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.0.target
    }

    /// Replaces the earlier file: at once, or where nothing is written yet, as soon as that is.
    ///
    /// # Errors
    /// When it cannot be replaced any more: it stays as it is.
    pub fn confirm(self) -> Result<(), FilesError> {
        self.0.confirm()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        self.0.discard();
    }
}

/// The name of a file that is to replace another, shared by its writer and who decides.
#[derive(Debug)]
pub(super) struct Aside {
    target: PathBuf,
    identity: Identity,
    standing: Mutex<Standing>,
}

/// Where a replacement stands.
#[derive(Debug)]
struct Standing {
    state: State,
    /// Whether it holds anything: until then, it is worth less than the earlier file.
    is_written: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It has this name.
    Aside(PathBuf),
    /// It has this name until something is written.
    Confirmed(PathBuf),
    /// It has the name of the target.
    InPlace,
    /// It was removed.
    Discarded,
}

impl Aside {
    /// An empty file at `path` that is to replace `target`.
    pub(super) fn new(target: PathBuf, path: PathBuf, identity: Identity) -> Self {
        Self {
            target,
            identity,
            standing: Mutex::new(Standing {
                state: State::Aside(path),
                is_written: false,
            }),
        }
    }

    /// Whether it may still be removed.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.lock().state, State::Aside(_) | State::Confirmed(_))
    }

    /// Whether it was removed.
    pub(super) fn is_discarded(&self) -> bool {
        self.lock().state == State::Discarded
    }

    /// Calls `then` with its present name, which it keeps meanwhile.
    pub(super) fn with_path<T>(&self, then: impl FnOnce(&Path) -> T) -> T {
        match &self.lock().state {
            State::Aside(path) | State::Confirmed(path) => then(path),
            State::InPlace | State::Discarded => then(&self.target),
        }
    }

    /// Something is written to it: it replaces the earlier file, if that is confirmed.
    ///
    /// # Errors
    /// When it cannot replace it: then nothing counts as written.
    pub(super) fn written(&self) -> Result<(), FilesError> {
        let mut standing = self.lock();
        if let State::Confirmed(path) = &standing.state {
            self.replace(path)?;
            standing.state = State::InPlace;
        }
        standing.is_written = true;
        Ok(())
    }

    fn confirm(&self) -> Result<(), FilesError> {
        let mut standing = self.lock();
        let State::Aside(path) = &standing.state else {
            return Ok(());
        };
        standing.state = if standing.is_written {
            self.replace(path)?;
            State::InPlace
        } else {
            self.check(path)?;
            State::Confirmed(path.clone())
        };
        Ok(())
    }

    fn replace(&self, path: &Path) -> Result<(), FilesError> {
        self.check(path)?;
        fs::rename(path, &self.target)
            .map_err(|error| FilesError::system("replace", &self.target, error))
    }

    /// Checks that both names are what they were.
    fn check(&self, path: &Path) -> Result<(), FilesError> {
        match self.identity.at(path) {
            Some(_) => check_replaceable(&self.target, true),
            None => Err(FilesError::Moved(self.target.clone())),
        }
    }

    /// Removes it, unless it has been confirmed.
    fn discard(&self) {
        let mut standing = self.lock();
        if let State::Aside(path) = &standing.state {
            self.remove(path);
            standing.state = State::Discarded;
        }
    }

    /// Its writer has ended: what was confirmed and holds nothing is removed.
    pub(super) fn end(&self) {
        let mut standing = self.lock();
        if let State::Confirmed(path) = &standing.state {
            self.remove(path);
            standing.state = State::Discarded;
        }
    }

    fn remove(&self, path: &Path) {
        if self.identity.at(path).is_some() {
            // If it stays, the next run with this target removes it.
            let _ = fs::remove_file(path);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name that a file has until it replaces `target`: hidden, in the same directory.
pub(super) fn name_aside(target: &Path) -> PathBuf {
    let mut name = prefix(target);
    name.push(format!("{}.{SUFFIX}", process::id()));
    target.with_file_name(name)
}

/// Whether a file has a name as [`name_aside`] makes them.
pub(crate) fn is_aside(path: &Path) -> bool {
    let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    let numbered = name
        .strip_prefix(b".")
        .and_then(|name| name.strip_suffix(SUFFIX.as_bytes())?.strip_suffix(b"."));
    let number = numbered.and_then(|name| name.rsplit(|byte| *byte == b'.').next());
    number.is_some_and(|number| number.len() < name.len() - SUFFIX.len() - 2 && is_number(number))
}

/// Removes the files that ended runs with this target have left aside.
pub(super) fn remove_left(target: &Path) {
    let prefix = prefix(target);
    let process = |name: &OsStr| -> Option<u32> {
        let rest = name.as_bytes().strip_prefix(prefix.as_bytes())?;
        let number = rest.strip_suffix(SUFFIX.as_bytes())?.strip_suffix(b".")?;
        let number = is_number(number).then_some(number)?;
        std::str::from_utf8(number).ok()?.parse().ok()
    };
    let Ok(entries) = fs::read_dir(directory(target)) else {
        return;
    };
    for entry in entries.flatten() {
        if let Some(process) = process(&entry.file_name())
            && is_left(&entry.path(), process)
        {
            // If it stays, it does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a file of this user belongs to a process that has ended. A running one holds a lock on
/// it, if the file system has locks, and has its number, unless it is in another container.
fn is_left(path: &Path, process: u32) -> bool {
    let is_own = fs::symlink_metadata(path).is_ok_and(|found| {
        found.is_file() && found.uid() == Uid::effective().as_raw() && found.nlink() == 1
    });
    // After a restart in a container, an ended process had the number of this one.
    let has_ended =
        process == process::id() || !Path::new("/proc").join(process.to_string()).exists();
    is_own && has_ended && !is_in_use(path)
}

/// Whether a running podtrace writes to the file, and so holds a lock on it. On a file system
/// without locks, this is unknown.
pub(super) fn is_in_use(path: &Path) -> bool {
    let opened = File::open(path);
    opened.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// What precedes the number of the process in the name.
fn prefix(target: &Path) -> OsString {
    let name = target.file_name().unwrap_or_default().as_bytes();
    let mut prefix = OsString::from(".");
    prefix.push(OsStr::from_bytes(
        name.get(..NAME_MAX - ADDED).unwrap_or(name),
    ));
    prefix.push(".");
    prefix
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_aside_are_told_from_others() {
        let long = "x".repeat(NAME_MAX);
        for name in ["a.pcapng", "a", ".a", "1.new", &long] {
            let aside = name_aside(&Path::new("d").join(name));
            assert!(aside.file_name().unwrap().len() <= NAME_MAX, "{name}");
            assert_eq!(aside.parent(), Some(Path::new("d")), "{name}");
            assert!(is_aside(&aside), "{name}");
        }
        for name in [
            "a.pcapng", ".a.new", ".1.new", "a.1.new", ".a.1.old", ".a.x.new", "",
        ] {
            assert!(!is_aside(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn only_what_an_ended_run_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (running, ended) = (1, u32::MAX);
        let left = at(&format!(".a.{ended}.new"));
        let locked = name_aside(&at("a"));
        let others = [
            at(&format!(".a.{running}.new")),
            at(&format!(".b.{ended}.new")),
            at(&format!(".a.{ended}.replaced")),
            at("a"),
        ];
        for path in others.iter().chain([&left, &locked]) {
            fs::write(path, "x").unwrap();
        }
        let lock = File::open(&locked).unwrap();
        lock.lock().unwrap();
        remove_left(&at("a"));
        assert!(!left.exists());
        assert!(locked.exists());
        assert!(others.iter().all(|path| path.exists()), "{others:?}");
        // Its process had the number that this one has.
        drop(lock);
        remove_left(&at("a"));
        assert!(!locked.exists());
    }
}
