//! Follows the pods, nodes and Services of a cluster: lists them, then watches changes, and resumes
//! where the watch breaks off.
//!
//! kube's own watcher is not used: it takes an HTTP 410 for a passing error and requests the
//! same version forever, continues after a line that it could not read (which may have been a
//! deletion), has no deadline for a list, reopens at once a watch that is closed at once, and
//! does not report when a watch is open again.
use std::{future::Future, io, mem, pin::pin, time::Duration};

use futures_util::{Stream, StreamExt as _};
use kube::{
    Client,
    api::{ListParams, WatchEvent, WatchParams},
    core::{Request, Status},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use super::{
    ClusterConfig, ClusterUpdate, Resource,
    client::SharedClient,
    failure::{ApiFailure, Remedy},
    objects::{List, Object},
};
use crate::backoff::{Backoff, with_jitter};

/// Upper bound of the pages of a list; more means a server that never ends.
const MAX_PAGES: u32 = 10_000;

/// How long the server should keep a watch open, in seconds. It may be less.
const WATCH_SECONDS: u32 = 290;

/// The timing of a follower.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long the server may take to answer.
    pub(super) deadline: Duration,
    /// The shortest time between two attempts. A watch that was open for this long works,
    /// and has caught up.
    pub(super) first_delay: Duration,
    /// The longest time between two attempts, without jitter.
    pub(super) last_delay: Duration,
    /// How long a watch may be silent: a longer silence means a dead connection, since the
    /// server would have closed it.
    pub(super) silence: Duration,
    /// How many objects are requested at a time.
    pub(super) page: u32,
}

const PACE: Pace = Pace {
    deadline: Duration::from_secs(30),
    first_delay: Duration::from_secs(2),
    last_delay: Duration::from_secs(30),
    silence: Duration::from_secs(WATCH_SECONDS as u64 + 10),
    page: 250,
};

impl Pace {
    fn backoff(&self) -> Backoff {
        Backoff::new(self.first_delay, self.last_delay)
    }
}

/// Follows the pods, nodes and Services of a cluster, with one task for each, and sends the
/// existing objects and their changes in the order that [`ClusterUpdate`] describes. The tasks
/// end when the receiver is dropped, and wait while the channel is full; they hold one page of
/// a list at most. A failure does not end them: they try again after 2 s, then less often, at
/// least once in 30 s. They notice a silently broken connection after 300 s at most.
///
/// Must be called within a tokio runtime.
pub fn watch(config: ClusterConfig, updates: mpsc::Sender<ClusterUpdate>) {
    watch_at(config, updates, PACE);
}

pub(super) fn watch_at(config: ClusterConfig, updates: mpsc::Sender<ClusterUpdate>, pace: Pace) {
    let client = SharedClient::new(config);
    for resource in Resource::ALL {
        spawn(resource, client.clone(), updates.clone(), pace);
    }
}

fn spawn(
    resource: Resource,
    client: SharedClient,
    updates: mpsc::Sender<ClusterUpdate>,
    pace: Pace,
) {
    let follower = Follower {
        resource,
        client,
        updates: updates.clone(),
        pace,
        used: 0,
        of_no_use: 0,
        version: None,
        reported: None,
        backoff: pace.backoff(),
    };
    tokio::spawn(async move {
        tokio::select! {
            () = updates.closed() => {}
            () = follower.run() => {}
        }
    });
}

/// Follows one resource.
struct Follower {
    resource: Resource,
    client: SharedClient,
    updates: mpsc::Sender<ClusterUpdate>,
    pace: Pace,
    /// Number of the client that was used last; 0 before the first.
    used: u64,
    /// Number of the last client whose credentials failed; 0 if none.
    of_no_use: u64,
    /// The version of the cluster up to which everything was sent; none if a list is due.
    version: Option<String>,
    /// The remedy of the reported outage; none without an outage.
    reported: Option<Remedy>,
    backoff: Backoff,
}

/// Why a round ended early.
pub(super) enum Failure {
    /// The receiver was dropped.
    Closed,
    /// The server no longer has the version: a list is due.
    Gone,
    /// The server cannot be followed.
    Api(ApiFailure),
}

