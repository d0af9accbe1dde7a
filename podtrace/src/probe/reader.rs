//! The reader: a thread that moves records from the CPUs' rings into batches, in order of
//! time.
//!
//! It decodes nothing, but looks up the sockets' cgroups at once: a container that dies right
//! after its first packets takes its cgroup along. If the consumer is behind, the bounded
//! queue fills, the reader waits, and the rings fill: then the kernel counts the lost packets
//! per tap, so that nothing has to be counted twice.
use std::{
    io,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use bytes::BytesMut;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};
use podtrace_ebpf::record::Begin;
use tokio::sync::mpsc;

use super::{
    batch::Batch,
    cgroups::{Cgroups, LookUp},
    load::Channel,
    restraint::{Limit, yield_to_others},
    rings::Levels,
};
use crate::{clock::monotonic_ns, model::loss::LostBy, privilege};

/// A batch of this many bytes is handed on.
pub(crate) const BATCH_BYTES: usize = 256 << 10;
/// Additional room of a batch.
pub(crate) const ROOM_BYTES: usize = 16 << 10;
/// Upper bound of the batches that wait for the consumer; their cgroups were looked up
/// already.
pub const QUEUE_BATCHES: usize = 24;
/// Pause between two reads of the rings while packets flow.
const INTERVAL_MS: u8 = 5;
/// Reads without a record before the reader sleeps until it is woken.
const IDLE_ROUNDS: u32 = 4;
/// The longest sleep.
const SLEEP_MS: u16 = 10_000;

/// The running reader.
pub struct RingReader {
    stop: Arc<Stop>,
    levels: Levels,
    thread: thread::JoinHandle<io::Result<()>>,
}

/// Tells the thread to end, even while it sleeps.
struct Stop {
    asked: AtomicBool,
    wake: EventFd,
    /// Whether the reader has waited for its share of the CPU time.
    has_paused: AtomicBool,
    /// Whether it may have taken records that it has not handed on yet.
    is_busy: AtomicBool,
    /// Time until which it has handed on all records.
    handed_on_ns: AtomicU64,
}

impl RingReader {
    /// Starts the thread; batches arrive at the receiver until it is stopped. `look_up` must
    /// be fast. `cpu_limit`: upper bound of the process's CPU time in percent of one
    /// processor; beyond it the reader waits, and the rings lose records.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn spawn(
        channel: Channel,
        look_up: Box<dyn LookUp>,
        cpu_limit: Option<u32>,
    ) -> io::Result<(Self, mpsc::Receiver<Batch>)> {
        // The queue is short, as its batches show in the CPU time only when they are
        // processed.
        let queue = cpu_limit.map_or(QUEUE_BATCHES, |_| 1);
        let (sender, receiver) = mpsc::channel(queue);
        let stop = Arc::new(Stop {
            asked: AtomicBool::new(false),
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            has_paused: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            handed_on_ns: AtomicU64::new(0),
        });
        let asked = Arc::clone(&stop);
        let levels = channel.rings.levels();
        let thread = thread::Builder::new()
            .name("ring-reader".into())
            .spawn(move || {
                privilege::keep(privilege::READ).map_err(io::Error::other)?;
                yield_to_others();
                let limit = cpu_limit.map(Limit::new).transpose()?;
                read(channel, Cgroups::new(look_up), &sender, &asked, limit)
            })?;
        let reader = Self {
            stop,
            levels,
            thread,
        };
        Ok((reader, receiver))
    }

    /// Tells the thread to drain the rings and end; the receiver then closes.
    pub fn stop(&self) {
        self.stop.asked.store(true, Ordering::Release);
        // It can only fail if the counter is full, which wakes the thread too.
        let _ = self.stop.wake.write(1);
    }

    /// Whether it has waited for its share of the CPU time since the last call.
    pub fn has_paused(&self) -> bool {
        self.stop.has_paused.swap(false, Ordering::Relaxed)
    }

    /// The time until which all records are handed on: `now_ns`, a time before this call, if
    /// none is left. A busy machine may let the reader wait for longer than any fixed time.
    pub fn handed_on_ns(&self, now_ns: u64) -> u64 {
        // In this order: it is busy from before it takes a record until after it hands it on.
        if self.levels.are_taken() && !self.stop.is_busy.load(Ordering::Acquire) {
            return now_ns;
        }
        self.stop.handed_on_ns.load(Ordering::Acquire)
    }

    /// Waits for the end of a stopped reader whose receiver has closed.
    ///
    /// # Errors
    /// The error that ended it early.
    pub fn join(self) -> io::Result<()> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the ring reader panicked")))
    }
}

