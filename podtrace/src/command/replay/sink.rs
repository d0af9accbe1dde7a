//! Standard output, written by a thread of its own: whoever reads it and we
//! work at the same time.
use std::{
    io::{self, Write},
    os::fd::AsFd as _,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use nix::fcntl::{FcntlArg, fcntl};

/// Texts that wait to be written at most.
const QUEUE: usize = 4;
/// Size of a pipe that any user may have.
const PIPE_BYTES: i32 = 1 << 20;

/// The writing end.
pub(super) struct Sink {
    /// None once it has ended.
    texts: Option<SyncSender<Vec<u8>>>,
    /// Buffers used before.
    spare: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Sink {
    /// Writes to standard output.
    pub(super) fn stdout() -> io::Result<Self> {
        // No pipe, or no wider one to be had: then it stays as it is.
        let _ = fcntl(io::stdout().as_fd(), FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        let (texts, queue) = sync_channel::<Vec<u8>>(QUEUE);
        let (give_back, spare) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("output".into())
            .spawn(move || {
                let mut stdout = io::stdout().lock();
                for text in queue {
                    stdout.write_all(&text)?;
                    stdout.flush()?;
                    // Enough of them are under way already.
                    let _ = give_back.try_send(text);
                }
                Ok(())
            })?;
        Ok(Self {
            texts: Some(texts),
            spare,
            thread: Some(thread),
        })
    }

    /// Waits until all is written.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.texts = None;
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that writes has panicked")))
    }
}

impl Write for Sink {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut buffer = self.spare.try_recv().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(text);
        let sent = self.texts.as_ref().map(|texts| texts.send(buffer));
        if !matches!(sent, Some(Ok(()))) {
            // It ended early: it says why.
            self.finish()?;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(text.len())
    }

    /// What was handed over is written without waiting for more.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
