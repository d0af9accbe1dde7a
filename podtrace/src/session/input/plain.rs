//! A file, device, pipe or standard input, whose reading ends on request.
use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::Path,
};

use super::Source;
use crate::signals::Stop;

/// An input without compression.
pub(super) struct Plain {
    file: File,
    stop: Stop,
}

impl Plain {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path, stop: &Stop) -> io::Result<Self> {
        let file = if path.as_os_str() == "-" {
            io::stdin().as_fd().try_clone_to_owned()?.into()
        } else {
            // Opening a FIFO does not wait for a writer; reading does.
            let mut options = OpenOptions::new();
            let options = options.read(true).custom_flags(libc::O_NONBLOCK);
            let file = options.open(path)?;
            if file.metadata()?.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            file
        };
        Ok(Self::of(file, stop))
    }

    /// Takes a pipe that another thread writes to; reading it must not wait.
    pub(super) fn of(file: File, stop: &Stop) -> Self {
        let stop = stop.clone();
        Self { file, stop }
    }
}

impl Read for Plain {
    /// The input ends once `stop` is set.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.stop.wait_for(self.file.as_fd())? {
            match self.file.read(out) {
                // Another process has consumed the bytes.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
        Ok(0)
    }
}

impl Source for Plain {}
