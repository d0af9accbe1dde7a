//! Standard output, written by a thread of its own: who reads it slowly, or not
//! at all, holds up nothing else.
//!
//! What waits to be written is bounded. A replay waits for room. A live session
//! never does: it asks how much room there is, and leaves packets out.
mod named;
pub(crate) mod status;

use std::{
    io::{self, IsTerminal as _, Write},
    os::fd::AsFd,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::sync::Notify;

use crate::privilege;
pub(crate) use named::Named;

/// Bytes that wait at most when the writer waits for room.
const WAITING_MAX: usize = 1 << 20;
/// Bytes that packets may fill when nobody waits.
pub(crate) const LIVE_MAX: usize = 8 << 20;
/// How much further than packets notices may fill it, in bytes.
pub(crate) const NOTICES_MAX: usize = 1 << 20;
/// Room that is made at once: not twice as much as there is, which can be long.
pub(crate) const MORE_BYTES: usize = 1 << 20;
/// Bytes written at once: as often it is known how far the reader is.
const PIECE_BYTES: usize = 64 << 10;
/// Size of a pipe that any user may have.
const PIPE_BYTES: i32 = 1 << 20;

/// Where text goes.
pub trait TextSink: Send {
    /// How many bytes packets may still fill.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// Takes text, room or not.
    ///
    /// # Errors
    /// When nothing can be written any more.
    fn take(&mut self, text: &str) -> io::Result<()>;

    /// Writes what was taken.
    ///
    /// # Errors
    /// When it cannot be written.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The same when nothing more will come, and waits until it is done.
    ///
    /// # Errors
    /// When it cannot be written.
    fn close(&mut self) -> io::Result<()> {
        self.flush()
    }
}

/// Takes all text, and waits until it is written.
pub struct Writer<W>(pub W);

impl<W: Write + Send> TextSink for Writer<W> {
    fn take(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Waits for room.
impl TextSink for Sink {
    fn take(&mut self, text: &str) -> io::Result<()> {
        self.write_all(text.as_bytes())
    }

    fn close(&mut self) -> io::Result<()> {
        self.finish()
    }
}

/// The end that text is handed to.
pub(crate) struct Sink {
    shared: Arc<Shared>,
    /// Whether standard error is a terminal.
    has_terminal: bool,
    /// None once its end was waited for.
    thread: Option<JoinHandle<()>>,
}

/// The same end for a pipeline.
struct Handle(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// For the thread: there is text, or no more will come.
    filled: Condvar,
    /// For who waits for room: there is some, or never will be.
    drained: Condvar,
    /// Bytes that are not written yet.
    waiting: AtomicUsize,
    /// The thread has ended.
    ended: Notify,
}

#[derive(Default)]
struct State {
    /// What the thread takes next.
    text: Vec<u8>,
    /// The line below all text, on a terminal.
    status: String,
    is_status_new: bool,
    /// No more will come.
    is_closed: bool,
    has_ended: bool,
    /// Why the thread has ended early.
    error: Option<io::Error>,
}

impl Sink {
    /// Writes to standard output.
    pub(crate) fn stdout() -> io::Result<Self> {
        // No pipe, or no wider one to be had: then it stays as it is.
        let _ = fcntl(io::stdout().as_fd(), FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        let was_terminal = io::stdout().is_terminal();
        Self::spawn(Named::stdout(), was_terminal)
    }

    /// Writes to standard error: standard output is taken.
    pub(crate) fn stderr() -> io::Result<Self> {
        let is_terminal = io::stderr().is_terminal();
        Self::spawn(Named::new("standard error", io::stderr()), is_terminal)
    }

    /// `is_terminal`: a terminal that hangs up is a reader that leaves.
    fn spawn(out: impl Write + Send + 'static, is_terminal: bool) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
            waiting: AtomicUsize::new(0),
            ended: Notify::new(),
        });
        let thread = thread::Builder::new().name("output".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                // What cannot be given up here is told by the main thread.
                let _ = privilege::keep(privilege::NONE);
                let written = shared.write_all(out);
                shared.end(written.map_err(|error| match error.raw_os_error() {
                    Some(libc::EIO) if is_terminal => io::ErrorKind::BrokenPipe.into(),
                    _ => error,
                }));
            }
        })?;
        Ok(Self {
            shared,
            has_terminal: status::has_terminal(),
            thread: Some(thread),
        })
    }

    /// Whether [`Self::set_status`] shows anything.
    pub(crate) fn has_terminal(&self) -> bool {
        self.has_terminal
    }

    /// Shows a line below all text, in the place of the one before; none if it
    /// is empty. On a terminal only, by standard error.
    pub(crate) fn set_status(&self, status: String) {
        if !self.has_terminal {
            return;
        }
        self.shared.set_status(status);
    }

    /// [`Self::set_status`] for somebody else.
    pub(crate) fn status_line(&self) -> Box<dyn Fn(String) + Send> {
        let shared = Arc::clone(&self.shared);
        let has_terminal = self.has_terminal;
        Box::new(move |line| {
            if has_terminal {
                shared.set_status(line);
            }
        })
    }

    /// For a pipeline that does not wait.
    pub(crate) fn handle(&self) -> Box<dyn TextSink> {
        Box::new(Handle(Arc::clone(&self.shared)))
    }

    /// No more will come.
    pub(crate) fn stop_taking(&self) {
        self.shared.lock().is_closed = true;
        self.shared.filled.notify_one();
    }

    /// Waits until all is written that came before it was closed, or the reader
    /// is gone.
    pub(crate) async fn ended(&self) {
        loop {
            let ended = self.shared.ended.notified();
            if self.shared.lock().has_ended {
                return;
            }
            ended.await;
        }
    }

    /// How many bytes are not written yet.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// When it could not be written, a broken pipe included.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.stop_taking();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            return Err(io::Error::other("the thread that writes has panicked"));
        }
        self.shared.lock().error.take().map_or(Ok(()), Err)
    }
}

