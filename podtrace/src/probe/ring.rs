//! The reader: a thread that moves records from the ring into batches.
//!
//! It decodes nothing but looks the sockets' cgroups up as soon as a record
//! shows them: a container that dies right after its first packets takes its
//! cgroup along. When the consumer is behind, the bounded queue fills,
//! the reader waits, and the ring fills: then the kernel counts what is lost,
//! per tap, and nothing needs to be counted twice.
use std::{
    collections::HashSet,
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
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
    },
};
use podtrace_ebpf::record::{CGROUP_NONE, CGROUP_ROOT, HEADER_LEN, Record};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::load::Channel;
use crate::identity::cgroupfs::CgroupPath;

/// A batch is handed on when it has this many bytes.
pub(crate) const BATCH_BYTES: usize = 256 << 10;
/// What a batch may have beyond that.
pub(crate) const ROOM_BYTES: usize = 16 << 10;
/// Batches waiting for the consumer, at most: the cgroups in them were looked up in
/// time.
pub const QUEUE_BATCHES: usize = 24;
/// Pause between two looks at the ring while packets flow.
const INTERVAL_MS: u8 = 5;
/// Looks without a record until the reader asks to be woken and sleeps.
const IDLE_ROUNDS: u32 = 4;
/// The longest sleep.
const SLEEP_MS: u16 = 10_000;

/// Cgroups remembered at most; beyond it all are looked up anew.
pub(crate) const CGROUPS_MAX: usize = 8192;

/// Records as they were in the ring, in order, each behind its length.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    /// Cgroups that its records are the first to show.
    pub cgroups: Vec<NewCgroup>,
    /// Whether the cgroups of the earlier batches are to be forgotten: they are
    /// shown again.
    pub forgets_cgroups: bool,
}

/// A cgroup that was looked up when a record showed it for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCgroup {
    /// Its id.
    pub id: u64,
    /// When the record was made, nanoseconds of CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// Where it was.
    pub path: CgroupPath,
}

/// Finds the path of a cgroup by its id.
pub type LookUp = Box<dyn FnMut(u64) -> CgroupPath + Send>;

/// The cgroups that records have shown.
struct Cgroups {
    look_up: LookUp,
    seen: HashSet<u64>,
    /// The last one, as most records show the one before them did.
    last: u64,
    new: Vec<NewCgroup>,
    forgets: bool,
}

impl Cgroups {
    fn new(look_up: LookUp) -> Self {
        Self {
            look_up,
            seen: HashSet::new(),
            last: CGROUP_NONE,
            new: Vec::new(),
            forgets: false,
        }
    }

    fn note(&mut self, record: &[u8]) {
        let Some((ts_ns, id)) = Record::time_and_cgroup(record) else {
            return;
        };
        if id == self.last || matches!(id, CGROUP_NONE | CGROUP_ROOT) {
            return;
        }
        self.last = id;
        if self.seen.len() >= CGROUPS_MAX {
            self.seen.clear();
            self.new.clear();
            self.forgets = true;
        }
        if self.seen.insert(id) {
            let path = (self.look_up)(id);
            self.new.push(NewCgroup { id, ts_ns, path });
        }
    }
}

impl Batch {
    /// The captured bytes in one of its records.
    #[must_use]
    pub fn captured(&self, record: &[u8]) -> Bytes {
        let captured = Record::used(record).get(HEADER_LEN..);
        captured.map_or_else(Bytes::new, |captured| self.bytes.slice_ref(captured))
    }

    /// A batch of these records, which show no new cgroup.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut bytes = BytesMut::new();
        for record in records {
            put(&mut bytes, record);
        }
        Self {
            bytes: bytes.freeze(),
            cgroups: Vec::new(),
            forgets_cgroups: false,
        }
    }

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
    stop: Arc<Stop>,
    thread: thread::JoinHandle<io::Result<()>>,
}

/// Tells the thread to end, also while it sleeps.
struct Stop {
    asked: AtomicBool,
    wake: EventFd,
}

