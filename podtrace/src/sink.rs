//! Standard output, written by its own thread: a slow or stalled reader delays nothing else.
//!
//! The buffer is bounded. A replay waits for room in it. A live session never waits: it asks
//! how much room there is, and leaves packets out.
mod named;
pub(crate) mod screen;
pub(crate) mod status;

use std::{
    io::{self, IsTerminal as _, Write},
    os::fd::AsFd,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::sync::Notify;

use crate::{privilege, text::wrap::wrap};
pub(crate) use named::Named;

/// Upper bound of the unwritten bytes where the caller waits for room.
const WAITING_MAX: usize = 1 << 20;
/// Upper bound of the unwritten bytes of packets where no caller waits.
pub(crate) const LIVE_MAX: usize = 8 << 20;
/// Bytes that notices may take beyond [`LIVE_MAX`].
pub(crate) const NOTICES_MAX: usize = 1 << 20;
/// Bytes by which the buffer grows: doubling a long buffer would waste memory.
pub(crate) const MORE_BYTES: usize = 1 << 20;
/// Bytes written at once. The progress of the reader is known after each piece.
const PIECE_BYTES: usize = 64 << 10;
/// A status is shown again no sooner after text: it would flicker.
const STATUS_PAUSE: Duration = Duration::from_millis(250);
/// How a line of a message goes on.
const FURTHER: &str = "  ";
/// Pipe size that any user may set.
const PIPE_BYTES: i32 = 1 << 20;

/// A destination of text.
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

    /// Writes the text taken so far.
    ///
    /// # Errors
    /// When it cannot be written.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Writes the rest after the last text, and waits until it is written.
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

/// The caller waits for room.
impl TextSink for Sink {
    fn take(&mut self, text: &str) -> io::Result<()> {
        self.write_all(text.as_bytes())
    }

    fn close(&mut self) -> io::Result<()> {
        self.finish()
    }
}

/// Hands text to the thread that writes it.
pub(crate) struct Sink {
    shared: Arc<Shared>,
    /// Whether standard error is a terminal.
    has_terminal: bool,
    /// None once it was joined.
    thread: Option<JoinHandle<()>>,
}

/// Hands text to the thread without waiting, for the pipeline of a live session.
struct Handle(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Wakes the thread: there is text or a status, or no more will come.
    filled: Condvar,
    /// Wakes callers that wait for room: there is some, or the thread has ended.
    drained: Condvar,
    /// Bytes that are not written yet.
    waiting: AtomicUsize,
    /// The thread has ended.
    finished: Notify,
}

#[derive(Default)]
struct State {
    /// Text that the thread has not taken yet.
    text: Vec<u8>,
    /// The line below all text, on a terminal.
    status: String,
    is_status_new: bool,
    /// The status was not shown again after text.
    is_status_hidden: bool,
    /// No more text will come.
    is_closed: bool,
    has_ended: bool,
    /// Why the thread has ended early.
    error: Option<io::Error>,
}

impl Sink {
    /// Writes to standard output.
    pub(crate) fn stdout() -> io::Result<Self> {
        // Fails where it is no pipe or may not grow; it then stays as it is.
        let _ = fcntl(io::stdout().as_fd(), FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        let was_terminal = io::stdout().is_terminal();
        Self::spawn(Named::stdout(), was_terminal)
    }

    /// Writes to standard error, where standard output carries the recording.
    pub(crate) fn stderr() -> io::Result<Self> {
        let is_terminal = io::stderr().is_terminal();
        Self::spawn(Named::new("standard error", io::stderr()), is_terminal)
    }

    /// `is_terminal`: a hang-up counts as a reader that has left.
    fn spawn(out: impl Write + Send + 'static, is_terminal: bool) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
            waiting: AtomicUsize::new(0),
            finished: Notify::new(),
        });
        let thread = thread::Builder::new().name("output".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                // The main thread reports privileges that cannot be given up.
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

    /// Replaces the line below all text; an empty one removes it. Shown on standard error, on a
    /// terminal only.
    pub(crate) fn set_status(&self, status: String) {
        if !self.has_terminal {
            return;
        }
        self.shared.set_status(status);
    }

    /// [`Self::set_status`] as a function that outlives this borrow.
    pub(crate) fn status_line(&self) -> Box<dyn Fn(String) + Send> {
        let shared = Arc::clone(&self.shared);
        let has_terminal = self.has_terminal;
        Box::new(move |line| {
            if has_terminal {
                shared.set_status(line);
            }
        })
    }

    /// A sink for a pipeline that must not wait.
    pub(crate) fn handle(&self) -> Box<dyn TextSink> {
        Box::new(Handle(Arc::clone(&self.shared)))
    }

    /// No more text will come.
    pub(crate) fn stop_taking(&self) {
        self.shared.lock().is_closed = true;
        self.shared.filled.notify_one();
    }

    /// Waits until all text is written after [`Self::stop_taking`], or the reader has left.
    pub(crate) async fn finished(&self) {
        loop {
            let finished = self.shared.finished.notified();
            if self.shared.lock().has_ended {
                return;
            }
            finished.await;
        }
    }

    /// How many bytes are not written yet.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// Waits until all text is written.
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

/// The caller waits for room.
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

    /// The thread writes all text without a flush.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TextSink for Handle {
    fn room(&self) -> usize {
        LIVE_MAX.saturating_sub(self.0.waiting.load(Ordering::Relaxed))
    }

    /// Drops the text once the reader has left.
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
        state.is_status_new |= state.status != status || state.is_status_hidden;
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
        let mut text = Vec::new();
        // Whether the status is seen now, and when it was shown last.
        let (mut seen, mut shown) = (false, None::<Instant>);
        while let Some(line) = self.next(&mut text) {
            if seen {
                status::clear();
            }
            self.write_text(&mut out, &text)?;
            text.clear();
            text.shrink_to(MORE_BYTES);
            let is_due = shown.is_none_or(|shown| shown.elapsed() >= STATUS_PAUSE);
            seen = is_due && !line.is_empty();
            if seen {
                status::show(&line);
                shown = Some(Instant::now());
            }
            self.lock().is_status_hidden = !seen && !line.is_empty();
        }
        if seen {
            status::clear();
        }
        Ok(())
    }

    fn write_text(&self, out: &mut impl Write, text: &[u8]) -> io::Result<()> {
        for piece in text.chunks(PIECE_BYTES) {
            out.write_all(piece)?;
            out.flush()?;
            self.waiting.fetch_sub(piece.len(), Ordering::Relaxed);
            // Notifies under the lock, so that no waiting caller misses it.
            let _state = self.lock();
            self.drained.notify_all();
        }
        Ok(())
    }

    /// Waits for text or a new status. Takes all text and returns the status; none when no more
    /// will come.
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
        self.finished.notify_waiters();
    }
}

