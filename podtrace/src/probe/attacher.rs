//! Attaching and detaching on a thread of its own: each takes the kernel some
//! 10 ms, and nothing else is to wait for it.
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::mpsc;

use super::{Hooks, ProbeError};
use crate::node::netns::NetNs;

/// An interface to attach to, which has been registered.
#[derive(Clone, Debug)]
pub struct Attach {
    /// Its number.
    pub interface: u32,
    /// Its namespace, to be let go when it is done.
    pub netns: NetNs,
    /// Its name, for errors.
    pub name: String,
    /// Its index there.
    pub ifindex: u32,
    /// Whether it goes before those that are not.
    pub is_urgent: bool,
}

/// What was done.
#[derive(Debug)]
pub enum Report {
    /// Both programs are attached to interface number so.
    Attached {
        /// Its number.
        interface: u32,
        /// Whether others' filters come before ours, which may end the chain there.
        is_behind: bool,
    },
    /// Neither is.
    Refused(u32, ProbeError),
    /// Neither is any more.
    Detached(u32),
}

/// The caller's end. Dropped, it detaches from everything.
pub struct Attacher {
    shared: Arc<Shared>,
    reports: mpsc::UnboundedReceiver<Report>,
}

struct Shared {
    jobs: Mutex<Jobs>,
    /// For the thread: there is something to do.
    filled: Condvar,
}

/// What is to be done. Each interface is in it once at most.
#[derive(Default)]
struct Jobs {
    urgent: VecDeque<Attach>,
    others: VecDeque<Attach>,
    detach: VecDeque<u32>,
    /// Whether everything is to be detached from, and nothing else done.
    is_over: bool,
}

enum Job {
    Attach(Attach),
    Detach(u32),
}

impl Attacher {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(hooks: Hooks) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            jobs: Mutex::default(),
            filled: Condvar::new(),
        });
        // As many as there are interfaces, at most.
        let (sender, reports) = mpsc::unbounded_channel();
        let jobs = Arc::clone(&shared);
        thread::Builder::new()
            .name("attacher".into())
            .spawn(move || work(hooks, &jobs, &sender))?;
        Ok(Self { shared, reports })
    }

    /// Attaches soon. The interface is not to be given twice.
    pub fn attach(&self, attach: Attach) {
        let mut jobs = self.shared.lock();
        let queue = if attach.is_urgent {
            &mut jobs.urgent
        } else {
            &mut jobs.others
        };
        queue.push_back(attach);
        self.shared.filled.notify_one();
    }

    /// Detaches soon, or does not attach first.
    pub fn detach(&self, interface: u32) {
        let mut jobs = self.shared.lock();
        let is_other = |attach: &Attach| attach.interface != interface;
        jobs.urgent.retain(is_other);
        jobs.others.retain(is_other);
        jobs.detach.push_back(interface);
        self.shared.filled.notify_one();
    }

    /// Begins to detach from everything; what was to be attached to is left.
    pub fn detach_all(&self) {
        self.shared.lock().is_over = true;
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

    /// Waits for the next job; none when it is over.
    fn next(&self) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if jobs.is_over {
                return None;
            }
            // Packets pass by what is not attached to, not by what is still.
            let attach = jobs.urgent.pop_front().or_else(|| jobs.others.pop_front());
            if let Some(attach) = attach {
                return Some(Job::Attach(attach));
            }
            if let Some(interface) = jobs.detach.pop_front() {
                return Some(Job::Detach(interface));
            }
            let waited = self.filled.wait(jobs);
            jobs = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The thread's work. Nobody has to hear of it: then it is over soon.
fn work(mut hooks: Hooks, shared: &Shared, reports: &mpsc::UnboundedSender<Report>) {
    while let Some(job) = shared.next() {
        let report = match job {
            Job::Attach(Attach {
                interface,
                netns,
                name,
                ifindex,
                is_urgent: _,
            }) => match hooks.attach(&netns, &name, ifindex, interface) {
                Ok(is_behind) => Report::Attached {
                    interface,
                    is_behind,
                },
                Err(error) => Report::Refused(interface, error),
            },
            Job::Detach(interface) => {
                hooks.detach(interface);
                Report::Detached(interface)
            }
        };
        let _ = reports.send(report);
    }
    hooks.detach_all(|interface| {
        let _ = reports.send(Report::Detached(interface));
    });
}
