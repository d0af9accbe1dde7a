//! The reader: a thread that moves records from the ring into batches.
//!
//! It decodes nothing. When the consumer is behind, the bounded queue fills,
//! the reader waits, and the ring fills: then the kernel counts what is lost,
//! per tap, and nothing needs to be counted twice.
use std::{
    io,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use tokio::sync::mpsc;

use super::load::Channel;

/// A batch is handed on when it has this many bytes.
const BATCH_BYTES: usize = 256 << 10;
/// Batches waiting for the consumer, at most.
const QUEUE_BATCHES: usize = 64;
/// Pause between two looks at the ring while packets flow.
const INTERVAL_MS: u8 = 5;
/// Looks without a record until the reader asks to be woken and sleeps.
const IDLE_ROUNDS: u32 = 4;
/// The longest sleep: how late a stop may be noticed.
const SLEEP_MS: u16 = 100;

/// Records as they were in the ring, in order, each behind its length.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
}

impl Batch {
    /// The records' bytes.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (len, tail) = rest.split_first_chunk()?;
            let (record, tail) = tail.split_at_checked(u32::from_ne_bytes(*len) as usize)?;
            rest = tail;
            Some(record)
        })
    }
}

/// The running reader.
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl Reader {
    /// Starts the thread; batches arrive at the receiver until it is stopped.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn spawn(channel: Channel) -> io::Result<(Self, mpsc::Receiver<Batch>)> {
        let (sender, receiver) = mpsc::channel(QUEUE_BATCHES);
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("ring-reader".into())
            .spawn(move || read(channel, &sender, &flag))?;
        Ok((Self { stop, thread }, receiver))
    }

    /// Asks the thread to drain what is left and end; the receiver then closes.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Waits for the end of a stopped reader whose receiver has closed.
    ///
    /// # Errors
    /// What made it end early.
    pub fn join(self) -> io::Result<()> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the ring reader panicked")))
    }
}

fn read(mut channel: Channel, sender: &mpsc::Sender<Batch>, stop: &AtomicBool) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    // Edge-triggered: level-triggered, every record would end the pause.
    let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
    epoll.add(channel.ring.as_fd(), event)?;
    let mut idle = 0;
    loop {
        // Read before draining, so that what came before the stop is drained.
        let stopping = stop.load(Ordering::Acquire);
        let mut empty = true;
        while let Some(batch) = drain(&mut channel) {
            empty = false;
            if sender.blocking_send(batch).is_err() {
                return Ok(());
            }
        }
        if stopping {
            return Ok(());
        }
        idle = if empty { idle + 1 } else { 0 };
        if idle < IDLE_ROUNDS {
            let mut events = [EpollEvent::empty()];
            ignore_interrupt(epoll.wait(&mut events, EpollTimeout::from(INTERVAL_MS)))?;
        } else {
            sleep(&mut channel)?;
        }
    }
}

/// Takes up to one batch from the ring; none when it is empty.
fn drain(channel: &mut Channel) -> Option<Batch> {
    let first = channel.ring.next()?;
    let mut bytes = BytesMut::with_capacity(first.len() + 4);
    put(&mut bytes, &first);
    drop(first);
    while bytes.len() < BATCH_BYTES {
        let Some(record) = channel.ring.next() else {
            break;
        };
        put(&mut bytes, &record);
    }
    Some(Batch {
        bytes: bytes.freeze(),
    })
}

/// Appends the record without the unused end of its size class.
fn put(bytes: &mut BytesMut, record: &[u8]) {
    let used = podtrace_ebpf::record::Record::used(record);
    bytes.put_u32_ne(u32::try_from(used.len()).unwrap_or(u32::MAX));
    bytes.put_slice(used);
}

/// Sleeps until a program sees the wake flag.
///
/// `poll` looks at the ring after registering, records still being written
/// included: either it sees the record or the program sees the flag.
fn sleep(channel: &mut Channel) -> io::Result<()> {
    channel.wake.set(0, 1, 0).map_err(io::Error::other)?;
    let mut fds = [PollFd::new(channel.ring.as_fd(), PollFlags::POLLIN)];
    ignore_interrupt(poll(&mut fds, PollTimeout::from(SLEEP_MS)))?;
    channel.wake.set(0, 0, 0).map_err(io::Error::other)?;
    Ok(())
}

fn ignore_interrupt<T>(result: nix::Result<T>) -> io::Result<()> {
    match result {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
