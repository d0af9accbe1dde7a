//! A request to end early. It also wakes a reader that waits for input.
use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

/// A request to end early, shared by the requester and the receiver. The default is never
/// requested.
#[derive(Clone, Debug, Default)]
pub struct Stop(Option<Arc<Request>>);

#[derive(Debug)]
struct Request {
    is_set: AtomicBool,
    /// Readable once it is set.
    wake: EventFd,
}

impl Stop {
    /// A request that [`Self::set`] makes.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn new() -> io::Result<Self> {
        let request = Request {
            is_set: AtomicBool::new(false),
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
        };
        Ok(Self(Some(Arc::new(request))))
    }

    /// Asks to end.
    pub fn set(&self) {
        let Some(request) = &self.0 else { return };
        request.is_set.store(true, Ordering::Relaxed);
        // It fails only where the descriptor is readable already.
        let _ = request.wake.write(1);
    }

    /// Whether to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        let request = self.0.as_ref();
        request.is_some_and(|request| request.is_set.load(Ordering::Relaxed))
    }

    /// Waits until the input has bytes or has ended; false if asked to end.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait_for(&self, input: BorrowedFd<'_>) -> io::Result<bool> {
        while !self.is_set() {
            if self.wait(Some(input), PollTimeout::NONE)? {
                return Ok(!self.is_set());
            }
        }
        Ok(false)
    }

    /// Sleeps for that time, or until asked to end.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn sleep(&self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_set() {
                return Ok(());
            }
            // Rounded up: the last millisecond would be spent awake.
            let millis = left.as_millis() + 1;
            let millis = i32::try_from(millis).unwrap_or(i32::MAX);
            self.wait(
                None,
                PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX),
            )?;
        }
    }

    /// Waits; false if nothing has happened.
    fn wait(&self, input: Option<BorrowedFd<'_>>, timeout: PollTimeout) -> io::Result<bool> {
        let wake = self.0.as_ref().map(|request| request.wake.as_fd());
        let fds = input.into_iter().chain(wake);
        let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, thread};

    use super::*;

    #[test]
    fn silent_input_is_left_once_asked() {
        let (reader, mut writer) = io::pipe().unwrap();
        let stop = Stop::new().unwrap();
        writer.write_all(b"x").unwrap();
        assert!(stop.wait_for(reader.as_fd()).unwrap());
        let (reader, _silent) = io::pipe().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| stop.set());
            assert!(!stop.wait_for(reader.as_fd()).unwrap());
        });
        stop.set();
        assert!(stop.is_set());
        stop.sleep(Duration::from_secs(3600)).unwrap();
    }

    #[test]
    fn default_stop_is_never_set() {
        let stop = Stop::default();
        stop.set();
        assert!(!stop.is_set());
    }
}
