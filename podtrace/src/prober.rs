//! Sends a few packets from inside a network namespace, to find out whether a way is open.
//!
//! A thread of its own enters the namespace; no process there is touched. What it sends is
//! [`Probes`] and nothing else, but for what the kernel adds: the question for a neighbour's
//! address, and the end of each TCP connection.
mod echo;
mod listener;
mod socket;

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use thiserror::Error;

use crate::{
    model::probes::{ATTEMPTS, Ask, ErrorKind, Listener, Outcomes, ProbeError, Probed, Probes},
    netns::{NetNs, NetNsError, candidates::candidates},
    privilege::{self, PrivilegeError},
    text::system_error::without_numbers,
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_millis(900);
/// The time between two packets of a kind.
const PAUSE: Duration = Duration::from_millis(20);

/// Why nothing could be sent.
#[derive(Debug, Error)]
pub enum ProberError {
    /// The thread lacks privileges, or keeps too many.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// The namespace could not be entered.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// No name and no process leads to the namespace.
    #[error("the sender's network namespace was not found: it has no name and no process")]
    NotFound,
    /// Another podtrace was to send, and does not.
    #[error("{0}")]
    Elsewhere(String),
}

/// The thread that sends.
pub struct Prober {
    plans: SyncSender<Probes>,
    results: Receiver<Result<Outcomes, ProberError>>,
}

impl Prober {
    /// Starts the thread, which keeps the privileges to send. `known`: namespaces that are open
    /// already.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(known: Vec<NetNs>) -> io::Result<Self> {
        Self::of(|| {
            let kept = privilege::keep(privilege::PROBE);
            move |probes| {
                kept?;
                send(&known, probes)
            }
        })
    }

    /// Starts a thread that has another podtrace send.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn elsewhere(
        ask: impl FnOnce(&Probes) -> Result<Outcomes, ProberError> + Send + 'static,
    ) -> io::Result<Self> {
        Self::of(|| {
            // It needs none; the main thread reports those that cannot be given up.
            let _ = privilege::keep(privilege::NONE);
            ask
        })
    }

    /// Starts a thread that prepares to send, and then does.
    fn of<S: FnOnce(&Probes) -> Result<Outcomes, ProberError>>(
        prepare: impl FnOnce() -> S + Send + 'static,
    ) -> io::Result<Self> {
        let (plans, orders) = sync_channel::<Probes>(1);
        let (sender, results) = sync_channel(1);
        thread::Builder::new()
            .name("prober".into())
            .spawn(move || {
                let send = prepare();
                if let Ok(probes) = orders.recv() {
                    // Nobody waits any more if the trace has ended.
                    let _ = sender.send(send(&probes));
                }
            })?;
        Ok(Self { plans, results })
    }

    /// Sends these and waits for what comes of them.
    ///
    /// # Errors
    /// When nothing could be sent.
    pub fn wait_for(self, probes: Probes) -> Result<Outcomes, ProberError> {
        self.send(probes);
        let result = self.results.recv();
        result.unwrap_or_else(|_ended| Err(ProberError::Elsewhere("its thread failed".into())))
    }

    /// Sends these, once.
    pub fn send(&self, probes: Probes) {
        // It is full only if something was sent already.
        let _ = self.plans.try_send(probes);
    }

    /// What came of them, as soon as it is known, once.
    #[must_use]
    pub fn result(&self) -> Option<Result<Outcomes, ProberError>> {
        self.results.try_recv().ok()
    }
}

fn send(known: &[NetNs], probes: &Probes) -> Result<Outcomes, ProberError> {
    let open = |id| {
        let known = known.iter().find(|known| known.id == id).cloned();
        known.or_else(|| find(id))
    };
    let netns = open(probes.netns).ok_or(ProberError::NotFound)?;
    let server = probes.server.and_then(open);
    let listener = || match probes.ask {
        Ask::Connect(port) => server.as_ref()?.run(|| listener::listener(port)).ok()?,
        _ => None,
    };
    let before = listener();
    let probed = netns.run(|| send_here(probes))?;
    let after = listener();
    let during = before.zip(after).map(|(before, after)| Listener {
        waiting: after.waiting,
        overflows: after.overflows.saturating_sub(before.overflows),
    });
    Ok(Outcomes {
        probed,
        listener: during,
    })
}

fn find(id: u64) -> Option<NetNs> {
    candidates()
        .filter_map(|candidate| NetNs::open(candidate.path).ok())
        .find(|netns| netns.id == id)
}

/// Sends from the namespace of the calling thread.
fn send_here(probes: &Probes) -> Vec<Probed> {
    let to = probes.to;
    thread::scope(|scope| {
        let ladder = scope.spawn(|| echo::ladder(to, probes.ladder_id(), &probes.ladder));
        let asked = match probes.ask {
            Ask::Echo => echo::pings(to, probes.echo_id),
            Ask::Connect(port) => socket::connects((to, port).into()),
            Ask::Datagram(port) => socket::datagrams((to, port).into()),
        };
        let ladder = ladder.join().ok().flatten();
        [Some(asked), ladder].into_iter().flatten().collect()
    })
}

/// Counts what came of packets.
struct Count(Probed);

impl Count {
    fn new(what: &'static str, tried: usize) -> Self {
        Self(Probed {
            what,
            tried: u32::try_from(tried).unwrap_or(u32::MAX),
            answered: 0,
            lengths: Vec::new(),
            unsent: Vec::new(),
            error: None,
        })
    }

    /// Keeps an error that says more than that no answer came.
    fn error(&mut self, error: &io::Error) {
        let is_silence = matches!(
            error.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
        );
        if !is_silence {
            self.keep(ErrorKind::of(error), error);
        }
    }

    /// Keeps why no socket could be had.
    fn untried(&mut self, error: &io::Error) {
        self.keep(ErrorKind::Untried, error);
    }

    fn keep(&mut self, kind: ErrorKind, error: &io::Error) {
        let words = without_numbers(&error.to_string());
        self.0.error = Some(ProbeError { kind, words });
    }
}

/// [`ATTEMPTS`] as the number of elements.
const TRIED: usize = ATTEMPTS as usize;

#[cfg(test)]
mod tests;
