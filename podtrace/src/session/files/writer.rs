//! The thread's side: writes chunks to files, counts failures and retries.
use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    Begins, Chunk, Closed, FileOptions, FilesError, RecorderId, Report,
    destination::Destination,
    earlier,
    name::Names,
    output_file::OutputFile,
    pack::Packer,
    replacement::Replacement,
    retention::{OwnFile, OwnFiles},
    status::Status,
};

/// How many taken names are skipped for the next number.
const TAKEN_NAMES: u64 = 100;

/// Writes chunks. No error ends it.
pub(super) struct Writer {
    packer: Packer,
    disk: Disk,
    /// Why nothing is written, as last reported.
    failing: Option<String>,
    status: Arc<Status>,
}

impl Writer {
    /// Creates the first file.
    ///
    /// # Errors
    /// When that fails. A FIFO without a reader is no error: writing begins once it has
    /// one.
    pub(super) fn new(
        options: FileOptions,
        destination: Destination,
        status: Arc<Status>,
    ) -> Result<Self, FilesError> {
        let packer = Packer::new(options.zstd)
            .map_err(|source| FilesError::Compress(destination.to_string().into(), source))?;
        let mut writer = Self {
            packer,
            disk: Disk::new(&options, destination, Arc::clone(&status)),
            failing: None,
            status,
        };
        match writer.disk.create(options.start, options.force) {
            Err(error @ FilesError::NoReader(_)) => writer.fail(error),
            Err(error) => return Err(error),
            Ok(output) => writer.disk.output = Some(output),
        }
        Ok(writer)
    }

    /// Writes a chunk, or counts its events.
    pub(super) fn take(&mut self, chunk: Chunk) {
        self.status.taken();
        // The caller counted its events when it gave up.
        if self.status.is_abandoned() {
            return;
        }
        if self.disk.is_discarded() {
            self.status.handled(&chunk.events);
            return;
        }
        self.disk.own.expire(Instant::now());
        if self.failing.is_none()
            && let Err(error) = self.disk.check()
        {
            self.fail(error);
        }
        if self.put(&chunk) {
            self.status.handled(&chunk.events);
        } else {
            self.status.not_written(&chunk.events);
        }
        self.status.recycle(chunk.bytes);
    }

    /// Deletes files that are too old.
    pub(super) fn expire(&mut self, now: Instant) {
        self.disk.own.expire(now);
    }

    /// The time until a file is too old.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Duration> {
        self.disk.own.next_expiry(now)
    }

    /// The earlier file that the first one is to replace, if there is one.
    pub(super) fn replacement(&self) -> Option<Replacement> {
        let aside = self.disk.output.as_ref()?.aside()?;
        Some(Replacement::new(Arc::clone(aside)))
    }

    /// Whether the first file may still have to replace an earlier one.
    pub(super) fn may_replace(&self) -> bool {
        let output = self.disk.output.as_ref();
        let aside = output.and_then(OutputFile::aside);
        aside.is_some_and(|aside| aside.is_open())
    }

    /// Ends the file; returns the totals.
    pub(super) fn close(&mut self) -> Closed {
        let output = self.disk.output.as_ref();
        if let Some(aside) = output.and_then(OutputFile::aside) {
            aside.end();
        }
        if self.disk.is_discarded() {
            let output = self.disk.output.take();
            return Closed {
                kept: output.map(|output| output.path().to_owned()),
                reports: self.status.reports(),
                ..Closed::default()
            };
        }
        self.disk.end();
        Closed {
            bytes: self.disk.bytes,
            files: self.disk.files,
            deleted: self.disk.own.deleted(),
            last: self.disk.last.take(),
            kept: None,
            reports: self.status.reports(),
        }
    }

    /// Whether the chunk was written.
    fn put(&mut self, chunk: &Chunk) -> bool {
        let is_retry = self.failing.is_some();
        if is_retry && chunk.begins == Begins::Nothing {
            return false;
        }
        let put = match self.packer.pack(&chunk.bytes) {
            Ok(bytes) => self.disk.put(chunk.begins, bytes, is_retry),
            Err(source) => Err(FilesError::Compress(
                self.disk.destination.to_string().into(),
                source,
            )),
        };
        match put {
            Ok(()) => {
                self.status.set_written(self.disk.bytes);
                self.resume();
            }
            Err(error) => self.fail(error),
        }
        self.failing.is_none()
    }

    fn resume(&mut self) {
        if self.failing.take().is_some() {
            self.status.set_failing(false);
            let path = self.disk.last.clone().unwrap_or_default();
            self.status.report(Report::Resumed { path });
        }
    }

    fn fail(&mut self, error: FilesError) {
        let reason = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        if self.failing.as_ref() != Some(&reason) {
            self.failing = Some(reason);
            self.status.set_failing(true);
            self.status.report(Report::Failed(error));
        }
    }
}

/// The files, written and ended.
struct Disk {
    destination: Destination,
    rotates: bool,
    /// The room to make when a file is begun, in bytes.
    file_bytes: u64,
    recorder: Option<RecorderId>,
    output: Option<OutputFile>,
    /// Whether the open file has reached its limit.
    is_at_limit: bool,
    own: OwnFiles,
    /// The number of the next file.
    number: u64,
    bytes: u64,
    files: u64,
    last: Option<PathBuf>,
    status: Arc<Status>,
}

