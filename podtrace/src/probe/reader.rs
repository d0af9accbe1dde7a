//! The reader: a thread that moves records from the CPUs' rings into batches, in
//! order of time.
//!
//! It decodes nothing but looks the sockets' cgroups up as soon as a record
//! shows them: a container that dies right after its first packets takes its
//! cgroup along. When the consumer is behind, the bounded queue fills,
//! the reader waits, and the rings fill: then the kernel counts what is lost,
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
};
use crate::{clock::monotonic_ns, model::loss::LostBy, privilege};

/// A batch is handed on when it has this many bytes.
pub(crate) const BATCH_BYTES: usize = 256 << 10;
/// What a batch may have beyond that.
pub(crate) const ROOM_BYTES: usize = 16 << 10;
/// Batches waiting for the consumer, at most: the cgroups in them were looked up in
/// time.
pub const QUEUE_BATCHES: usize = 24;
/// Pause between two looks at the rings while packets flow.
const INTERVAL_MS: u8 = 5;
/// Looks without a record until the reader asks to be woken and sleeps.
const IDLE_ROUNDS: u32 = 4;
/// The longest sleep.
const SLEEP_MS: u16 = 10_000;

/// The running reader.
pub struct RingReader {
    stop: Arc<Stop>,
    thread: thread::JoinHandle<io::Result<()>>,
}

/// Tells the thread to end, also while it sleeps.
struct Stop {
    asked: AtomicBool,
    wake: EventFd,
    /// Whether the reader has waited for its share of the processors.
    has_paused: AtomicBool,
    /// Whether it has waited since it last took all there was.
    is_behind: AtomicBool,
}

impl RingReader {
    /// Starts the thread; batches arrive at the receiver until it is stopped.
    /// `look_up` is to answer fast. `cpu_limit`: percent of one processor that the
    /// process takes at most; beyond it the reader waits, and the rings lose.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn spawn(
        channel: Channel,
        look_up: Box<dyn LookUp>,
        cpu_limit: Option<u32>,
    ) -> io::Result<(Self, mpsc::Receiver<Batch>)> {
        // What waits in the queue is to be worked off before it shows in the time taken.
        let queue = cpu_limit.map_or(QUEUE_BATCHES, |_| 1);
        let (sender, receiver) = mpsc::channel(queue);
        let stop = Arc::new(Stop {
            asked: AtomicBool::new(false),
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            has_paused: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
        });
        let asked = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("ring-reader".into())
            .spawn(move || {
                privilege::keep(privilege::READ).map_err(io::Error::other)?;
                yield_to_others();
                let limit = cpu_limit.map(Limit::new).transpose()?;
                read(channel, Cgroups::new(look_up), &sender, &asked, limit)
            })?;
        Ok((Self { stop, thread }, receiver))
    }

    /// Asks the thread to drain what is left and end; the receiver then closes.
    pub fn stop(&self) {
        self.stop.asked.store(true, Ordering::Release);
        // It can only fail when it is full, and then it wakes the thread too.
        let _ = self.stop.wake.write(1);
    }

    /// Whether it has waited, since it was asked last, for its share of the processors.
    pub fn has_paused(&self) -> bool {
        self.stop.has_paused.swap(false, Ordering::Relaxed)
    }

    /// Whether records wait in the rings since it waited for its share of the processors:
    /// then time has passed only as far as the records tell that were handed on.
    pub fn is_behind(&self) -> bool {
        self.stop.is_behind.load(Ordering::Acquire)
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
        // Read before looking, so that what came before the stop is seen.
        let stopping = stop.asked.load(Ordering::Acquire);
        let until_ns = if stopping { u64::MAX } else { monotonic_ns()? };
        channel.rings.look(until_ns)?;
        let mut lost = Some(LostBy {
            until_ns,
            records: channel.lost()?,
            read_ns: monotonic_ns()?,
        });
        let mut is_idle = true;
        let mut has_waited = false;
        loop {
            let note = |begin: &Begin| cgroups.note(begin);
            channel.rings.take(&mut bytes, BATCH_BYTES, note)?;
            // The last look tells of losses even if it has no record.
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
                has_waited |= stop.pause_within(limit)?;
            }
        }
        if !has_waited {
            stop.is_behind.store(false, Ordering::Release);
        }
        if stopping {
            return Ok(());
        }
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
    /// Waits until the process has its share of the processors again, or is to stop;
    /// whether it had to.
    fn pause_within(&self, limit: &mut Limit) -> io::Result<bool> {
        let mut has_waited = false;
        while !self.asked.load(Ordering::Acquire)
            && let Some(pause) = limit.pause()?
        {
            has_waited = true;
            self.has_paused.store(true, Ordering::Relaxed);
            self.is_behind.store(true, Ordering::Release);
            let mut fds = [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(has_waited)
    }
}

/// What was taken.
fn batch(bytes: &mut BytesMut, cgroups: &mut Cgroups) -> Batch {
    // Room for the record that fills it: growing would double it.
    let next = BytesMut::with_capacity(BATCH_BYTES + ROOM_BYTES);
    let mut batch = Batch::new(std::mem::replace(bytes, next).freeze());
    batch.cgroups = std::mem::take(&mut cgroups.new);
    batch.forgets_cgroups = std::mem::take(&mut cgroups.forgets);
    batch
}

impl Channel {
    /// How many packets found no room by now.
    fn lost(&self) -> io::Result<u64> {
        let without_ring = self.lost.get(&0, 0).map_err(io::Error::other)?;
        Ok(self.rings.lost() + without_ring)
    }

    /// Waits until the kernel side wakes the reader, or a stop is asked for.
    fn wait(&mut self, timeout: PollTimeout, stop: &EventFd) -> io::Result<()> {
        let wake = PollFd::new(self.wake.as_fd(), PollFlags::POLLIN);
        let mut fds = [wake, PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // There is never a record, but room to be given back.
        while self.wake.next().is_some() {}
        Ok(())
    }
}
