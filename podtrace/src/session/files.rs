//! Session files on disk, as a flight recorder writes them.
//!
//! A thread of its own names, begins, compresses and deletes files. The encoder hands it
//! chunks through a bounded queue and never waits for a disk. This module does not know the
//! contents of a chunk, only where a reader can begin.
//!
//! The thread hands each chunk to the kernel by write(2) at once and flushes nothing
//! (fsync) but the first chunk of a file that replaces another: written data outlives the end of
//! podtrace, even by SIGKILL, but not a power cut or a crash of the kernel.
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use thiserror::Error;

mod counts;
mod destination;
mod earlier;
mod error;
mod fetched;
mod identity;
mod name;
mod open;
mod output_file;
mod pack;
mod replacement;
mod retention;
mod status;
#[cfg(test)]
mod tests;
mod trust;
mod writer;

pub use self::{
    counts::EventCounts,
    earlier::RecorderId,
    error::FilesError,
    fetched::{Fetched, FetchedInto},
    replacement::Replacement,
    status::Report,
};
use self::{destination::Destination, name::Names, open::Created, status::Status, writer::Writer};
pub(crate) use self::{replacement::is_aside, trust::is_trusted};
use crate::{privilege, text::count::counted};

/// How many chunks may wait; one more is being written.
pub const QUEUE: usize = 16;

/// Whole blocks, to be written together or not at all.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The blocks, uncompressed. [`SessionFiles::buffer`] gives an empty buffer to fill.
    pub bytes: Vec<u8>,
    /// The section or file that begins with the chunk.
    pub begins: Begins,
    /// The events in it.
    pub events: EventCounts,
}

/// The section or file that begins with a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begins {
    /// Nothing: it continues the section before it.
    #[default]
    Nothing,
    /// A section that can be read without what is before it.
    Section,
    /// A section, in a new file if files rotate.
    File,
}

/// Where to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the standard output.
    Stdout,
    /// To a file, a FIFO or a character device; or, if it is a directory or
    /// ends in `/`, to files in it.
    Path(PathBuf),
}

/// Limits of the files of a recorder; the oldest are deleted first. Files that neither this
/// run nor an earlier one of the same recorder made are never deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Upper bound of the files, including the one being written.
    pub files: Option<u64>,
    /// Upper bound of the bytes on disk at any moment.
    pub bytes: Option<u64>,
    /// How long a finished file is kept.
    pub age: Option<Duration>,
}

/// How session files are written.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// The target.
    pub target: Target,
    /// Whether [`Begins::File`] begins a new file. A single file has exactly the name of the
    /// target, rotated files are numbered.
    pub rotates: bool,
    /// Limits of the written files.
    pub keep: Keep,
    /// Upper bound of a file, uncompressed, in bytes: this much room is made before a file is
    /// begun. Required with [`Keep::bytes`].
    pub max_file_bytes: Option<u64>,
    /// Compress with zstd: each chunk becomes a frame of its own, so that a
    /// file can be read up to where it was cut.
    pub zstd: bool,
    /// Replace a regular file that has the (first) file's name, once
    /// [`SessionFiles::replacement`] is confirmed and a chunk is written.
    pub force: bool,
    /// The node, for names of files in a directory.
    pub node: String,
    /// When the session began.
    pub start: Timestamp,
    /// Identifies the files of earlier runs; without it they do not count.
    pub recorder: Option<RecorderId>,
}

/// The totals of a closed session.
#[derive(Debug, Default)]
pub struct Closed {
    /// How many bytes were written, including those of deleted files.
    pub bytes: u64,
    /// How many files were written.
    pub files: u64,
    /// How many of these were deleted by [`Keep`].
    pub deleted: u64,
    /// The file written last.
    pub last: Option<PathBuf>,
    /// The earlier file that was not replaced after all; then nothing was written.
    pub kept: Option<PathBuf>,
    /// Reports not taken yet.
    pub reports: Vec<Report>,
}

/// Why some queued chunks did not reach the file.
#[derive(Debug, Error)]
#[error(
    "{target} did not take the last {} within {patience:?}: is the disk hung?",
    counted(not_written.total(), "event")
)]
pub struct CloseError {
    /// The target.
    pub target: String,
    /// How long the caller waited.
    pub patience: Duration,
    /// The events queued or being written. A hung write may still finish one chunk of them.
    pub not_written: EventCounts,
    /// Reports not taken yet.
    pub reports: Vec<Report>,
}

/// The caller's end: it hands over chunks and never waits. If it is dropped without
/// [`SessionFiles::close`], queued chunks are still written as long as the process lives.
#[derive(Debug)]
pub struct SessionFiles {
    chunks: SyncSender<Chunk>,
    status: Arc<Status>,
    done: Receiver<Closed>,
    target: String,
    warning: Option<String>,
    replacement: Option<Replacement>,
}