/// Prints a message on standard error, if that is still open.
pub(crate) fn tell(text: &str) {
    if screen::keep(text) {
        return;
    }
    let begin = if status::has_terminal() {
        status::CLEAR
    } else {
        ""
    };
    // A closed terminal leaves nowhere to report a failure.
    let _ = write!(io::stderr(), "{begin}{}", told(text, status::columns()));
}

/// A message as it is printed, in so many columns. What is quoted in lines of its own stays, as a
/// caret may stand below it.
fn told(text: &str, columns: Option<usize>) -> String {
    let mut out = String::from("podtrace: ");
    for (number, line) in text.lines().enumerate() {
        let begin = if number == 0 { 0 } else { out.len() };
        out.push_str(line);
        out.push('\n');
        if !line.starts_with(' ') {
            wrap(&mut out, begin, columns, FURTHER);
        }
    }
    out
}

/// Whether standard output is a pipe that nobody reads any more.
pub(crate) fn has_no_reader() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let polled = poll(&mut fds, PollTimeout::ZERO);
    polled.is_ok_and(|ready| ready > 0)
        && fds[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLERR))
}

/// Prints a message on standard error, if that does not block.
pub(crate) fn print_at_once(text: &str) {
    if screen::keep(text) {
        return;
    }
    let stderr = io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let is_ready = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
    if is_ready {
        // A failure has nowhere to be reported.
        let _ = (&stderr).write_all(told(text, status::columns()).as_bytes());
    }
}

#[cfg(test)]
mod tests;