/// Waits for room.
impl Write for Sink {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let is_full = |state: &mut State| !state.has_ended && self.waiting() >= WAITING_MAX;
        let state = self.shared.lock();
        let waited = self.shared.drained.wait_while(state, is_full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.has_ended {
            let error = state.error.take();
            return Err(error.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()));
        }
        self.shared.push(&mut state, text);
        Ok(text.len())
    }

    /// What was handed over is written without waiting for more.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TextSink for Handle {
    fn room(&self) -> usize {
        LIVE_MAX.saturating_sub(self.0.waiting.load(Ordering::Relaxed))
    }

    /// Once the reader is gone it goes nowhere.
    fn take(&mut self, text: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.has_ended {
            self.0.push(&mut state, text.as_bytes());
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_status(&self, status: String) {
        let mut state = self.lock();
        state.is_status_new |= state.status != status;
        state.status = status;
        self.filled.notify_one();
    }

    fn push(&self, state: &mut State, text: &[u8]) {
        if state.text.capacity() - state.text.len() < text.len() {
            state.text.reserve_exact(text.len().max(MORE_BYTES));
        }
        state.text.extend_from_slice(text);
        self.waiting.fetch_add(text.len(), Ordering::Relaxed);
        self.filled.notify_one();
    }

    /// The thread's work.
    fn write_all(&self, mut out: impl Write) -> io::Result<()> {
        let (mut text, mut line) = (Vec::new(), String::new());
        while let Some(new_line) = self.next(&mut text) {
            if !line.is_empty() {
                status::clear();
            }
            self.write_text(&mut out, &text)?;
            text.clear();
            text.shrink_to(MORE_BYTES);
            line = new_line;
            if !line.is_empty() {
                status::show(&line);
            }
        }
        if !line.is_empty() {
            status::clear();
        }
        Ok(())
    }

    fn write_text(&self, out: &mut impl Write, text: &[u8]) -> io::Result<()> {
        for piece in text.chunks(PIECE_BYTES) {
            out.write_all(piece)?;
            out.flush()?;
            self.waiting.fetch_sub(piece.len(), Ordering::Relaxed);
            // Under the lock: who waits for room is not missed.
            let _state = self.lock();
            self.drained.notify_all();
        }
        Ok(())
    }

    /// Waits for text and takes all of it, or for another status; returns the
    /// status, none when no more will come.
    fn next(&self, text: &mut Vec<u8>) -> Option<String> {
        let is_idle =
            |state: &mut State| state.text.is_empty() && !state.is_status_new && !state.is_closed;
        let waited = self.filled.wait_while(self.lock(), is_idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(text, &mut state.text);
        let has_more = !text.is_empty() || std::mem::take(&mut state.is_status_new);
        has_more.then(|| state.status.clone())
    }

    fn end(&self, written: io::Result<()>) {
        let mut state = self.lock();
        state.has_ended = true;
        state.error = written.err();
        self.drained.notify_all();
        self.ended.notify_waiters();
    }
}

/// Says something on standard error, if that is still there.
pub(crate) fn tell(text: &str) {
    let begin = if status::has_terminal() {
        status::CLEAR
    } else {
        ""
    };
    // Nobody is there to be told when the terminal is gone.
    let _ = writeln!(io::stderr(), "{begin}podtrace: {text}");
}

/// Says something on standard error, if it is taken at once.
pub(crate) fn print_at_once(text: &str) {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let is_ready = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
    if is_ready {
        // Nobody is there to be told that nobody is there.
        let _ = writeln!(&stderr, "podtrace: {text}");
    }
}

#[cfg(test)]
mod tests;
