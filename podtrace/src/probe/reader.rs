//! The reader: a thread that moves records from the CPUs' rings into batches, in
//! order of time.
//!
//! It decodes nothing but looks the sockets' cgroups up as soon as a record
//! shows them: a container that dies right after its first packets takes its
//! cgroup along. When the consumer is behind, the bounded queue fills,
//! the reader waits, and the rings fill: then the kernel counts what is lost,
//! per tap, and nothing needs to be counted twice.
use std::{
    collections::HashMap,
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
use podtrace_ebpf::record::{Begin, CGROUP_KERNEL, CGROUP_NONE, CGROUP_ROOT};
use tokio::sync::mpsc;

use super::{
    batch::Batch,
    load::Channel,
    restraint::{Limit, yield_to_others},
};
use crate::{
    clock::monotonic_ns,
    model::{
        loss::LostBy,
        snapshot::{CgroupMembers, CgroupPath, NewCgroup},
    },
    privilege,
};

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

/// Cgroups remembered at most; beyond it all are looked up anew.
pub(crate) const CGROUPS_MAX: usize = 8192;
/// How many of them are remembered with their processes.
pub(crate) const HOSTS_MAX: usize = 1024;

/// For how long the processes of a cgroup are not looked up again, in nanoseconds.
const MEMBERS_NS: u64 = 1_000_000_000;

/// Finds the path of a cgroup by its id.
pub trait LookUp: Send {
    /// Its path.
    fn path_of(&mut self, id: u64) -> CgroupPath;

    /// The processes in the cgroup of that path; none if nobody is to know of them.
    fn members(&mut self, path: &str) -> Option<CgroupMembers> {
        let _ = path;
        None
    }
}

impl<F: FnMut(u64) -> CgroupPath + Send> LookUp for F {
    fn path_of(&mut self, id: u64) -> CgroupPath {
        self(id)
    }
}

/// The cgroups that records have shown.
struct Cgroups {
    look_up: Box<dyn LookUp>,
    /// With those of them whose processes are known.
    seen: HashMap<u64, Option<Box<Host>>>,
    /// How many of those there are.
    hosts: usize,
    /// The last one, as most records show the one before them did.
    last: u64,
    /// When that is to be looked up again.
    due_ns: u64,
    new: Vec<NewCgroup>,
    forgets: bool,
}

/// A cgroup whose processes are known, and come and go.
pub(crate) struct Host {
    path: String,
    members: CgroupMembers,
    /// When they are to be looked up again.
    due_ns: u64,
}

impl Cgroups {
    fn new(look_up: Box<dyn LookUp>) -> Self {
        Self {
            look_up,
            seen: HashMap::new(),
            hosts: 0,
            last: CGROUP_NONE,
            due_ns: u64::MAX,
            new: Vec::new(),
            forgets: false,
        }
    }

    fn note(&mut self, begin: &Begin) {
        let (ts_ns, id) = (begin.ts_ns, begin.cgroup);
        let is_last = id == self.last && ts_ns < self.due_ns;
        if is_last || matches!(id, CGROUP_NONE | CGROUP_ROOT | CGROUP_KERNEL) {
            return;
        }
        self.last = id;
        self.due_ns = match self.seen.get_mut(&id) {
            None => self.look_up(id, ts_ns),
            Some(None) => u64::MAX,
            Some(Some(host)) if ts_ns < host.due_ns => host.due_ns,
            Some(Some(host)) => {
                host.due_ns = ts_ns.saturating_add(MEMBERS_NS);
                let members = self.look_up.members(&host.path).unwrap_or_default();
                if host.members != members {
                    host.members = members;
                    self.new.push(NewCgroup {
                        id,
                        ts_ns,
                        path: CgroupPath::At(host.path.clone()),
                        members: Some(host.members.clone()),
                    });
                }
                host.due_ns
            }
        };
    }

    /// Looks up a cgroup for the first time; returns when it is to be done again.
    fn look_up(&mut self, id: u64, ts_ns: u64) -> u64 {
        let path = self.look_up.path_of(id);
        let host = match &path {
            CgroupPath::At(path) => self.look_up.members(path).map(|members| {
                Box::new(Host {
                    path: path.clone(),
                    members,
                    due_ns: ts_ns.saturating_add(MEMBERS_NS),
                })
            }),
            CgroupPath::Gone | CgroupPath::Unknown => None,
        };
        let has_room = self.hosts < HOSTS_MAX || host.is_none();
        if self.seen.len() >= CGROUPS_MAX || !has_room {
            self.seen.clear();
            self.new.clear();
            self.hosts = 0;
            self.forgets = true;
        }
        self.hosts += usize::from(host.is_some());
        self.new.push(NewCgroup {
            id,
            ts_ns,
            path,
            members: host.as_ref().map(|host| host.members.clone()),
        });
        let due_ns = host.as_ref().map_or(u64::MAX, |host| host.due_ns);
        self.seen.insert(id, host);
        due_ns
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(ts_ns: u64, cgroup: u64) -> Begin {
        Begin {
            ts_ns,
            cgroup,
            captured: 0,
        }
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
            cgroups.note(&begin(ts_ns, id));
        }
        cgroups.note(&begin(6, CGROUP_KERNEL));
        let new: Vec<_> = cgroups
            .new
            .iter()
            .map(|new| (new.id, new.ts_ns, new.path.clone()))
            .collect();
        let first = CgroupPath::At("/cgroup7".into());
        assert_eq!(new, [(7, 1, first), (9, 4, CgroupPath::Gone)]);
    }

    /// A service with one process more each time that it is looked at.
    struct Service(u64);

    impl LookUp for Service {
        fn path_of(&mut self, _: u64) -> CgroupPath {
            CgroupPath::At("/system.slice/x.service".into())
        }

        fn members(&mut self, _: &str) -> Option<CgroupMembers> {
            self.0 += 1;
            Some(CgroupMembers {
                count: self.0,
                ..CgroupMembers::default()
            })
        }
    }

    #[test]
    fn processes_are_looked_up_again_after_a_while() {
        let mut cgroups = Cgroups::new(Box::new(Service(0)));
        for ts_ns in [5, 6, MEMBERS_NS, 5 + MEMBERS_NS, 6 + MEMBERS_NS] {
            cgroups.note(&begin(ts_ns, 7));
        }
        let new = cgroups.new.iter();
        let counts = new.map(|new| (new.ts_ns, new.members.as_ref().unwrap().count));
        assert!(counts.eq([(5, 1), (5 + MEMBERS_NS, 2)]));
    }

    #[test]
    fn hosts_beyond_their_limit_are_shown_anew() {
        let mut cgroups = Cgroups::new(Box::new(Service(0)));
        for id in 10..=10 + HOSTS_MAX as u64 {
            cgroups.note(&begin(1, id));
        }
        assert!(cgroups.forgets && cgroups.seen.len() == 1);
    }

    #[test]
    fn cgroups_beyond_the_limit_are_shown_anew() {
        let mut cgroups = Cgroups::new(Box::new(|_: u64| CgroupPath::Unknown));
        for id in 10..=10 + CGROUPS_MAX as u64 {
            cgroups.note(&begin(1, id));
        }
        assert!(cgroups.forgets && cgroups.seen.len() == 1);
        assert_eq!(cgroups.new.len(), 1);
    }
}
