//! The thread that takes dropped packets from their ring.
use std::{
    io,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};
use tokio::sync::mpsc;

use super::Drops;
use crate::{model::drop::KernelDrop, privilege, probe::restraint::yield_to_others};

/// Packets handed on at once, at most.
const BATCH: usize = 256;
/// Upper bound of the batches that wait for the consumer.
const QUEUE: usize = 4;

/// The running reader.
pub struct DropReader {
    stop: Arc<Stop>,
    thread: thread::JoinHandle<io::Result<Drops>>,
}

/// Tells the thread to end, even while it waits.
struct Stop {
    asked: AtomicBool,
    wake: EventFd,
}

impl DropReader {
    /// Starts the thread; dropped packets arrive at the receiver until it is stopped, in about
    /// the order of their times.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn spawn(drops: Drops) -> io::Result<(Self, mpsc::Receiver<Vec<KernelDrop>>)> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let stop = Arc::new(Stop {
            asked: AtomicBool::new(false),
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
        });
        let asked = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("drop-reader".into())
            .spawn(move || {
                privilege::keep(privilege::NONE).map_err(io::Error::other)?;
                yield_to_others();
                read(drops, &sender, &asked)
            })?;
        Ok((Self { stop, thread }, receiver))
    }

    /// Tells the thread to empty the ring and end; the receiver then closes.
    pub fn stop(&self) {
        self.stop.asked.store(true, Ordering::Release);
        // It can only fail if the counter is full, which wakes the thread too.
        let _ = self.stop.wake.write(1);
    }

    /// Waits for the end of a stopped reader whose receiver has closed; returns the counts.
    ///
    /// # Errors
    /// The error that ended it early.
    pub fn join(self) -> io::Result<Drops> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the reader of drops panicked")))
    }
}

fn read(
    mut drops: Drops,
    sender: &mpsc::Sender<Vec<KernelDrop>>,
    stop: &Stop,
) -> io::Result<Drops> {
    // A drop whose path has ended meanwhile corrects what was shown: its name must not be waited
    // for.
    drops.symbols.read();
    loop {
        // Read before the ring, so that everything before the stop is read.
        let stopping = stop.asked.load(Ordering::Acquire);
        loop {
            let batch: Vec<_> = std::iter::from_fn(|| drops.next()).take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            if sender.blocking_send(batch).is_err() {
                return Ok(drops);
            }
        }
        if stopping {
            return Ok(drops);
        }
        let ring = PollFd::new(drops.ring.as_fd(), PollFlags::POLLIN);
        let mut fds = [ring, PollFd::new(stop.wake.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
