//! Attaches and detaches on a thread of its own: each takes the kernel some 10 ms, and nothing
//! else should wait for it.
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
    /// Its namespace, which is closed afterwards.
    pub netns: NetNs,
    /// Its name, for errors.
    pub name: String,
    /// Its index there.
    pub ifindex: u32,
    /// Lower ranks go first, and within a rank those that were requested first.
    pub rank: u8,
}

/// A finished step.
#[derive(Debug)]
pub enum Report {
    /// Both programs are attached to this interface.
    Attached {
        /// Its number.
        interface: u32,
        /// The programs before ours, in words; one of them may end the chain.
        before: Vec<String>,
    },
    /// Neither program could be attached to this interface.
    Refused(u32, ProbeError),
    /// Neither program is attached to this interface any more.
    Detached(u32),
    /// The programs attached to this interface have changed.
    Changed(u32, Change),
    /// The leftovers of dead podtraces were removed.
    Swept(Vec<Swept>),
}

/// The caller's end. Dropping it detaches everything.
pub struct Attacher {
    shared: Arc<Shared>,
    reports: mpsc::UnboundedReceiver<Report>,
    watch: Option<Watch>,
    ends_with_descriptors: bool,
}

struct Shared {
    jobs: Mutex<Jobs>,
    /// Signals a new job to the thread.
    filled: Condvar,
    /// How often to check the attachments, even without a report of a change.
    check_every: Option<Duration>,
}

/// The jobs. Each interface is in them at most once.
#[derive(Default)]
struct Jobs {
    /// By rank, then by the order of the requests.
    attach: BTreeMap<(u8, u64), Target>,
    given: u64,
    detach: VecDeque<u32>,
    /// Interfaces that still have a tap, with the number of tries: an interface that moved
    /// from one namespace to another takes its tap along.
    again: VecDeque<(Target, u32)>,
    sweep: Sweep,
    /// Since when the attachments may have changed, if they have to be checked.
    check: Option<u64>,
    /// When they were last checked.
    checked: Option<Instant>,
    /// How the attacher ends, after which nothing else is done.
    over: Option<Over>,
}

/// The fate of the attachments at the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Detach,
    /// They end when the last descriptor is closed, in whichever process.
    Leave,
}

/// Whether to search for leftovers of dead podtraces: once, after the interfaces present at
/// the start have their taps.
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
        /// The time of the change; none if none was reported.
        since_ns: Option<u64>,
    },
    /// With the number of earlier tries.
    Attach(Target, u32),
    Detach(u32),
}

/// How often attaching to an interface that still has a tap is tried.
const TRIES_MAX: u32 = 40;
/// The pause between two tries.
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
        // At most as many reports as there are interfaces.
        let (sender, reports) = mpsc::unbounded_channel();
        let jobs = Arc::clone(&shared);
        let (watch, ends_with_descriptors) = (hooks.watch(), hooks.ends_with_descriptors());
        thread::Builder::new()
            .name("attacher".into())
            .spawn(move || {
                // The main thread reports capabilities that cannot be dropped.
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

    /// Requests to attach. An interface must not be given twice.
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

    /// Requests to detach, or not to attach first.
    pub fn detach(&self, interface: u32) {
        let mut jobs = self.shared.lock();
        jobs.attach
            .retain(|_, target| target.interface != interface);
        jobs.again
            .retain(|(target, _)| target.interface != interface);
        jobs.detach.push_back(interface);
        self.shared.filled.notify_one();
    }

    /// Keeps the attachments in a node's namespaces, whatever other tools do.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the kernel sends no notifications.
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

    /// Whether [`Self::leave`] detaches everything in the end.
    #[must_use]
    pub fn can_leave(&self) -> bool {
        self.ends_with_descriptors
    }

    /// Begins to detach everything; pending interfaces are not attached to.
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

    /// The next report; none once everything is detached.
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

    /// Retries attaching later, unless detaching is requested by then.
    fn again(&self, target: Target, tries: u32) {
        let mut jobs = self.lock();
        if !jobs.detach.contains(&target.interface) {
            jobs.again.push_back((target, tries));
        }
    }

    /// Waits for the next job; none at the end.
    fn next(&self) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if jobs.over.is_some() {
                return None;
            }
            // Attaching goes before detaching: an interface without taps misses packets.
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

    /// The time until the next check; none if changes are reported.
    fn until_check(&self, jobs: &mut Jobs) -> Option<Duration> {
        let every = self.check_every?;
        let checked = jobs.checked.get_or_insert_with(Instant::now);
        Some(every.saturating_sub(checked.elapsed()))
    }
}

/// The thread's work. It ends soon after the receiver of the reports is dropped.
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
