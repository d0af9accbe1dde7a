//! What an agent answers.
use std::{
    ffi::OsString, future::pending, mem, path::PathBuf, pin::Pin, sync::Arc, time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    io::AsyncReadExt as _,
    process::ChildStdout,
    sync::{Semaphore, mpsc},
    task::block_in_place,
    time::{Instant, sleep_until, timeout},
};
use tonic::{Request, Response, Status, Streaming};

use super::{
    AgentError,
    consoles::{Consoles, Local, Rights},
    error::PATIENCE,
    journal::{End, Entry, Journal},
    peer::{Peer, Seat, Seats},
    probe::probes,
    proto::{
        HelloReply, HelloRequest, ProbeReply, ProbeRequest, TimeReply, TimeRequest, TraceEnd,
        TraceReply, TraceRequest, agent_server::Agent, trace_reply::Part,
    },
    request::Request as Wanted,
    trace::Process,
};
use crate::{
    clock::monotonic_ns,
    model::probes::{Outcomes, Probes},
};

/// Bytes of a session in one message.
const CHUNK: usize = 64 << 10;
/// Messages that wait for the connection; behind them the process that traces waits, and counts
/// what it does not record.
const QUEUE: usize = 4;
/// How much longer than it was to last a trace may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

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
    /// Beyond so many events a second, a trace samples.
    pub max_rate: Option<u64>,
    /// The file that says which consoles may ask for what.
    pub consoles: Option<PathBuf>,
    /// Whether it tells what is traced for whom.
    pub tells: bool,
}

/// An agent.
#[derive(Clone)]
pub(super) struct Service {
    options: Arc<ServeOptions>,
    consoles: Arc<Consoles>,
    journal: Arc<Journal>,
    room: Arc<Seats>,
    /// One console sends at a time.
    sending: Arc<Semaphore>,
}

impl Service {
    /// # Errors
    /// When the file of rights cannot be used.
    pub(super) fn new(options: ServeOptions, journal: Arc<Journal>) -> Result<Self, AgentError> {
        let local = Local {
            payload: options.gives_payload,
            probe: options.prober.is_some(),
        };
        let consoles = Consoles::new(options.consoles.as_deref(), local)?;
        Ok(Self {
            room: Arc::new(Seats::new(options.traces_max, "traces")),
            sending: Arc::new(Semaphore::new(1)),
            options: Arc::new(options),
            consoles: Arc::new(consoles),
            journal,
        })
    }

    /// Who asks, and for what they may.
    fn admit<T>(&self, request: &Request<T>) -> Result<(Arc<Peer>, Rights), Status> {
        let peer = request.extensions().get::<Arc<Peer>>();
        let peer = peer.ok_or_else(|| Status::internal("nobody knows who asks"))?;
        match self.consoles.rights(&peer.who, &self.journal) {
            Some(rights) => Ok((Arc::clone(peer), rights)),
            None => Err(self.refuse(
                peer,
                Status::permission_denied(format!(
                    "{} may not trace there\nhint: a [[console]] in the agent's file of --consoles \
                     lets one",
                    peer.who.in_words()
                )),
            )),
        }
    }

    fn refuse(&self, peer: &Peer, status: Status) -> Status {
        let who = format!("{} from {}", peer.who.in_words(), peer.from);
        self.journal.refused(&who, status.message());
        status
    }

    /// What is to be traced for whom, with a place for it; what was changed of it is said.
    fn grant(
        &self,
        (peer, rights): (&Peer, &Rights),
        message: TraceRequest,
    ) -> Result<(Wanted, Granted), Status> {
        // It may look names up in the network.
        let wanted = block_in_place(|| Wanted::of(message));
        let mut wanted = wanted.map_err(Status::invalid_argument)?;
        if wanted.payload && !rights.payload {
            return Err(Status::permission_denied(
                "the agent gives out headers only\nhint: it may be started with --payload, or with \
                 payload = true in its file of --consoles",
            ));
        }
        let asked = wanted.in_words();
        let each_max = rights.traces_max.unwrap_or(usize::MAX);
        let seat = self.room.take_below(&peer.who, each_max).map_err(|why| {
            Status::resource_exhausted(format!(
                "{why}\nhint: the agent may be started with --max-traces"
            ))
        })?;
        let notices = rights.bound(&mut wanted, self.options.max_rate);
        let granted = Granted {
            entry: self.journal.begin(peer, &asked),
            journal: Arc::clone(&self.journal),
            until: wanted.duration.map(|lasts| Instant::now() + lasts + GRACE),
            notices,
            _seat: seat,
        };
        Ok((wanted, granted))
    }
}