impl Follower {
    async fn run(mut self) {
        loop {
            let began = Instant::now();
            let result = self.round().await;
            let delay = with_jitter(self.backoff.next().unwrap_or(self.pace.last_delay));
            match result {
                Ok(()) => sleep_until(began + delay).await,
                Err(Failure::Closed) => return,
                Err(Failure::Gone) => {
                    self.version = None;
                    sleep_until(began + delay).await;
                }
                Err(Failure::Api(failure)) => {
                    let delay = delay.max(failure.retry_after);
                    if self.report(failure).await.is_err() {
                        return;
                    }
                    sleep(delay).await;
                }
            }
        }
    }

    /// Lists if that is due, then watches until the watch ends.
    async fn round(&mut self) -> Result<(), Failure> {
        let client = self.client().await?;
        let requests = Request::new(path(self.resource));
        let version = match self.version.take() {
            Some(version) => version,
            None => self.list(&client, &requests).await?,
        };
        self.version = Some(version.clone());
        let params = WatchParams::default().timeout(WATCH_SECONDS);
        let request = self.request(requests.watch(&params, &version))?;
        let opened = self.answer(client.request_events(request)).await;
        let events = opened.inspect_err(|failure| {
            // After a restore the server may wait for this version forever.
            if let Failure::Api(failure) = failure
                && failure.unknown_version
            {
                self.version = None;
            }
        })?;
        self.events(pin!(events)).await
    }

    /// Sends all objects; returns their version.
    async fn list(&self, client: &Client, requests: &Request) -> Result<String, Failure> {
        let mut params = ListParams::default().limit(self.pace.page);
        for page in 0..MAX_PAGES {
            let request = self.request(requests.list(&params))?;
            let mut list: List = self.answer(client.request(request)).await?;
            let metadata = mem::take(&mut list.metadata);
            if page == 0 {
                self.send(ClusterUpdate::Restart(self.resource)).await?;
            }
            for update in list.updates(self.resource) {
                self.send(update).await?;
            }
            let more = metadata.next.filter(|token| !token.is_empty());
            let Some(token) = more else {
                let version = self.version_of(metadata.resource_version)?;
                self.send(ClusterUpdate::Synced(self.resource)).await?;
                return Ok(version);
            };
            params.continue_token = Some(token);
        }
        Err(self.rubbish("a list without end"))
    }

    /// Sends changes until the watch ends.
    async fn events(
        &mut self,
        mut events: impl Stream<Item = kube::Result<WatchEvent<Object>>> + Unpin,
    ) -> Result<(), Failure> {
        // Not earlier: the watch may be closed at once or send invalid data, and changes during
        // an outage come first.
        let mut settles = Some(Instant::now() + self.pace.first_delay);
        loop {
            let until = settles.unwrap_or_else(|| Instant::now() + self.pace.silence);
            let next = timeout_at(until, events.next()).await;
            let works = match &next {
                Err(_) => true,
                Ok(Some(Ok(_))) => Instant::now() >= until,
                Ok(_) => false,
            };
            if works && settles.take().is_some() {
                self.settle().await?;
                if next.is_err() {
                    continue;
                }
            }
            match next {
                // A watch that was cut is no outage if it can be reopened.
                Err(_) | Ok(None) => return Ok(()),
                Ok(Some(Err(kube::Error::ReadEvents(error))))
                    if error.kind() != io::ErrorKind::InvalidData =>
                {
                    return Ok(());
                }
                Ok(Some(Ok(event))) => self.event(event).await?,
                Ok(Some(Err(error))) => {
                    // The unreadable line may have been a change.
                    self.version = None;
                    return Err(self.failure(&error));
                }
            }
        }
    }

    async fn event(&mut self, event: WatchEvent<Object>) -> Result<(), Failure> {
        let (version, update) = change(self.resource, event)?;
        self.send_some(update).await?;
        self.version = None;
        self.version = Some(self.version_of(version)?);
        Ok(())
    }

