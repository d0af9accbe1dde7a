//! The file being written.
use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    FilesError,
    identity::Identity,
    open::{self, Created},
    replacement::Aside,
};

/// The open output. It always ends after a complete chunk, even after an error.
#[derive(Debug)]
pub(super) struct OutputFile {
    file: File,
    /// The name that it has, or is to have.
    path: PathBuf,
    /// Its present name, if it is to replace an earlier file.
    aside: Option<Arc<Aside>>,
    kind: Kind,
    /// The bytes written.
    end: u64,
    /// Whether part of a chunk may follow the end.
    torn: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A file that the session created.
    Own(Identity),
    /// A file given as the standard output.
    Given,
    /// A pipe or device: written bytes cannot be cut.
    Stream,
    /// The same, given as the standard output: nobody can open it again.
    GivenStream,
}

impl OutputFile {
    /// Creates a file.
    pub(super) fn create(path: PathBuf, force: bool) -> Result<Self, FilesError> {
        let Created {
            file,
            identity,
            aside,
        } = open::create(&path, force)?;
        Ok(Self {
            aside,
            ..Self::new(file, path, Kind::Own(identity))
        })
    }

    /// Opens a FIFO or device.
    pub(super) fn stream(path: &Path) -> Result<Self, FilesError> {
        let file = open::open_stream(path)?;
        Ok(Self::new(file, path.to_owned(), Kind::Stream))
    }

    /// Takes the standard output.
    pub(super) fn stdout() -> Result<Self, FilesError> {
        let path = Path::new("standard output");
        let file = io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| FilesError::system("write to", path, error))?;
        Self::given(File::from(file), path)
    }

    /// Uses an open file, pipe or other descriptor.
    pub(super) fn given(file: File, path: &Path) -> Result<Self, FilesError> {
        let metadata = file
            .metadata()
            .map_err(|error| FilesError::system("inspect", path, error))?;
        let kind = if metadata.is_file() {
            Kind::Given
        } else {
            Kind::GivenStream
        };
        Ok(Self::new(file, path.to_owned(), kind))
    }

    fn new(file: File, path: PathBuf, kind: Kind) -> Self {
        Self {
            file,
            path,
            aside: None,
            kind,
            end: 0,
            torn: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes written.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// What it has as its name until it replaces an earlier file, if it is to.
    pub(super) fn aside(&self) -> Option<&Arc<Aside>> {
        self.aside.as_ref()
    }

    /// The identity of the file, if the session created it.
    pub(super) fn own(&self) -> Option<Identity> {
        match self.kind {
            Kind::Own(identity) => Some(identity),
            Kind::Given | Kind::Stream | Kind::GivenStream => None,
        }
    }

    /// Whether the file still has its name and only the bytes that the session wrote.
    pub(super) fn check(&self) -> Result<(), FilesError> {
        match self.len()? {
            Some(len) if len != self.end => Err(FilesError::Changed(self.path.clone())),
            _ => Ok(()),
        }
    }

    /// Recovers from an error: cuts everything behind the end.
    pub(super) fn mend(&mut self) -> Result<(), FilesError> {
        match self.len()? {
            // Another process has copied and then emptied it (logrotate's copytruncate).
            Some(0) => self.end = 0,
            Some(len) if len < self.end => return Err(FilesError::Changed(self.path.clone())),
            Some(_) => {}
            // A file with an unknown end keeps the partial chunk for good.
            None if self.torn => return Err(FilesError::Changed(self.path.clone())),
            None => return Ok(()),
        }
        self.cut(self.end)
            .map_err(|error| FilesError::system("truncate", &self.path, error))
    }

    /// Writes everything or, as far as readers of the file can see, nothing.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.write_some(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) => {
                    self.take_back(bytes.len() - rest.len());
                    return Err(self.not_written(error));
                }
            }
        }
        if self.end == 0
            && let Err(error) = self.take_place()
        {
            self.take_back(bytes.len());
            return Err(error);
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn not_written(&self, error: io::Error) -> FilesError {
        let is_closed = error.kind() == io::ErrorKind::BrokenPipe;
        if is_closed && self.kind == Kind::GivenStream {
            return FilesError::OutputClosed(error);
        }
        FilesError::system("write to", &self.path, error)
    }

    /// Tells a file that is to replace another that something is written: then a power cut must
    /// not find both gone.
    fn take_place(&self) -> Result<(), FilesError> {
        let Some(aside) = &self.aside else {
            return Ok(());
        };
        self.file
            .sync_data()
            .map_err(|error| FilesError::system("write to", &self.path, error))?;
        aside.written()
    }

    /// Ends it, and removes a partial chunk that an error may have left.
    pub(super) fn finish(mut self) {
        if self.torn {
            // This is the last attempt.
            let _ = self.cut(self.end);
        }
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            // A standard output shared with a process that made it nonblocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
                poll(&mut fds, PollTimeout::NONE)?;
                Ok(0)
            }
            result => result,
        }
    }

    /// Removes the partial chunk that was written before an error.
    fn take_back(&mut self, written: usize) {
        let cut = match self.kind {
            Kind::Own(_) => self.cut(self.end),
            Kind::Given if written > 0 => self
                .file
                .stream_position()
                .and_then(|position| self.cut(position.saturating_sub(written as u64))),
            Kind::Given | Kind::Stream | Kind::GivenStream => Ok(()),
        };
        self.torn = cut.is_err();
    }

    fn cut(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end))?;
        self.torn = false;
        Ok(())
    }

    /// The length of the output, if it is a regular file.
    fn len(&self) -> Result<Option<u64>, FilesError> {
        let Kind::Own(identity) = self.kind else {
            return Ok(None);
        };
        let found = match &self.aside {
            // It has no name any more.
            Some(aside) if aside.is_discarded() => self.file.metadata().ok(),
            Some(aside) => aside.with_path(|path| identity.at(path)),
            None => identity.at(&self.path),
        };
        match found {
            Some(metadata) => Ok(Some(metadata.len())),
            None => Err(FilesError::Moved(self.path.clone())),
        }
    }
}