impl Reader {
    /// Starts the thread; batches arrive at the receiver until it is stopped.
    /// `look_up` is to answer fast.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn spawn(channel: Channel, look_up: LookUp) -> io::Result<(Self, mpsc::Receiver<Batch>)> {
        let (sender, receiver) = mpsc::channel(QUEUE_BATCHES);
        let stop = Arc::new(Stop {
            asked: AtomicBool::new(false),
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
        });
        let asked = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("ring-reader".into())
            .spawn(move || read(channel, Cgroups::new(look_up), &sender, &asked))?;
        Ok((Self { stop, thread }, receiver))
    }

    /// Asks the thread to drain what is left and end; the receiver then closes.
    pub fn stop(&self) {
        self.stop.asked.store(true, Ordering::Release);
        // It can only fail when it is full, and then it wakes the thread too.
        let _ = self.stop.wake.write(1);
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
) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    // Edge-triggered: level-triggered, every record would end the pause.
    let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
    epoll.add(channel.ring.as_fd(), event)?;
    let mut idle = 0;
    let mut bytes = BytesMut::new();
    loop {
        // Read before draining, so that what came before the stop is drained.
        let stopping = stop.asked.load(Ordering::Acquire);
        let mut empty = true;
        loop {
            empty &= !fill(&mut channel, &mut cgroups, &mut bytes);
            if bytes.is_empty() {
                break;
            }
            let batch = batch(&mut bytes, &mut cgroups);
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
            sleep(&mut channel, &stop.wake)?;
        }
    }
}

/// Takes records from the ring, as many as a batch has; false when there was none.
fn fill(channel: &mut Channel, cgroups: &mut Cgroups, bytes: &mut BytesMut) -> bool {
    let before = bytes.len();
    while bytes.len() - before < BATCH_BYTES {
        let Some(record) = channel.ring.next() else {
            break;
        };
        put(bytes, &record);
        cgroups.note(&record);
    }
    bytes.len() > before
}

/// What was filled.
fn batch(bytes: &mut BytesMut, cgroups: &mut Cgroups) -> Batch {
    // Room for the record that fills it: growing would double it.
    let next = BytesMut::with_capacity(BATCH_BYTES + ROOM_BYTES);
    Batch {
        bytes: std::mem::replace(bytes, next).freeze(),
        cgroups: std::mem::take(&mut cgroups.new),
        forgets_cgroups: std::mem::take(&mut cgroups.forgets),
    }
}

/// Appends the record without the unused end of its size class.
fn put(bytes: &mut BytesMut, record: &[u8]) {
    let used = Record::used(record);
    bytes.put_u32_ne(u32::try_from(used.len()).unwrap_or(u32::MAX));
    bytes.put_slice(used);
}

/// Sleeps until a program sees the wake flag, or a stop is asked for.
///
/// `poll` looks at the ring after registering, records still being written
/// included: either it sees the record or the program sees the flag.
fn sleep(channel: &mut Channel, stop: &EventFd) -> io::Result<()> {
    channel.wake.set(0, 1, 0).map_err(io::Error::other)?;
    let ring = PollFd::new(channel.ring.as_fd(), PollFlags::POLLIN);
    let mut fds = [ring, PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(ts_ns: u64, cgroup: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(ts_ns.to_le_bytes());
        bytes.extend(cgroup.to_le_bytes());
        bytes
    }

    #[test]
    fn cgroups_are_looked_up_when_they_are_first_shown() {
        let look_up = |id: u64| match id {
            9 => CgroupPath::Gone,
            _ => CgroupPath::At(format!("/cgroup{id}")),
        };
        let mut cgroups = Cgroups::new(Box::new(look_up));
        let shown = [(1, 7), (2, CGROUP_NONE), (3, 7), (4, 9), (5, CGROUP_ROOT)];
        for (ts_ns, id) in shown {
            cgroups.note(&record(ts_ns, id));
        }
        cgroups.note(&[0; 3]);
        let new: Vec<_> = cgroups
            .new
            .iter()
            .map(|new| (new.id, new.ts_ns, new.path.clone()))
            .collect();
        let first = CgroupPath::At("/cgroup7".into());
        assert_eq!(new, [(7, 1, first), (9, 4, CgroupPath::Gone)]);
    }

    #[test]
    fn cgroups_beyond_the_limit_are_shown_anew() {
        let mut cgroups = Cgroups::new(Box::new(|_| CgroupPath::Unknown));
        for id in 10..=10 + CGROUPS_MAX as u64 {
            cgroups.note(&record(1, id));
        }
        assert!(cgroups.forgets && cgroups.seen.len() == 1);
        assert_eq!(cgroups.new.len(), 1);
    }
}
