//! Write errors that name the destination.
use std::io::{self, Write};

use thiserror::Error;

/// A failed write.
#[derive(Debug, Error)]
#[error("failed to write to {to}")]
struct NotWritten {
    to: String,
    source: io::Error,
}

/// A writer whose errors name its destination. They keep their kind.
pub(crate) struct Named<W> {
    to: String,
    out: W,
}

impl<W> Named<W> {
    pub(crate) fn new(to: impl Into<String>, out: W) -> Self {
        Self { to: to.into(), out }
    }

    fn name<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|source| match source.kind() {
            // The caller retries.
            io::ErrorKind::Interrupted => source,
            kind => {
                let to = self.to.clone();
                io::Error::new(kind, NotWritten { to, source })
            }
        })
    }
}

impl Named<io::Stdout> {
    pub(crate) fn stdout() -> Self {
        Self::new("standard output", io::stdout())
    }
}

impl<W: Write> Write for Named<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.name(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.name(flushed)
    }
}
