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

use crate::{signals::Stop, text::escape::shown, wire::done::StoredDone};

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

fn write(part: &Path, text: &str, progress: &Progress) -> io::Result<()> {
    let mut file = File::create(part)?;
    file.write_all(text.as_bytes())?;
    let mut last = serde_json::to_vec(progress)?;
    last.push(b'\n');
    file.write_all(&last)?;
    file.sync_all()
}
