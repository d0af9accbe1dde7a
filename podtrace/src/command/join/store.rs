//! What a bucket has come to: files of paths, each with the state after it as its last line.
//!
//! A file appears whole or not at all, by its name; so do paths and the state that knows of them.
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{lake::Made, signals::Stop, text::escape::shown, wire::done::StoredDone};

/// Pause between two attempts to take a bucket that another joiner has.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of a bucket's hops.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    /// Those of paths that were shown.
    pub(super) joined: u64,
    /// Those of packets that another bucket shows.
    pub(super) halos: u64,
    /// Those that came too late.
    pub(super) late: u64,
    /// Those that never came.
    pub(super) missing: u64,
    /// Those that nobody can read.
    pub(super) unreadable: u64,
    /// Paths that were shown.
    pub(super) paths: u64,
    /// Hops that were published, once all nodes have ended.
    pub(super) published: Option<u64>,
}

impl Totals {
    pub(super) fn all(&self) -> u64 {
        self.joined + self.halos + self.late + self.missing + self.unreadable
    }

    pub(super) fn add(&mut self, other: &Self) {
        let is_first = *self == Self::default();
        let published = self.published.zip(other.published);
        *self = Self {
            joined: self.joined + other.joined,
            halos: self.halos + other.halos,
            late: self.late + other.late,
            missing: self.missing + other.missing,
            unreadable: self.unreadable + other.unreadable,
            paths: self.paths + other.paths,
            published: match is_first {
                true => other.published,
                false => published.map(|(one, other)| one + other),
            },
        };
    }
}

/// How far a bucket has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    /// `progress`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// The number of the file.
    pub(super) file: u64,
    /// Whether nothing more comes.
    pub(super) is_last: bool,
    /// The number of the next packet.
    pub(super) next_packet: u64,
    /// The number in the stream of the first message with hops that are not done.
    pub(super) from_sequence: u64,
    /// The hops of each session that are done.
    pub(super) sessions: BTreeMap<String, StoredDone>,
    pub(super) totals: Totals,
    /// What goes into a lake, if paths go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lake: Option<Sent>,
}

/// What goes into a lake.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Sent {
    /// Its address, safe to show.
    pub(super) lake: String,
    /// What tells the bucket's packets from those of others.
    pub(super) session: String,
    /// Where the files of this number are there.
    pub(super) files: Vec<String>,
}

/// The files of a bucket, which are this process's while it lives.
pub(super) struct Store {
    folder: PathBuf,
    bucket: u16,
    _lock: File,
}

impl Store {
    /// Takes a bucket, once no other joiner has it; none if it is to stop before.
    pub(super) fn open(folder: &Path, bucket: u16, stop: &Stop) -> anyhow::Result<Option<Self>> {
        fs::create_dir_all(folder).with_context(|| format!("no {}", shown(folder)))?;
        let path = folder.join(format!("bucket-{bucket:03}.lock"));
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("no {}", shown(&path)))?;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if stop.is_set() => return Ok(None),
                Err(TryLockError::WouldBlock) => stop.sleep(PAUSE)?,
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("no lock on {}", shown(&path)));
                }
            }
        }
        Ok(Some(Self {
            folder: folder.to_owned(),
            bucket,
            _lock: lock,
        }))
    }

    fn begin(&self) -> String {
        format!("bucket-{:03}-", self.bucket)
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder
            .join(format!("{}{number:08}.json", self.begin()))
    }

    /// A file for a lake.
    fn staged_file(&self, number: u64, at: usize) -> PathBuf {
        self.folder
            .join(format!("{}{number:08}-{at}.parquet", self.begin()))
    }

    /// How far the bucket has come, if there is anything.
    pub(super) fn progress(&self) -> anyhow::Result<Option<Progress>> {
        let begin = self.begin();
        let mut last = None;
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix(&begin)?.strip_suffix(".json"));
            last = last.max(number.and_then(|number| number.parse::<u64>().ok()));
        }
        let Some(last) = last else {
            return Ok(None);
        };
        let path = self.file(last);
        let text = fs::read_to_string(&path)?;
        let line = text.lines().next_back().unwrap_or_default();
        let progress = serde_json::from_str(line);
        let progress = progress.with_context(|| format!("{} has no progress", shown(&path)))?;
        Ok(Some(progress))
    }

    /// Adds a file.
    pub(super) fn add(&self, text: &str, progress: &Progress) -> io::Result<()> {
        let part = self.folder.join(format!(".{}part", self.begin()));
        if let Err(error) = write(&part, text, progress) {
            // Others may need the room that it takes; it fails where it is not there.
            let _ = fs::remove_file(&part);
            return Err(error);
        }
        fs::rename(&part, self.file(progress.file))?;
        // The name has to last, too.
        File::open(&self.folder)?.sync_all()
    }
}

