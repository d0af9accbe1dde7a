//! Follows the pods of the node's container runtime.
//!
//! A task keeps a full list of the pods and reports when the runtime is lost or back.
//! Events of the runtime and changes of the node's interfaces only prompt a new list.
mod schedule;
mod socket;
#[cfg(test)]
mod tests;

use std::{future, iter::Take, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use self::{schedule::Schedule, socket::SocketWatch};
use super::{
    cri::{About, CriError, PodList, Runtime, SOCKETS},
    events::{Events, Prompt},
};
use crate::{backoff::Backoff, cause::causes};

/// Pause between attempts to reach a runtime that does not exist or does not answer, at
/// first and at most.
const RETRY: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// The pause just after its socket has appeared: the runtime binds it before it listens, and
/// listens before it answers.
const SETTLE: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(800)];
/// How many attempts follow these pauses.
const SETTLE_TRIES: usize = 5;
/// Upper bound of the unread states; with at most one every few hundred milliseconds, only
/// a reader that stalls for long misses one.
const STATES: usize = 64;

/// The runtime to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowConfig {
    /// Socket of the runtime; none to try [`SOCKETS`].
    pub socket: Option<PathBuf>,
}

/// The state of the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeState {
    /// It answers, and a list is complete.
    Connected(About),
    /// It does not answer (any more): the list stays as it is until it does. Sent once.
    Lost {
        /// Why, and what to do; safe to print.
        reason: String,
    },
}