    /// The shared client; reports an outage if it takes long.
    async fn client(&mut self) -> Result<Client, Failure> {
        let shared = self.client.clone();
        let mut made = pin!(shared.get(self.of_no_use));
        let made = match timeout(self.pace.deadline, &mut made).await {
            Ok(made) => made,
            Err(_) => {
                // Waits on: each retry would run the plugin once more.
                let reason = "the credential plugin of the kubeconfig does not end";
                self.report(ApiFailure::passing(reason)).await?;
                made.await
            }
        };
        self.used = made.number;
        made.client.map_err(|failure| {
            self.of_no_use = made.number;
            Failure::Api(failure)
        })
    }

    async fn answer<T>(
        &self,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Failure> {
        match timeout(self.pace.deadline, request).await {
            Ok(answer) => answer.map_err(|error| self.failure(&error)),
            Err(_) => {
                let reason = format!(
                    "{} does not answer within {} s",
                    self.client.server(),
                    self.pace.deadline.as_secs()
                );
                Err(Failure::Api(ApiFailure::passing(&reason)))
            }
        }
    }

    fn request<T>(&self, built: Result<T, kube::core::request::Error>) -> Result<T, Failure> {
        built.map_err(|error| self.failure(&kube::Error::BuildRequest(error)))
    }

    fn failure(&self, error: &kube::Error) -> Failure {
        match error {
            kube::Error::Api(status) => refusal(status),
            error => Failure::Api(ApiFailure::of(error, self.client.server())),
        }
    }

    fn version_of(&self, version: Option<String>) -> Result<String, Failure> {
        let version = version.filter(|version| !version.is_empty());
        version.ok_or_else(|| self.rubbish("an object without a version"))
    }

    fn rubbish(&self, what: &str) -> Failure {
        let reason = format!("{} sends {what}", self.client.server());
        Failure::Api(ApiFailure::passing(&reason))
    }

    /// Records that the resource is followed.
    async fn settle(&mut self) -> Result<(), Failure> {
        self.backoff = self.pace.backoff();
        if self.reported.take().is_some() {
            self.send(ClusterUpdate::Available(self.resource)).await?;
        }
        Ok(())
    }

    async fn report(&mut self, failure: ApiFailure) -> Result<(), Failure> {
        if failure.stale_credentials {
            self.of_no_use = self.used;
        }
        if self
            .reported
            .is_some_and(|reported| reported >= failure.remedy)
        {
            return Ok(());
        }
        self.reported = Some(failure.remedy);
        self.send(outage(self.resource, failure)).await
    }

    async fn send_some(&self, update: Option<ClusterUpdate>) -> Result<(), Failure> {
        match update {
            Some(update) => self.send(update).await,
            None => Ok(()),
        }
    }

    async fn send(&self, update: ClusterUpdate) -> Result<(), Failure> {
        let sent = self.updates.send(update).await;
        sent.map_err(|mpsc::error::SendError(_)| Failure::Closed)
    }
}

/// Where the API has all objects of a resource.
fn path(resource: Resource) -> &'static str {
    match resource {
        Resource::Pods => "/api/v1/pods",
        Resource::Nodes => "/api/v1/nodes",
        Resource::Services => "/api/v1/services",
        Resource::EndpointSlices => "/apis/discovery.k8s.io/v1/endpointslices",
    }
}

/// What an event changes, and the version of the cluster then.
pub(super) fn change(
    resource: Resource,
    event: WatchEvent<Object>,
) -> Result<(Option<String>, Option<ClusterUpdate>), Failure> {
    Ok(match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
            let version = object.version();
            (version, object.present(resource))
        }
        WatchEvent::Deleted(object) => {
            let version = object.version();
            (version, object.removal(resource))
        }
        WatchEvent::Bookmark(bookmark) => (Some(bookmark.metadata.resource_version), None),
        WatchEvent::Error(status) => return Err(refusal(&status)),
    })
}

/// The outage that a failure begins.
pub(super) fn outage(resource: Resource, failure: ApiFailure) -> ClusterUpdate {
    ClusterUpdate::Unavailable {
        resource,
        reason: failure.reason,
    }
}

fn refusal(status: &Status) -> Failure {
    if status.code == 410 {
        return Failure::Gone;
    }
    Failure::Api(ApiFailure::of_status(status))
}