/// A trace that may run.
struct Granted {
    entry: Entry,
    journal: Arc<Journal>,
    /// When it ends, whatever its console does.
    until: Option<Instant>,
    /// What the console is told before.
    notices: Vec<String>,
    _seat: Seat,
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.journal.end(&self.entry);
    }
}

type Replies = Pin<Box<dyn Stream<Item = Result<TraceReply, Status>> + Send>>;

#[tonic::async_trait]
impl Agent for Service {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let (_, rights) = self.admit(&request)?;
        Ok(Response::new(HelloReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.options.host.clone(),
            gives_payload: rights.payload,
            nodes: self.options.nodes.clone(),
            gives_probe: rights.probe && self.options.prober.is_some(),
        }))
    }

    async fn time(&self, request: Request<TimeRequest>) -> Result<Response<TimeReply>, Status> {
        self.admit(&request)?;
        let now = monotonic_ns().map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(TimeReply { monotonic_ns: now }))
    }

    async fn probe(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        let (peer, rights) = self.admit(&request)?;
        let Some(prober) = self.options.prober.filter(|_| rights.probe) else {
            let words = "the agent sends no packets\nhint: it may be started with --probe, and with \
                         probe = true in its file of --consoles";
            return Err(self.refuse(&peer, Status::permission_denied(words)));
        };
        let probes = probes(request.into_inner()).map_err(Status::invalid_argument)?;
        let turn = Arc::clone(&self.sending).acquire_owned().await;
        let turn = turn.map_err(|_closed| Status::unavailable("the agent ends"))?;
        let (who, from) = (peer.who.in_words(), &peer.from);
        self.journal
            .note(&format!("for {who} from {from} it sends {probes}"));
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
        let (peer, rights) = self.admit(&request)?;
        let mut requests = request.into_inner();
        let message = timeout(PATIENCE, requests.message()).await;
        let message = message.map_err(|_elapsed| Status::deadline_exceeded("no request came"))?;
        let Some(message) = message? else {
            return Err(Status::invalid_argument("nothing was asked for"));
        };
        let granted = self.grant((&peer, &rights), message);
        let (wanted, granted) = granted.map_err(|status| self.refuse(&peer, status))?;
        let mut arguments = wanted.arguments();
        // Before the expression, which is the last one.
        let at = arguments.len() - usize::from(!wanted.expression.is_empty());
        arguments.splice(at..at, self.options.arguments.iter().cloned());
        let (process, session) = Process::start(&self.options.program, &arguments)
            .map_err(|error| Status::internal(format!("failed to run podtrace: {error}")))?;
        let (replies, queue) = mpsc::channel(QUEUE);
        tokio::spawn(forward(process, session, requests, replies, granted));
        let queue = stream::unfold(queue, |mut queue| async {
            let reply = queue.recv().await?;
            Some((reply, queue))
        });
        Ok(Response::new(queue.boxed()))
    }
}

/// Hands the session on until it ends, the console leaves, or its time is over.
async fn forward(
    process: Process,
    session: ChildStdout,
    requests: Streaming<TraceRequest>,
    replies: mpsc::Sender<Result<TraceReply, Status>>,
    mut granted: Granted,
) {
    let over = granted.until;
    let late = async {
        match over {
            Some(over) => sleep_until(over).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = hand_on(process, session, requests, &replies, &mut granted) => {}
        // A console that does not read has no longer a trace than others.
        () = late => granted.entry.end = End::Late,
    }
}

async fn hand_on(
    mut process: Process,
    mut session: ChildStdout,
    mut requests: Streaming<TraceRequest>,
    replies: &mpsc::Sender<Result<TraceReply, Status>>,
    granted: &mut Granted,
) {
    for words in mem::take(&mut granted.notices) {
        if send(replies, Part::Notice(words)).await.is_err() {
            return;
        }
    }
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
                granted.entry.bytes += len as u64;
                Part::Session(bytes)
            }
        };
        if send(replies, part).await.is_err() {
            return;
        }
    }
    let error = process.end().await;
    granted.entry.end = match &error {
        Some(why) => End::Failed(why.clone()),
        None if is_asked_to_end => End::Asked,
        None => End::Over,
    };
    // It may have left meanwhile.
    let error = error.unwrap_or_default();
    let _ = send(replies, Part::End(TraceEnd { error })).await;
}

async fn send(
    replies: &mpsc::Sender<Result<TraceReply, Status>>,
    part: Part,
) -> Result<(), mpsc::error::SendError<Result<TraceReply, Status>>> {
    replies.send(Ok(TraceReply { part: Some(part) })).await
}
