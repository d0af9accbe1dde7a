//! What an agent answers.
use std::{
    ffi::OsString,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    io::AsyncReadExt as _,
    process::ChildStdout,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tonic::{
    Request, Response, Status, Streaming,
    transport::server::{Connected, UdsConnectInfo},
};

use super::{
    probe::probes,
    proto::{
        HelloReply, HelloRequest, ProbeReply, ProbeRequest, TimeReply, TimeRequest, TraceEnd,
        TraceReply, TraceRequest, agent_server::Agent, trace_reply::Part,
    },
    request::Request as Wanted,
    stdio::Stdio,
    trace::Process,
};
use crate::{
    clock::monotonic_ns,
    model::probes::{Outcomes, Probes},
    sink,
    text::sanitize::sanitize,
};

/// Bytes of a session in one message.
const CHUNK: usize = 64 << 10;
/// Messages that wait for the connection; behind them the process that traces waits, and counts
/// what it does not record.
const QUEUE: usize = 4;

/// How an agent serves.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The program that traces: podtrace.
    pub program: PathBuf,
    /// Its arguments beside those of a request: which nodes, and where names come from.
    pub arguments: Vec<OsString>,
    /// Name of the host.
    pub host: String,
    /// Names of the nodes that it traces.
    pub nodes: Vec<String>,
    /// Whether it gives out what packets carry.
    pub gives_payload: bool,
    /// What sends packets for consoles, and waits for the answers; none if that is not allowed.
    pub prober: Option<fn(Probes) -> Result<Outcomes, String>>,
    /// How many traces run at a time at most.
    pub traces_max: usize,
    /// Whether it tells what is traced for whom.
    pub tells: bool,
}

/// An agent.
#[derive(Clone)]
pub(super) struct Service {
    options: Arc<ServeOptions>,
    room: Arc<Semaphore>,
    /// One console sends at a time.
    sending: Arc<Semaphore>,
}

impl Service {
    pub(super) fn new(options: ServeOptions) -> Self {
        Self {
            room: Arc::new(Semaphore::new(options.traces_max)),
            sending: Arc::new(Semaphore::new(1)),
            options: Arc::new(options),
        }
    }
}

type Replies = Pin<Box<dyn Stream<Item = Result<TraceReply, Status>> + Send>>;

#[tonic::async_trait]
impl Agent for Service {
    async fn hello(&self, _: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        Ok(Response::new(HelloReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.options.host.clone(),
            gives_payload: self.options.gives_payload,
            nodes: self.options.nodes.clone(),
            gives_probe: self.options.prober.is_some(),
        }))
    }

    async fn time(&self, _: Request<TimeRequest>) -> Result<Response<TimeReply>, Status> {
        let now = monotonic_ns().map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(TimeReply { monotonic_ns: now }))
    }

    async fn probe(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        let who = peer(&request);
        let Some(prober) = self.options.prober else {
            return Err(Status::permission_denied(
                "the agent sends no packets\nhint: it may be started with --probe",
            ));
        };
        let probes = probes(request.into_inner()).map_err(Status::invalid_argument)?;
        let turn = Arc::clone(&self.sending).acquire_owned().await;
        let turn = turn.map_err(|_closed| Status::unavailable("the agent ends"))?;
        if self.options.tells {
            sink::tell(&format!("for {} it sends {probes}", sanitize(&who)));
        }
        // It goes on if the console leaves: the next one waits for its end.
        let sent = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            prober(probes)
        });
        let sent = sent
            .await
            .map_err(|error| Status::internal(error.to_string()))?;
        let outcomes = sent.map_err(Status::failed_precondition)?;
        Ok(Response::new(outcomes.into()))
    }

    type TraceStream = Replies;

    async fn trace(
        &self,
        request: Request<Streaming<TraceRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let who = peer(&request);
        let mut requests = request.into_inner();
        let Some(message) = requests.message().await? else {
            return Err(Status::invalid_argument("nothing was asked for"));
        };
        let wanted = Wanted::of(message).map_err(Status::invalid_argument)?;
        if wanted.payload && !self.options.gives_payload {
            return Err(Status::permission_denied(
                "the agent gives out headers only\nhint: it may be started with --payload",
            ));
        }
        let room = Arc::clone(&self.room).try_acquire_owned();
        let room = room.map_err(|_error| {
            Status::resource_exhausted(format!(
                "{} traces run there already\nhint: the agent may be started with --max-traces",
                self.options.traces_max
            ))
        })?;
        let mut arguments = wanted.arguments();
        // Before the expression, which is the last one.
        let at = arguments.len() - usize::from(!wanted.expression.is_empty());
        arguments.splice(at..at, self.options.arguments.iter().cloned());
        let (process, session) = Process::start(&self.options.program, &arguments)
            .map_err(|error| Status::internal(format!("failed to run podtrace: {error}")))?;
        let log = Log::begin(self.options.tells, &format!("{who}: {}", wanted.in_words()));
        let (replies, queue) = mpsc::channel(QUEUE);
        tokio::spawn(forward(process, session, requests, replies, (log, room)));
        let queue = stream::unfold(queue, |mut queue| async {
            let reply = queue.recv().await?;
            Some((reply, queue))
        });
        Ok(Response::new(queue.boxed()))
    }
}