/// Files for a lake.
impl Store {
    /// Adds files that belong to the file of a number, which is not there yet.
    pub(super) fn stage(&self, number: u64, made: &[Made]) -> io::Result<()> {
        for (at, Made { bytes, .. }) in made.iter().enumerate() {
            let written = File::create(self.staged_file(number, at)).and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            });
            if let Err(error) = written {
                // Others may need the room that they take.
                (0..=at).for_each(|at| drop(fs::remove_file(self.staged_file(number, at))));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Removes files of numbers above this one, which nobody knows of.
    pub(super) fn discard_after(&self, number: u64) -> io::Result<()> {
        let begin = self.begin();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let of = name
                .to_str()
                .and_then(|name| name.strip_prefix(&begin)?.strip_suffix(".parquet"))
                .and_then(|numbers| numbers.split_once('-')?.0.parse::<u64>().ok());
            if of.is_some_and(|of| of > number) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// What is in one of the files, if it is there still.
    pub(super) fn staged(&self, number: u64, at: usize) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.staged_file(number, at)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Removes one of the files: it is in the lake.
    pub(super) fn unstage(&self, number: u64, at: usize) -> io::Result<()> {
        fs::remove_file(self.staged_file(number, at))
    }

    /// Removes what was known before the file of a number.
    pub(super) fn forget_before(&self, number: u64) -> io::Result<()> {
        match fs::remove_file(self.file(number.saturating_sub(1))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

fn write(part: &Path, text: &str, progress: &Progress) -> io::Result<()> {
    let mut file = File::create(part)?;
    file.write_all(text.as_bytes())?;
    let mut last = serde_json::to_vec(progress)?;
    last.push(b'\n');
    file.write_all(&last)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A joiner was killed when it had put files there, before it could tell what they are.
    #[test]
    fn only_files_that_nobody_knows_of_are_discarded() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 3, &Stop::default());
        let store = store.unwrap().unwrap();
        let made = |bytes: &[u8]| Made {
            path: String::new(),
            bytes: bytes.to_vec(),
        };
        store.stage(1, &[made(b"a"), made(b"b")]).unwrap();
        let progress = Progress {
            file: 1,
            ..Progress::default()
        };
        store.add("", &progress).unwrap();
        store.stage(2, &[made(b"c"), made(b"d")]).unwrap();
        let known = store.progress().unwrap().unwrap();
        assert_eq!(known.file, 1);
        store.discard_after(known.file).unwrap();
        for (number, expected) in [(1, [Some("a"), Some("b")]), (2, [None, None])] {
            for (at, expected) in expected.into_iter().enumerate() {
                let staged = store.staged(number, at).unwrap();
                assert_eq!(staged.as_deref(), expected.map(str::as_bytes));
            }
        }
        store.unstage(1, 0).unwrap();
        assert_eq!(store.staged(1, 0).unwrap(), None);
        store.forget_before(2).unwrap();
        assert!(store.progress().unwrap().is_none());
    }
}
