//! Session files on disk, as a flight recorder writes them.
//!
//! A thread of its own names, begins, compresses and deletes files; whoever
//! encodes hands it chunks through a bounded queue and never waits for a disk.
//! What a chunk means is not known here, only where a reader could begin.
//!
//! Each chunk is given to the kernel by write(2) as it comes and nothing is
//! flushed (fsync): what was written outlives the end of podtrace, be it by
//! SIGKILL, but not a power cut or a crash of the kernel.
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
mod error;
mod name;
mod open;
mod output_file;
mod pack;
mod place;
mod retention;
mod status;
#[cfg(test)]
mod tests;
mod trust;
mod writer;

pub use self::{counts::EventCounts, error::FilesError, status::Report};
use self::{place::Place, status::Status, writer::Writer};
use crate::privilege;

/// How many chunks may wait; one more is being written.
pub const QUEUE: usize = 16;

/// Whole blocks, to be written together or not at all.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The blocks, uncompressed. An empty buffer to fill: [`SessionFiles::buffer`].
    pub bytes: Vec<u8>,
    /// What a reader finds at its start.
    pub begins: Begins,
    /// The events in it.
    pub events: EventCounts,
}

/// What begins with a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begins {
    /// Nothing: it goes on with the section before it.
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

/// What is kept of the files of a session; the oldest go first. A file that
/// the session did not make is never deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// At most so many files, with the one being written.
    pub files: Option<u64>,
    /// At most so many bytes on disk at any moment.
    pub bytes: Option<u64>,
    /// An ended file only for so long.
    pub age: Option<Duration>,
}

/// How session files are written.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// Where to.
    pub target: Target,
    /// Whether [`Begins::File`] begins a new file. A lone file is named exactly as
    /// the target says, those that rotate are numbered.
    pub rotates: bool,
    /// What is kept of those that were written.
    pub keep: Keep,
    /// How large a file may become, uncompressed, in bytes: what is made room
    /// for before one is begun. To be given with [`Keep::bytes`].
    pub max_file_bytes: Option<u64>,
    /// Compress with zstd: each chunk becomes a frame of its own, so that a
    /// file can be read up to where it was cut.
    pub zstd: bool,
    /// Replace a regular file that has the (first) file's name.
    pub force: bool,
    /// The node, for names of files in a directory.
    pub node: String,
    /// When the session began.
    pub start: Timestamp,
}

/// What was written in all, when it is closed.
#[derive(Debug, Default)]
pub struct Closed {
    /// How many bytes were written, those deleted since included.
    pub bytes: u64,
    /// How many files were written.
    pub files: u64,
    /// How many of these were deleted by [`Keep`].
    pub deleted: u64,
    /// The file written last.
    pub last: Option<PathBuf>,
    /// What had not been asked for yet.
    pub reports: Vec<Report>,
}

/// Why the end of what was queued did not reach the file.
#[derive(Debug, Error)]
#[error(
    "{target} did not take the last {} events within {patience:?}: is the disk hung?", 
    not_written.total()
)]
pub struct CloseError {
    /// What was written to.
    pub target: String,
    /// How long it was waited for.
    pub patience: Duration,
    /// The events queued or being written. Of one chunk of them it is not known
    /// whether a hung write ends some day.
    pub not_written: EventCounts,
    /// What had not been asked for yet.
    pub reports: Vec<Report>,
}

/// The caller's end: hands chunks over, never waits. Dropped without
/// [`SessionFiles::close`], what is queued is still written, if the process lives.
#[derive(Debug)]
pub struct SessionFiles {
    chunks: SyncSender<Chunk>,
    status: Arc<Status>,
    done: Receiver<Closed>,
    target: String,
}

impl SessionFiles {
    /// Creates the first file and starts the thread.
    ///
    /// # Errors
    /// When the file cannot be created, or the options contradict each other.
    /// A FIFO that nobody reads yet is none: see [`Report::Failed`].
    pub fn open(options: FileOptions) -> Result<Self, FilesError> {
        check(&options)?;
        let place = Place::find(&options)?;
        let target = place.to_string();
        let status = Arc::new(Status::default());
        let mut writer = Writer::new(options, place, Arc::clone(&status))?;
        let (chunks, queue) = mpsc::sync_channel(QUEUE);
        let (say_done, done) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("session-files".into())
            .spawn(move || {
                // It only makes files, and whoever started it tells what it keeps.
                let _ = privilege::keep(privilege::RECORD);
                take_chunks(&mut writer, &queue);
                // Nobody waits for it when the caller gave up.
                let _ = say_done.send(writer.close());
            })
            .map_err(FilesError::Thread)?;
        Ok(Self {
            chunks,
            status,
            done,
            target,
        })
    }

    /// Queues a chunk to be written.
    ///
    /// # Errors
    /// When the queue is full: the chunk comes back.
    pub fn try_send(&self, chunk: Chunk) -> Result<(), Chunk> {
        self.status.queued(&chunk.events);
        self.chunks.try_send(chunk).map_err(|error| {
            let (TrySendError::Full(chunk) | TrySendError::Disconnected(chunk)) = error;
            self.status.taken();
            self.status.handled(&chunk.events);
            chunk
        })
    }

    /// Whether the queue has room for a chunk. It stays so until one is sent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.status.waiting() < QUEUE
    }

    /// How many bytes were written so far, files deleted since included.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.status.written()
    }

    /// An empty buffer for the next chunk, used before if there is one.
    #[must_use]
    pub fn buffer(&self) -> Vec<u8> {
        self.status.buffer()
    }

    /// Whether chunks are refused until one begins a section: send such a one
    /// once in a while to try again.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.status.is_failing()
    }

    /// What happened since the last call. Cheap if nothing did.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.status.reports()
    }

    /// Writes what is queued and ends the file.
    ///
    /// # Errors
    /// When that takes longer than `patience`; the thread is then left to itself.
    pub fn close(self, patience: Duration) -> Result<Closed, CloseError> {
        let Self {
            chunks,
            status,
            done,
            target,
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

/// Opens one file to write as those of a session are: private, and nothing of
/// somebody else's is written to. A FIFO or device is taken as it is; a regular
/// file that is there is replaced with `force` only.
///
/// # Errors
/// When there is something of that name, or the file cannot be created.
pub fn create(path: &Path, force: bool) -> Result<File, FilesError> {
    if place::is_stream(path) {
        open::open_stream(path)
    } else {
        open::create(path, force)
    }
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

/// Until the caller's end is gone and the queue is empty, or it gave up.
fn take_chunks(writer: &mut Writer, queue: &Receiver<Chunk>) {
    loop {
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
