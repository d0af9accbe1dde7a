//! Attaching and detaching on a thread of its own: each takes the kernel some
//! 10 ms, and nothing else is to wait for it.
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    mem::ManuallyDrop,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    Attach, Change, ProbeError,
    attach::Watch,
    clsact::{Swept, sweep_all},
};
use crate::{
    netns::{NetNs, NetNsError},
    privilege,
};

/// An interface to attach to, which has been registered.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its number.
    pub interface: u32,
    /// Its namespace, to be let go when it is done.
    pub netns: NetNs,
    /// Its name, for errors.
    pub name: String,
    /// Its index there.
    pub ifindex: u32,
    /// Those with lower ones go first, then those that were given first.
    pub rank: u8,
}

/// What was done.
#[derive(Debug)]
pub enum Report {
    /// Both programs are attached to interface number so.
    Attached {
        /// Its number.
        interface: u32,
        /// What comes before ours, in words, and may end the chain there.
        before: Vec<String>,
    },
    /// Neither is.
    Refused(u32, ProbeError),
    /// Neither is any more.
    Detached(u32),
    /// What is attached to interface number so has changed.
    Changed(u32, Change),
    /// What dead podtraces had left was removed.
    Swept(Vec<Swept>),
}

/// The caller's end. Dropped, it detaches from everything.
pub struct Attacher {
    shared: Arc<Shared>,
    reports: mpsc::UnboundedReceiver<Report>,
    watch: Option<Watch>,
    ends_with_descriptors: bool,
}

struct Shared {
    jobs: Mutex<Jobs>,
    /// For the thread: there is something to do.
    filled: Condvar,
    /// How often to look at what is attached, even if nothing tells of a change.
    check_every: Option<Duration>,
}

/// What is to be done. Each interface is in it once at most.
#[derive(Default)]
struct Jobs {
    /// By rank, and by how many were given before.
    attach: BTreeMap<(u8, u64), Target>,
    given: u64,
    detach: VecDeque<u32>,
    /// Those that have a tap still, and how often they were tried: interfaces that have
    /// moved from one namespace to another take it along.
    again: VecDeque<(Target, u32)>,
    sweep: Sweep,
    /// Since when what is attached may have changed, if it is to be looked at.
    check: Option<u64>,
    /// When it was looked at.
    checked: Option<Instant>,
    /// How it is over, and nothing else is to be done.
    over: Option<Over>,
}

/// What becomes of what is attached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Detach,
    /// Whoever shares our descriptors closes them.
    Leave,
}

/// Whether to look for what dead podtraces have left: once, when all that is there at the
/// start is attached to.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sweep {
    #[default]
    Later,
    Due,
    Done,
}

enum Job {
    Sweep,
    Check {
        /// Since when something has changed; none if nothing has told of it.
        since_ns: Option<u64>,
    },
    /// And how often it was tried before.
    Attach(Target, u32),
    Detach(u32),
}

/// How often it is tried to attach to an interface that has a tap still.
const TRIES_MAX: u32 = 40;
/// After how long it is tried once more.
const PAUSE: Duration = Duration::from_millis(50);

impl Attacher {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(hooks: Box<dyn Attach>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            jobs: Mutex::default(),
            filled: Condvar::new(),
            check_every: hooks.check_every(),
        });
        // As many as there are interfaces, at most.
        let (sender, reports) = mpsc::unbounded_channel();
        let jobs = Arc::clone(&shared);
        let (watch, ends_with_descriptors) = (hooks.watch(), hooks.ends_with_descriptors());
        thread::Builder::new()
            .name("attacher".into())
            .spawn(move || {
                // What cannot be given up here is told by the main thread.
                let _ = privilege::keep(privilege::ATTACH);
                work(hooks, &jobs, &sender);
            })?;
        Ok(Self {
            shared,
            reports,
            watch,
            ends_with_descriptors,
        })
    }

    /// Attaches soon. The interface is not to be given twice.
    pub fn attach(&self, target: Target) {
        let mut jobs = self.shared.lock();
        jobs.given += 1;
        let key = (target.rank, jobs.given);
        jobs.attach.insert(key, target);
        if jobs.sweep == Sweep::Later {
            jobs.sweep = Sweep::Due;
        }
        self.shared.filled.notify_one();
    }

    /// Detaches soon, or does not attach first.
    pub fn detach(&self, interface: u32) {
        let mut jobs = self.shared.lock();
        jobs.attach
            .retain(|_, target| target.interface != interface);
        jobs.again
            .retain(|(target, _)| target.interface != interface);
        jobs.detach.push_back(interface);
        self.shared.filled.notify_one();
    }

    /// Sees to it that what is attached in a node's namespaces stays attached, whatever
    /// other tools do.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the kernel does not tell what they do.
    pub fn watch(&self, netns: &NetNs) -> Result<io::Result<()>, NetNsError> {
        let Some(watch) = self.watch else {
            return Ok(Ok(()));
        };
        let shared = Arc::downgrade(&self.shared);
        let changed = move |since_ns| {
            let Some(shared) = shared.upgrade() else {
                return false;
            };
            let mut jobs = shared.lock();
            jobs.check.get_or_insert(since_ns);
            shared.filled.notify_one();
            jobs.over.is_none()
        };
        watch(netns, Box::new(changed))
    }

    /// Whether [`Self::leave`] detaches from everything in the end.
    #[must_use]
    pub fn can_leave(&self) -> bool {
        self.ends_with_descriptors
    }

    /// Begins to detach from everything; what was to be attached to is left.
    pub fn detach_all(&self) {
        self.end(Over::Detach);
    }

    /// Leaves everything attached until its descriptors are closed.
    pub fn leave(&self) {
        self.end(Over::Leave);
    }

    fn end(&self, over: Over) {
        self.shared.lock().over.get_or_insert(over);
        self.shared.filled.notify_one();
    }

    /// What was done next; none once all is detached.
    pub async fn report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }
}