fn read(
    mut channel: Channel,
    mut cgroups: Cgroups,
    sender: &mpsc::Sender<Batch>,
    stop: &Stop,
    mut limit: Option<Limit>,
) -> io::Result<()> {
    let mut idle = 0;
    let mut bytes = BytesMut::new();
    loop {
        // Read before the rings, so that everything before the stop is read.
        let stopping = stop.asked.load(Ordering::Acquire);
        let until_ns = if stopping { u64::MAX } else { monotonic_ns()? };
        stop.is_busy.store(true, Ordering::Release);
        channel.rings.refresh(until_ns)?;
        let mut lost = Some(LostBy {
            until_ns,
            records: channel.lost()?,
            read_ns: monotonic_ns()?,
        });
        let mut is_idle = true;
        loop {
            let on_begin = |begin: &Begin| cgroups.record(begin);
            channel.rings.take(&mut bytes, BATCH_BYTES, on_begin)?;
            // The last batch reports losses even if it has no record.
            if bytes.is_empty() && !(stopping && lost.is_some()) {
                break;
            }
            is_idle = false;
            let mut batch = batch(&mut bytes, &mut cgroups);
            batch.lost = lost.take();
            if sender.blocking_send(batch).is_err() {
                return Ok(());
            }
            if let Some(limit) = &mut limit {
                stop.pause_within(limit)?;
            }
        }
        if stopping {
            return Ok(());
        }
        stop.handed_on_ns.store(until_ns, Ordering::Release);
        stop.is_busy.store(false, Ordering::Release);
        idle = if is_idle { idle + 1 } else { 0 };
        if idle < IDLE_ROUNDS {
            channel.rings.wake_when_filled();
            channel.wait(PollTimeout::from(INTERVAL_MS), &stop.wake)?;
        } else if channel.rings.wake_at_once() {
            channel.wait(PollTimeout::from(SLEEP_MS), &stop.wake)?;
        }
    }
}

impl Stop {
    /// Waits until the process has its share of the CPU time again, or is told to stop.
    fn pause_within(&self, limit: &mut Limit) -> io::Result<()> {
        while !self.asked.load(Ordering::Acquire)
            && let Some(pause) = limit.pause()?
        {
            self.has_paused.store(true, Ordering::Relaxed);
            let mut fds = [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

/// Takes the batch.
fn batch(bytes: &mut BytesMut, cgroups: &mut Cgroups) -> Batch {
    // Reserves room for the record that fills it: growing would double the buffer.
    let next = BytesMut::with_capacity(BATCH_BYTES + ROOM_BYTES);
    let mut batch = Batch::new(std::mem::replace(bytes, next).freeze());
    batch.cgroups = std::mem::take(&mut cgroups.new);
    batch.forgets_cgroups = std::mem::take(&mut cgroups.forgets);
    batch
}

impl Channel {
    /// The number of packets lost so far.
    fn lost(&self) -> io::Result<u64> {
        let without_ring = self.lost.get(&0, 0).map_err(io::Error::other)?;
        Ok(self.rings.lost() + without_ring)
    }

    /// Waits until the kernel side or a stop wakes the reader.
    fn wait(&mut self, timeout: PollTimeout, stop: &EventFd) -> io::Result<()> {
        let wake = PollFd::new(self.wake.as_fd(), PollFlags::POLLIN);
        let mut fds = [wake, PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // There is never a record, only room to be freed.
        while self.wake.next().is_some() {}
        Ok(())
    }
}