/// A task that follows a runtime. It ends when this is dropped.
#[derive(Debug)]
pub struct Follower {
    /// The pods. It changes only when the list does; empty before the first.
    pub pods: watch::Receiver<Arc<PodList>>,
    /// The states of the runtime. Unread ones beyond the bound are dropped.
    pub states: mpsc::Receiver<RuntimeState>,
    first: Option<oneshot::Receiver<Result<(), CriError>>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Waits for the first list. Returns at once after the first list or failure.
    ///
    /// # Errors
    /// Why the first attempt failed, or that it takes longer than `within`. The task keeps
    /// trying.
    pub async fn ready(&mut self, within: Duration) -> Result<(), CriError> {
        let Some(first) = &mut self.first else {
            return Ok(());
        };
        let outcome = timeout(within, first).await;
        let not_ready = CriError::NotReady { waited: within };
        if outcome.is_err() {
            return Err(not_ready);
        }
        self.first = None;
        // The sender is dropped only if the task ends, which it does not.
        outcome.ok().and_then(Result::ok).unwrap_or(Err(not_ready))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts to follow the node's runtime. `prompts` report that something may have changed,
/// such as interfaces; a channel of one is enough. Call it on a tokio runtime.
#[must_use]
pub fn follow(config: FollowConfig, prompts: mpsc::Receiver<()>) -> Follower {
    let (pods, pods_out) = watch::channel(Arc::default());
    let (states, states_out) = mpsc::channel(STATES);
    let (first, first_out) = oneshot::channel();
    let candidates = match &config.socket {
        Some(socket) => vec![socket.clone()],
        None => SOCKETS.iter().map(PathBuf::from).collect(),
    };
    let task = Task {
        sockets: SocketWatch::new(candidates),
        config,
        prompts: Some(prompts),
        pods,
        states,
        first: Some(first),
        is_lost: false,
        waits: Waits::default(),
    };
    Follower {
        pods: pods_out,
        states: states_out,
        first: Some(first_out),
        task: tokio::spawn(task.run()),
    }
}

struct Task {
    config: FollowConfig,
    sockets: SocketWatch,
    prompts: Option<mpsc::Receiver<()>>,
    pods: watch::Sender<Arc<PodList>>,
    states: mpsc::Sender<RuntimeState>,
    /// Set until the first outcome is sent.
    first: Option<oneshot::Sender<Result<(), CriError>>>,
    /// Whether the loss has been reported.
    is_lost: bool,
    waits: Waits,
}

impl Task {
    async fn run(mut self) {
        loop {
            let error = match self.connect().await {
                Ok(runtime) => self.serve(runtime).await,
                Err(error) => error,
            };
            self.lost(error);
            self.wait_to_retry().await;
        }
    }

    async fn connect(&self) -> Result<Runtime, CriError> {
        match &self.config.socket {
            Some(socket) => Runtime::connect(socket).await,
            None => Runtime::find().await,
        }
    }

    /// Lists when due until the runtime fails.
    async fn serve(&mut self, mut runtime: Runtime) -> CriError {
        let subscribe =
            |runtime: &Runtime| Events::subscribe(runtime.channel(), &runtime.about().name);
        // Before the first list, so that no change is missed in between.
        let mut events = Some(subscribe(&runtime));
        let mut may_subscribe = false;
        let mut schedule = Schedule::new(Instant::now());
        let mut is_first = true;
        loop {
            tokio::select! {
                prompt = next(&mut events) => match prompt {
                    Prompt::Changed(id) => schedule.prompted(Instant::now(), id),
                    Prompt::Ended { offered } => {
                        events = None;
                        may_subscribe = offered;
                        schedule.has_events = false;
                        schedule.prompted(Instant::now(), None);
                    }
                },
                () = prompted(&mut self.prompts) => schedule.prompted(Instant::now(), None),
                // Without events only the socket shows a restart.
                () = self.sockets.changed() => schedule.prompted(Instant::now(), None),
                () = sleep_until(schedule.due()) => {
                    let started = Instant::now();
                    let list = match runtime.list().await {
                        Ok(list) => list,
                        Err(error) => return error,
                    };
                    schedule.listed(started, Instant::now(), &list, runtime.is_in_transition());
                    self.publish(list);
                    if std::mem::take(&mut is_first) {
                        self.connected(&runtime);
                    }
                    if events.is_none() && may_subscribe && schedule.is_calm() {
                        may_subscribe = false;
                        schedule.has_events = true;
                        events = Some(subscribe(&runtime));
                    }
                }
            }
        }
    }

    fn publish(&self, list: PodList) {
        self.pods.send_if_modified(|known| {
            let differs = **known != list;
            if differs {
                *known = Arc::new(list);
            }
            differs
        });
    }

    fn connected(&mut self, runtime: &Runtime) {
        self.is_lost = false;
        self.waits = Waits::default();
        // A reader that stalls misses states, as documented.
        let _ = self
            .states
            .try_send(RuntimeState::Connected(runtime.about().clone()));
        self.report_first(Ok(()));
    }

    fn lost(&mut self, error: CriError) {
        if !std::mem::replace(&mut self.is_lost, true) {
            let _ = self.states.try_send(RuntimeState::Lost {
                reason: words(&error),
            });
        }
        self.report_first(Err(error));
    }

    fn report_first(&mut self, outcome: Result<(), CriError>) {
        if let Some(first) = self.first.take() {
            // The caller may have stopped waiting.
            let _ = first.send(outcome);
        }
    }

    /// Waits for the socket to change, or some time.
    async fn wait_to_retry(&mut self) {
        self.sockets.renew();
        tokio::select! {
            () = self.sockets.changed() => self.waits.socket_changed(),
            () = sleep(self.waits.next()) => {}
        }
    }
}

/// The waits between attempts to reach a runtime.
#[derive(Debug)]
struct Waits {
    /// The pauses just after its socket has changed.
    settling: Take<Backoff>,
    /// The pauses after those.
    rare: Backoff,
}

impl Waits {
    /// The next pause.
    fn next(&mut self) -> Duration {
        let next = self.settling.next().or_else(|| self.rare.next());
        next.unwrap_or(RETRY[1])
    }

    fn socket_changed(&mut self) {
        *self = Self::default();
        self.settling = Backoff::new(SETTLE[0], SETTLE[1]).take(SETTLE_TRIES);
    }
}

impl Default for Waits {
    fn default() -> Self {
        let rare = Backoff::new(RETRY[0], RETRY[1]);
        Self {
            settling: rare.clone().take(0),
            rare,
        }
    }
}

/// The error and its causes in one line.
fn words(error: &CriError) -> String {
    let words: Vec<_> = causes(error).map(ToString::to_string).collect();
    words.join(": ")
}

async fn next(events: &mut Option<Events>) -> Prompt {
    match events {
        Some(events) => events.next().await,
        None => future::pending().await,
    }
}

/// Waits for a prompt; forever once all senders are gone.
async fn prompted(prompts: &mut Option<mpsc::Receiver<()>>) {
    if let Some(receiver) = prompts {
        if receiver.recv().await.is_some() {
            return;
        }
        *prompts = None;
    }
    future::pending().await
}