/// Hands the session on until it ends, or the console leaves.
async fn forward(
    mut process: Process,
    mut session: ChildStdout,
    mut requests: Streaming<TraceRequest>,
    replies: mpsc::Sender<Result<TraceReply, Status>>,
    (mut log, _room): (Log, OwnedSemaphorePermit),
) {
    tokio::select! {
        () = process.begin() => {}
        () = replies.closed() => return,
    }
    let mut is_asked_to_end = false;
    loop {
        let mut bytes = Vec::with_capacity(CHUNK);
        let read = tokio::select! {
            read = session.read_buf(&mut bytes) => read,
            asked = requests.message(), if !is_asked_to_end => {
                match asked {
                    // One trace is all that it asks for.
                    Ok(Some(_)) => {}
                    Ok(None) => {
                        is_asked_to_end = true;
                        process.interrupt();
                    }
                    // The connection broke.
                    Err(_status) => return,
                }
                continue;
            }
            () = replies.closed() => return,
        };
        let part = match read {
            Ok(0) | Err(_) => break,
            Ok(len) => {
                log.bytes += len as u64;
                Part::Session(bytes)
            }
        };
        if send(&replies, part).await.is_err() {
            return;
        }
    }
    let error = process.end().await.unwrap_or_default();
    log.error.clone_from(&error);
    // It may have left meanwhile.
    let _ = send(&replies, Part::End(TraceEnd { error })).await;
}

async fn send(
    replies: &mpsc::Sender<Result<TraceReply, Status>>,
    part: Part,
) -> Result<(), mpsc::error::SendError<Result<TraceReply, Status>>> {
    replies.send(Ok(TraceReply { part: Some(part) })).await
}

/// Who asks, in words.
fn peer<T>(request: &Request<T>) -> String {
    let extensions = request.extensions();
    if let Some(info) = extensions.get::<UdsConnectInfo>()
        && let Some(cred) = info.peer_cred
    {
        return match cred.pid() {
            Some(pid) => format!("user {}, process {pid}", cred.uid()),
            None => format!("user {}", cred.uid()),
        };
    }
    if extensions
        .get::<<Stdio as Connected>::ConnectInfo>()
        .is_some()
    {
        return "standard input".to_owned();
    }
    "a console".to_owned()
}

/// Tells what is traced for whom, and for how long.
struct Log {
    tells: bool,
    number: u64,
    since: Instant,
    bytes: u64,
    error: String,
}

static TRACES: AtomicU64 = AtomicU64::new(1);

impl Log {
    fn begin(tells: bool, what: &str) -> Self {
        let number = TRACES.fetch_add(1, Ordering::Relaxed);
        if tells {
            sink::tell(&format!("trace {number} for {}", sanitize(what)));
        }
        Self {
            tells,
            number,
            since: Instant::now(),
            bytes: 0,
            error: String::new(),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if !self.tells {
            return;
        }
        let Self {
            number,
            since,
            bytes,
            error,
            ..
        } = self;
        let seconds = since.elapsed().as_secs_f64();
        let failed = match error.lines().next() {
            Some(error) => format!(", failed: {}", sanitize(error)),
            None => String::new(),
        };
        sink::tell(&format!(
            "trace {number} ended after {seconds:.1} s, {bytes} bytes{failed}"
        ));
    }
}