impl SessionFiles {
    /// Creates the first file and starts the thread.
    ///
    /// # Errors
    /// When the file cannot be created, or the options contradict each other. A FIFO that
    /// nobody reads yet is no error: see [`Report::Failed`].
    pub fn open(options: FileOptions) -> Result<Self, FilesError> {
        check(&options)?;
        let destination = Destination::find(&options)?;
        let (target, warning) = (destination.to_string(), destination.warning());
        let status = Arc::new(Status::default());
        let mut writer = Writer::new(options, destination, Arc::clone(&status))?;
        let replacement = writer.replacement();
        let (chunks, queue) = mpsc::sync_channel(QUEUE);
        let (done_sender, done) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("session-files".into())
            .spawn(move || {
                take_chunks(&mut writer, &queue);
                // The receiver is gone if the caller has given up.
                let _ = done_sender.send(writer.close());
            })
            .map_err(FilesError::Thread)?;
        Ok(Self {
            chunks,
            status,
            done,
            target,
            warning,
            replacement,
        })
    }

    /// The earlier file that is to be replaced, if there is one: it stays as it was unless that is
    /// confirmed, at any time, and until a chunk is written.
    #[must_use]
    pub fn replacement(&mut self) -> Option<Replacement> {
        self.replacement.take()
    }

    /// Describes what other users can do to the files; none if nothing.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Queues a chunk to be written.
    ///
    /// # Errors
    /// When the queue is full; the error returns the chunk.
    pub fn try_send(&self, chunk: Chunk) -> Result<(), Chunk> {
        self.status.queued(&chunk.events);
        self.chunks.try_send(chunk).map_err(|error| {
            let (TrySendError::Full(chunk) | TrySendError::Disconnected(chunk)) = error;
            self.status.taken();
            self.status.handled(&chunk.events);
            chunk
        })
    }

    /// Whether the queue has room for a chunk. The room remains until a chunk is sent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.status.waiting() < QUEUE
    }

    /// Bytes written so far, including those of deleted files.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.status.written()
    }

    /// An empty buffer for the next chunk, reused if possible.
    #[must_use]
    pub fn buffer(&self) -> Vec<u8> {
        self.status.buffer()
    }

    /// Whether chunks are refused until one begins a section. Send such a chunk at
    /// intervals to try again.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.status.is_failing()
    }

    /// The reports since the last call. Cheap if there are none.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.status.reports()
    }

    /// Writes the queued chunks and ends the file.
    ///
    /// # Errors
    /// When that takes longer than `patience`; the thread then continues alone.
    pub fn close(self, patience: Duration) -> Result<Closed, CloseError> {
        let Self {
            chunks,
            status,
            done,
            target,
            warning: _,
            replacement: _unconfirmed,
        } = self;
        drop(chunks);
        done.recv_timeout(patience).map_err(|_still_writing| {
            let not_written = status.abandon();
            CloseError {
                target,
                patience,
                not_written,
                reports: status.reports(),
            }
        })
    }
}

/// Opens one file for writing under the rules of session files: it is private, and nothing of
/// another user is written to. A FIFO or device is used as it is; an existing regular file is
/// replaced with `force` only, once that is confirmed.
///
/// # Errors
/// When the name exists, or the file cannot be created.
pub fn create(path: &Path, force: bool) -> Result<(File, Option<Replacement>), FilesError> {
    if destination::is_stream(path) {
        return Ok((open::open_stream(path)?, None));
    }
    let Created { file, aside, .. } = open::create(path, force)?;
    // Who writes it confirms it at the end.
    if let Some(aside) = &aside {
        aside.written()?;
    }
    Ok((file, aside.map(Replacement::new)))
}

/// The name of the file that is written for a target which is a file's name: compressed, it ends in
/// `.zst`.
#[must_use]
pub fn file_name(path: &Path, zstd: bool) -> PathBuf {
    Names::exactly(path, zstd).path(0, Timestamp::UNIX_EPOCH)
}

/// Refuses options that no disk could fulfil.
fn check(options: &FileOptions) -> Result<(), FilesError> {
    let Keep { files, bytes, .. } = options.keep;
    if files == Some(0) {
        return Err(FilesError::KeepNothing);
    }
    match (bytes, options.max_file_bytes) {
        (Some(keep), Some(file)) if keep < file => Err(FilesError::KeepTooLittle { keep, file }),
        _ => Ok(()),
    }
}

/// Runs until the caller's end is dropped and the queue is empty, or the caller gave up.
fn take_chunks(writer: &mut Writer, queue: &Receiver<Chunk>) {
    // The thread only creates files, and its starter reports capabilities that stay.
    let keep = |needed| drop(privilege::keep(needed));
    let mut may_replace = writer.may_replace();
    keep(match may_replace {
        true => privilege::RECORD_OVER,
        false => privilege::RECORD,
    });
    loop {
        if may_replace && !writer.may_replace() {
            may_replace = false;
            keep(privilege::RECORD);
        }
        let chunk = match writer.next_expiry(Instant::now()) {
            Some(wait) => queue.recv_timeout(wait),
            None => queue
                .recv()
                .map_err(|_closed| RecvTimeoutError::Disconnected),
        };
        match chunk {
            Ok(chunk) => writer.take(chunk),
            Err(RecvTimeoutError::Timeout) => writer.expire(Instant::now()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
