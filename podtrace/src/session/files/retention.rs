//! The finished files of a recorder, of this run and earlier ones, and their limits.
use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    FilesError, Keep,
    identity::Identity,
    status::{Report, Status},
};
use crate::order::Order as _;

/// Disk space is counted in blocks of this size.
const BLOCK: u64 = 4096;

/// The finished files, oldest first.
#[derive(Debug)]
pub(super) struct OwnFiles {
    keep: Keep,
    files: VecDeque<OwnFile>,
    deleted: u64,
    status: Arc<Status>,
}

/// A finished file.
#[derive(Debug)]
pub(super) struct OwnFile {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// Its size on disk.
    pub(super) bytes: u64,
    pub(super) ended_at: Instant,
    /// Whether it could not be deleted, as was reported.
    pub(super) is_stuck: bool,
    /// Whether an earlier run wrote it.
    pub(super) is_earlier: bool,
}

impl OwnFiles {
    pub(super) fn new(keep: Keep, status: Arc<Status>) -> Self {
        Self {
            keep,
            files: VecDeque::new(),
            deleted: 0,
            status,
        }
    }

    /// How many files of this run were deleted.
    pub(super) fn deleted(&self) -> u64 {
        self.deleted
    }

    /// Adds a finished file.
    pub(super) fn push(&mut self, file: OwnFile) {
        self.files.push_back(file);
    }

    /// Whether files are deleted at all.
    pub(super) fn has_limits(&self) -> bool {
        self.keep != Keep::default()
    }

    /// Whether it has the file of that name.
    pub(super) fn knows(&self, path: &Path) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    /// Adds files of earlier runs.
    pub(super) fn add_earlier(&mut self, earlier: Vec<OwnFile>) {
        if !earlier.is_empty() {
            self.files.extend(earlier);
            self.files
                .make_contiguous()
                .order_by_key(|file| file.ended_at);
        }
    }

    /// Deletes the oldest files until `need` bytes may be written to a file that has `open`
    /// bytes; returns whether they may.
    pub(super) fn make_room(&mut self, open: u64, need: u64) -> bool {
        if self.has_room(open, need) {
            return true;
        }
        self.refresh();
        self.delete_while(|files, _freed| !files.has_room(open, need));
        self.has_room(open, need)
    }

    /// Deletes the oldest files to free `need` bytes on a full disk; returns whether any was
    /// deleted. Without limits, all files are kept.
    pub(super) fn free(&mut self, need: u64) -> bool {
        if !self.has_limits() {
            return false;
        }
        self.refresh();
        let need = need.next_multiple_of(BLOCK) + BLOCK;
        self.delete_while(|_files, freed| freed < need) > 0
    }

    /// Deletes the files that are too old.
    pub(super) fn expire(&mut self, now: Instant) {
        let Some(age) = self.keep.age else { return };
        let is_old = |file: &OwnFile| now.saturating_duration_since(file.ended_at) >= age;
        // Usually this checks the first file only.
        let old = self.files.iter().take_while(|file| is_old(file)).count();
        let mut tried = 0;
        for _ in 0..old {
            if self.files.get(tried).is_some_and(|file| file.is_stuck) || !self.delete(tried) {
                tried += 1;
            }
        }
    }

    /// The time until a file is too old.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Duration> {
        let age = self.keep.age?;
        let oldest = self.files.iter().find(|file| !file.is_stuck)?;
        Some(age.saturating_sub(now.saturating_duration_since(oldest.ended_at)))
    }

    fn has_room(&self, open: u64, need: u64) -> bool {
        let Keep {
            files: most_files,
            bytes: most_bytes,
            age: _,
        } = self.keep;
        most_files.is_none_or(|most| (self.files.len() as u64) < most)
            && most_bytes.is_none_or(|most| self.bytes() + open + need <= most)
    }

    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Forgets files that another process removed, renamed or replaced.
    fn refresh(&mut self) {
        self.files.retain_mut(|file| {
            let found = file.identity.at(&file.path);
            if let Some(metadata) = &found {
                file.bytes = metadata.len();
            }
            found.is_some()
        });
    }

    /// Deletes the oldest files as long as necessary; returns how many bytes that freed, in
    /// whole blocks.
    fn delete_while(&mut self, go_on: impl Fn(&Self, u64) -> bool) -> u64 {
        let (mut freed, mut tried) = (0, 0);
        while go_on(self, freed)
            && let Some(file) = self.files.get(tried)
        {
            let bytes = file.bytes.next_multiple_of(BLOCK);
            if self.delete(tried) {
                freed += bytes;
            } else {
                tried += 1;
            }
        }
        freed
    }

    /// Deletes a file; returns whether it was deleted.
    fn delete(&mut self, at: usize) -> bool {
        let Some(file) = self.files.get_mut(at) else {
            return false;
        };
        if file.identity.at(&file.path).is_some() {
            if let Err(error) = fs::remove_file(&file.path) {
                if !file.is_stuck {
                    file.is_stuck = true;
                    self.status.report(Report::NotDeleted(FilesError::system(
                        "delete", &file.path, error,
                    )));
                }
                return false;
            }
            self.deleted += u64::from(!file.is_earlier);
            self.status.report(Report::Deleted {
                path: file.path.clone(),
                bytes: file.bytes,
            });
        }
        self.files.remove(at);
        true
    }
}