impl Drop for Attacher {
    fn drop(&mut self) {
        self.detach_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attaches later on, unless it is to be detached from by now.
    fn again(&self, target: Target, tries: u32) {
        let mut jobs = self.lock();
        if !jobs.detach.contains(&target.interface) {
            jobs.again.push_back((target, tries));
        }
    }

    /// Waits for the next job; none when it is over.
    fn next(&self) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if jobs.over.is_some() {
                return None;
            }
            // Packets pass by what is not attached to, not by what is still.
            if let Some((_, target)) = jobs.attach.pop_first() {
                return Some(Job::Attach(target, 0));
            }
            if let Some(interface) = jobs.detach.pop_front() {
                return Some(Job::Detach(interface));
            }
            if jobs.sweep == Sweep::Due {
                jobs.sweep = Sweep::Done;
                return Some(Job::Sweep);
            }
            let left = self.until_check(&mut jobs);
            if jobs.check.is_some() || left.is_some_and(|left| left.is_zero()) {
                jobs.checked = Some(Instant::now());
                let since_ns = jobs.check.take();
                return Some(Job::Check { since_ns });
            }
            let again = (!jobs.again.is_empty()).then_some(PAUSE);
            let Some(pause) = again.into_iter().chain(left).min() else {
                let waited = self.filled.wait(jobs);
                jobs = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.filled.wait_timeout(jobs, pause);
            let (after, pause) = waited.unwrap_or_else(PoisonError::into_inner);
            jobs = after;
            if pause.timed_out()
                && let Some((target, tries)) = jobs.again.pop_front()
            {
                return Some(Job::Attach(target, tries));
            }
        }
    }

    /// How long until what is attached is to be looked at; none if something tells.
    fn until_check(&self, jobs: &mut Jobs) -> Option<Duration> {
        let every = self.check_every?;
        let checked = jobs.checked.get_or_insert_with(Instant::now);
        Some(every.saturating_sub(checked.elapsed()))
    }
}

/// The thread's work. Nobody has to hear of it: then it is over soon.
fn work(mut hooks: Box<dyn Attach>, shared: &Shared, reports: &mpsc::UnboundedSender<Report>) {
    while let Some(job) = shared.next() {
        let report = match job {
            Job::Check { since_ns } => {
                for (interface, change) in hooks.check(since_ns) {
                    let _ = reports.send(Report::Changed(interface, change));
                }
                continue;
            }
            Job::Attach(target, tries) => {
                let interface = target.interface;
                match hooks.attach(&target.netns, &target.name, target.ifindex, interface) {
                    Ok(before) => Report::Attached { interface, before },
                    Err(error) if error.is_there() && tries < TRIES_MAX => {
                        shared.again(target, tries + 1);
                        continue;
                    }
                    Err(error) => Report::Refused(interface, error),
                }
            }
            Job::Sweep => Report::Swept(sweep_all()),
            Job::Detach(interface) => {
                hooks.detach(interface);
                Report::Detached(interface)
            }
        };
        let _ = reports.send(report);
    }
    if shared.lock().over == Some(Over::Leave) {
        let _left = ManuallyDrop::new(hooks);
        return;
    }
    hooks.detach_all(&mut |interface| {
        let _ = reports.send(Report::Detached(interface));
    });
}
