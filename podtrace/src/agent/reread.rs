//! What is read from files, and again once they have changed.
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// How a file was found: another file, or another content of it, has another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    changed: (i64, i64),
    size: u64,
}

/// Reads files; an error is in words.
type Read<T> = Box<dyn Fn() -> Result<T, String> + Send + Sync>;

/// What was read from files.
pub(super) struct Reread<T> {
    paths: Vec<PathBuf>,
    read: Read<T>,
    last: Mutex<(Vec<Stamp>, Arc<T>)>,
}

impl<T> Reread<T> {
    /// Reads files.
    ///
    /// # Errors
    /// In words, when they cannot be used.
    pub(super) fn new(
        paths: Vec<PathBuf>,
        read: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        // Before they are read: what changes meanwhile is noticed.
        let stamps = stamps(&paths);
        let found = read()?;
        Ok(Self {
            paths,
            read: Box::new(read),
            last: Mutex::new((stamps, Arc::new(found))),
        })
    }

    /// What the files say now; what they said before where they cannot be used any more.
    /// `tell`: told of a change, or of what is wrong with it, once.
    pub(super) fn current(&self, tell: impl FnOnce(Result<(), String>)) -> Arc<T> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.paths);
        if stamps != last.0 {
            last.0 = stamps;
            let read = (self.read)();
            tell(read.map(|found| last.1 = Arc::new(found)));
        }
        Arc::clone(&last.1)
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        // Of what a link leads to: Kubernetes replaces a link when a secret changes.
        let found = fs::metadata(path).ok();
        found.map_or_else(Stamp::default, |file| Stamp {
            file: (file.dev(), file.ino()),
            changed: (file.ctime(), file.ctime_nsec()),
            size: file.size(),
        })
    };
    paths.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        fs::write(&path, "1").unwrap();
        let from = path.clone();
        let number = Reread::new(vec![path.clone()], move || {
            let text = fs::read_to_string(&from).map_err(|error| error.to_string())?;
            text.parse::<u32>().map_err(|_error| format!("{text}?"))
        });
        let number = number.unwrap();
        let current = || {
            let mut told = None;
            let now = *number.current(|tell| told = Some(tell));
            (now, told)
        };
        assert_eq!(current(), (1, None));
        fs::write(&path, "22").unwrap();
        assert_eq!(current(), (22, Some(Ok(()))));
        fs::write(&path, "x").unwrap();
        assert_eq!(current(), (22, Some(Err("x?".to_owned()))));
        assert_eq!(current(), (22, None));
        // Another file in its place.
        let other = folder.path().join("other");
        fs::write(&other, "3").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(current(), (3, Some(Ok(()))));
        fs::remove_file(&path).unwrap();
        assert!(matches!(current(), (3, Some(Err(_)))));
    }
}