impl Disk {
    fn new(options: &FileOptions, destination: Destination, status: Arc<Status>) -> Self {
        Self {
            destination,
            rotates: options.rotates,
            file_bytes: options.max_file_bytes.unwrap_or(0),
            recorder: options.recorder.clone(),
            output: None,
            is_at_limit: false,
            own: OwnFiles::new(options.keep, Arc::clone(&status)),
            number: 1,
            bytes: 0,
            files: 0,
            last: None,
            status,
        }
    }

    /// Whether the file that it writes was removed, since it is to replace nothing.
    fn is_discarded(&self) -> bool {
        let aside = self.output.as_ref().and_then(OutputFile::aside);
        aside.is_some_and(|aside| aside.is_discarded())
    }

    /// Checks that the file is unchanged. A file that lost its name is given up.
    fn check(&mut self) -> Result<(), FilesError> {
        let checked = self.output.as_ref().map_or(Ok(()), OutputFile::check);
        if let Err(FilesError::Moved(_)) = checked {
            self.output = None;
        }
        checked
    }

    /// Writes a whole chunk or nothing of it; retries once on a full disk after deleting
    /// old files.
    fn put(&mut self, begins: Begins, bytes: &[u8], is_retry: bool) -> Result<(), FilesError> {
        match self.try_put(begins, bytes, is_retry) {
            Err(error) if error.is_full() && self.own.free(bytes.len() as u64) => {
                self.try_put(begins, bytes, true)
            }
            result => result,
        }
    }

    fn try_put(&mut self, begins: Begins, bytes: &[u8], is_retry: bool) -> Result<(), FilesError> {
        let mut output = self.ready(begins, is_retry)?;
        let is_first = output.end() == 0;
        let written = if self.own.make_room(output.end(), bytes.len() as u64) {
            output.write(bytes)
        } else {
            Err(FilesError::NoRoom(output.path().to_owned()))
        };
        if let Err(error) = &written {
            self.is_at_limit = error.is_at_limit();
            self.output = self.keep_failed(output);
            return written;
        }
        self.bytes += bytes.len() as u64;
        if is_first {
            self.number += 1;
            self.files += 1;
            self.last = Some(output.path().to_owned());
            self.status.report(Report::Opened {
                path: output.path().to_owned(),
            });
        }
        self.output = Some(output);
        Ok(())
    }

    /// The output for the chunk: the same as before, or a new one.
    fn ready(&mut self, begins: Begins, is_retry: bool) -> Result<OutputFile, FilesError> {
        let is_used = self.output.as_ref().is_some_and(|output| output.end() > 0);
        if (begins == Begins::File || self.is_at_limit) && self.rotates && is_used {
            self.end();
        }
        let Some(mut output) = self.output.take() else {
            return self.begin();
        };
        if self.is_at_limit {
            let path = output.path().to_owned();
            self.output = Some(output);
            return Err(FilesError::at_limit(path));
        }
        if is_retry {
            match output.mend() {
                Ok(()) => {}
                Err(FilesError::Moved(_)) => return self.begin(),
                Err(error) => {
                    self.output = Some(output);
                    return Err(error);
                }
            }
        }
        Ok(output)
    }

    /// Opens the next file, skipping names that are taken.
    fn begin(&mut self) -> Result<OutputFile, FilesError> {
        let last = self.number + TAKEN_NAMES;
        loop {
            match self.create(Timestamp::now(), false) {
                Err(FilesError::Exists(_) | FilesError::Symlink(_) | FilesError::NotAFile(_))
                    if self.is_numbered() && self.number < last =>
                {
                    self.number += 1
                }
                started => return started,
            }
        }
    }

    /// Opens the output once there is room for a whole file.
    fn create(&mut self, start: Timestamp, force: bool) -> Result<OutputFile, FilesError> {
        let names = match &self.destination {
            Destination::Stdout => return OutputFile::stdout(),
            Destination::Stream(path) => return OutputFile::stream(path),
            Destination::Files(names) => names,
        };
        if let Some(recorder) = self.recorder.as_ref().filter(|_| self.own.has_limits()) {
            let earlier = earlier::find(recorder, names, |path| self.own.knows(path));
            self.own.add_earlier(earlier);
        }
        let path = names.path(self.number, start);
        if !self.own.make_room(0, self.file_bytes) {
            return Err(FilesError::NoRoom(path));
        }
        self.is_at_limit = false;
        OutputFile::create(path, force)
    }

    fn is_numbered(&self) -> bool {
        !matches!(self.destination, Destination::Files(Names::Exactly(_)))
    }

    /// Handles a file that could not be written: an empty one is removed, and a FIFO is
    /// reopened for its next reader.
    fn keep_failed(&self, output: OutputFile) -> Option<OutputFile> {
        match (output.own(), &self.destination) {
            // Its name is not free.
            _ if output.aside().is_some_and(|aside| aside.is_open()) => Some(output),
            (Some(identity), _) if output.end() == 0 => {
                if identity.at(output.path()).is_some() {
                    // If it remains, the next file has another number.
                    let _ = fs::remove_file(output.path());
                }
                None
            }
            (None, Destination::Stream(_)) => None,
            _ => Some(output),
        }
    }

    /// Ends the file; [`OwnFiles`] decides how long it is kept.
    fn end(&mut self) {
        let Some(output) = self.output.take() else {
            return;
        };
        if output.own().is_some() && output.end() == 0 {
            self.keep_failed(output);
            return;
        }
        if let Some(identity) = output.own() {
            self.own.push(OwnFile {
                path: output.path().to_owned(),
                identity,
                bytes: output.end(),
                ended_at: Instant::now(),
                is_stuck: false,
                is_earlier: false,
            });
        }
        output.finish();
    }
}
