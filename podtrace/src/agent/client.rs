//! A console's side of an agent.
use std::{
    fs::File,
    future::ready,
    io, mem,
    os::{fd::OwnedFd, unix::net::UnixStream as Pipe},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, join},
    net::UnixStream,
    process::{Child, Command},
    sync::oneshot,
    time::timeout,
};
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};
use tower::service_fn;

use super::{
    Address, AgentError, Request,
    error::{PATIENCE, in_words},
    message::{Taken, cut},
    probe::outcomes,
    proto::{
        HelloReply, HelloRequest, ProbeRequest, TimeRequest, TraceReply, agent_client::AgentClient,
    },
    tls,
};
use crate::{
    cause::chain,
    model::probes::{Outcomes, Probes},
    text::{sanitize::sanitize, system_error::without_numbers},
};

/// What ssh runs on the node.
const AGENT: &str = "sudo -n podtrace agent --stdio";
/// How long a command that leads nowhere may take to end.
const COMMAND_END: Duration = Duration::from_millis(500);
/// Upper bound of a message: agents send at most 64 KiB of a session in one.
const MESSAGE_MAX: usize = 1 << 20;
/// Upper bounds of the name of its host, in characters, and of how many notices are kept.
const HOST_MAX: usize = 253;
const NOTICES_MAX: usize = 16;

/// What an agent may do that a console starts itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// Give out what packets carry.
    pub payload: bool,
    /// Send packets.
    pub probe: bool,
}

impl Allow {
    /// The options of `podtrace agent`.
    pub fn options(self) -> impl Iterator<Item = &'static str> {
        let all = [(self.payload, "--payload"), (self.probe, "--probe")];
        let given = all.into_iter().filter(|(is_given, _)| *is_given);
        given.map(|(_, option)| option)
    }
}

/// A connection to an agent.
pub struct Agent {
    client: AgentClient<Channel>,
    /// Name of the agent's host, safe to show.
    host: String,
    /// Names of its nodes, safe to show.
    nodes: Vec<String>,
    gives_payload: bool,
    gives_probe: bool,
    /// The command that leads to it, which ends with the connection.
    _command: Option<Child>,
}

impl Agent {
    /// Connects to an agent. `allow`: what it may do if that starts it.
    ///
    /// # Errors
    /// When it cannot be reached, or does not answer.
    pub async fn connect(address: &Address, allow: Allow) -> Result<Self, AgentError> {
        let connected = timeout(PATIENCE, Self::open(address, allow)).await;
        connected.unwrap_or(Err(AgentError::SILENT))
    }

    async fn open(address: &Address, allow: Allow) -> Result<Self, AgentError> {
        let (channel, command) = match address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                let stream = stream.map_err(|error| AgentError::Connect {
                    reason: without_numbers(&error.to_string()),
                })?;
                (over(stream).await?, None)
            }
            Address::Tls { folder: None, .. } => {
                let words = "tls:// takes --tls FOLDER, with the certificate of this console";
                return Err(AgentError::Tls(words.to_owned()));
            }
            Address::Tls {
                host,
                port,
                folder: Some(folder),
            } => (over(tls::connect(host, *port, folder).await?).await?, None),
            Address::Exec(command) => by_command("sh", &["-c", command]).await?,
            Address::Ssh { destination, port } => {
                let port = port.map(|port| port.to_string());
                let mut arguments = vec!["-T", "-o", "BatchMode=yes"];
                if let Some(port) = &port {
                    arguments.extend(["-p", port]);
                }
                arguments.extend(["--", destination, AGENT]);
                arguments.extend(allow.options().map(|option| -> &str { option }));
                by_command("ssh", &arguments).await?
            }
        };
        Self::greet(channel, command).await
    }

    /// Speaks with an agent over a stream that leads to it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Self, AgentError> {
        let greeted = timeout(PATIENCE, async {
            Self::greet(over(stream).await?, None).await
        });
        greeted.await.unwrap_or(Err(AgentError::SILENT))
    }

    /// Asks who answers. `command`: what leads there.
    async fn greet(channel: Channel, command: Option<Child>) -> Result<Self, AgentError> {
        let mut client = AgentClient::new(channel).max_decoding_message_size(MESSAGE_MAX);
        let hello = HelloRequest {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let HelloReply {
            host,
            gives_payload,
            nodes,
            gives_probe,
            ..
        } = match client.hello(hello).await {
            Ok(reply) => reply.into_inner(),
            Err(status) => return Err(why(status, command).await),
        };
        let host = sanitize(&cut(&host, HOST_MAX));
        let nodes = match nodes.is_empty() {
            // It is older.
            true => vec![host.clone()],
            false => nodes
                .iter()
                .map(|name| sanitize(&cut(name, HOST_MAX)))
                .collect(),
        };
        Ok(Self {
            client,
            host,
            nodes,
            gives_payload,
            gives_probe,
            _command: command,
        })
    }

    /// Name of its host, safe to show.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Names of the nodes that it traces, safe to show; of an old one the name of its host.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// Whether it gives out what packets carry.
    #[must_use]
    pub fn gives_payload(&self) -> bool {
        self.gives_payload
    }

    /// What sends packets there.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender {
            client: self.client.clone(),
            nodes: self.nodes.join(", "),
            gives_probe: self.gives_probe,
        }
    }

    /// What its clock shows, in nanoseconds of its CLOCK_MONOTONIC.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn time(&mut self) -> Result<u64, AgentError> {
        let asked = timeout(PATIENCE, self.client.time(TimeRequest {})).await;
        let asked = asked.map_err(|_elapsed| AgentError::SILENT)?;
        Ok(asked?.into_inner().monotonic_ns)
    }

    /// Starts a trace; returns once its session begins.
    ///
    /// # Errors
    /// When it refuses, or its trace cannot start.
    pub async fn trace(&mut self, request: &Request) -> Result<Trace, AgentError> {
        let (end, asked_to_end) = oneshot::channel::<()>();
        let requests = stream::iter([request.to_message()]);
        // The stream of requests ends when the trace is to.
        let rest = stream::once(asked_to_end).filter_map(|_| ready(None));
        let asked = timeout(PATIENCE, self.client.trace(requests.chain(rest))).await;
        let replies = asked.map_err(|_elapsed| AgentError::SILENT)??.into_inner();
        let (session, sender) = pipe().map_err(|error| AgentError::System("a pipe", error))?;
        let (failure, notices) = (Failure::default(), Notices::default());
        let (first, begun) = oneshot::channel();
        tokio::spawn(receive(
            replies,
            sender,
            (failure.clone(), notices.clone()),
            first,
        ));
        match timeout(PATIENCE, begun).await {
            Ok(Ok(())) => Ok(Trace {
                session,
                control: Control {
                    end: Some(end),
                    failure,
                    notices,
                },
            }),
            Ok(Err(_)) => {
                let why = failure.take();
                let ended = || "its trace ended before it began".to_owned();
                Err(AgentError::Refused(why.unwrap_or_else(ended)))
            }
            Err(_elapsed) => Err(AgentError::SILENT),
        }
    }
}

/// What sends packets on the node of an agent.
pub struct Sender {
    client: AgentClient<Channel>,
    nodes: String,
    gives_probe: bool,
}

impl Sender {
    /// Whether the agent sends for consoles.
    #[must_use]
    pub fn may_send(&self) -> bool {
        self.gives_probe
    }

    /// Sends these, and waits for the answers.
    ///
    /// # Errors
    /// When the agent does not allow it, or cannot.
    pub async fn send(mut self, probes: &Probes) -> Result<Outcomes, AgentError> {
        if !self.gives_probe {
            return Err(AgentError::Refused(format!(
                "the agent of {} does not send packets for consoles; it does where it is started with \
                 --probe",
                self.nodes
            )));
        }
        let asked = timeout(PATIENCE, self.client.probe(ProbeRequest::from(probes))).await;
        let asked = asked.map_err(|_elapsed| AgentError::SILENT)?;
        Ok(outcomes(asked?.into_inner(), probes.ask))
    }
}

/// A trace of an agent. Dropping it ends the trace.
pub struct Trace {
    /// Its session, as the bytes of a recording.
    pub session: File,
    control: Control,
}

impl Trace {
    /// What ends the trace, and tells why it failed, once the session was taken.
    #[must_use]
    pub fn into_parts(self) -> (File, Control) {
        (self.session, self.control)
    }
}

/// Ends a trace, and tells why it failed. The default has nothing to end.
#[derive(Default)]
pub struct Control {
    /// Dropped to end the trace.
    end: Option<oneshot::Sender<()>>,
    failure: Failure,
    notices: Notices,
}

impl Control {
    /// Asks the trace to end; what is on its way follows.
    pub fn end(&mut self) {
        self.end = None;
    }

    /// Whether [`Self::failure`] has something to tell.
    #[cfg(test)]
    pub(super) fn has_failed(&self) -> bool {
        let words = self.failure.0.lock();
        words.unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// What the agent tells of the trace, each once, safe to show.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let mut notices = self
            .notices
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut *notices)
    }

    /// Why the session has ended before it was asked to, once.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.take()
    }
}

/// What the agent tells of the trace.
#[derive(Clone, Default)]
struct Notices(Arc<Mutex<Vec<String>>>);

/// Why a session has ended, if it failed.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    fn set(&self, words: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }

    fn take(&self) -> Option<String> {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        words.take()
    }
}

/// Why there is no agent behind a connection. `command`: what was to lead to it.
async fn why(status: Status, command: Option<Child>) -> AgentError {
    let Some(mut command) = command else {
        return status.into();
    };
    match timeout(COMMAND_END, command.wait()).await {
        Ok(Ok(ended)) => AgentError::Connect {
            reason: format!("the command ended with {ended}, and no agent answered"),
        },
        _ => AgentError::Connect {
            reason: "what answers is no agent of podtrace".to_owned(),
        },
    }
}

/// A connection over a stream.
async fn over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Channel, AgentError> {
    let mut stream = Some(TokioIo::new(stream));
    // The address is not looked at. There is one connection: it cannot be opened again.
    let endpoint = Endpoint::from_static("http://podtrace");
    let connected = endpoint.connect_with_connector(service_fn(move |_| {
        let stream = stream.take().ok_or(io::ErrorKind::NotConnected);
        ready(stream.map_err(io::Error::from))
    }));
    connected.await.map_err(|error| AgentError::Connect {
        reason: chain(&error),
    })
}

/// A connection over the standard input and output of a command.
async fn by_command(
    program: &str,
    arguments: &[&str],
) -> Result<(Channel, Option<Child>), AgentError> {
    let mut command = Command::new(program);
    // What it says goes to standard error, and so to the user.
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C is for the console, which ends the trace in order.
        .process_group(0)
        .kill_on_drop(true);
    let failed = |source| AgentError::Run {
        program: program.to_owned(),
        source,
    };
    let mut child = command.spawn().map_err(failed)?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed(io::ErrorKind::BrokenPipe.into()));
    };
    Ok((over(join(output, input)).await?, Some(child)))
}

/// The reading end of a pipe for another thread, and the end to write to.
fn pipe() -> io::Result<(File, UnixStream)> {
    let (session, sender) = Pipe::pair()?;
    sender.set_nonblocking(true)?;
    // The reader polls before it reads.
    session.set_nonblocking(true)?;
    Ok((
        File::from(OwnedFd::from(session)),
        UnixStream::from_std(sender)?,
    ))
}

/// Writes a session to the pipe until it ends, or its reader leaves. `first`: told that it begins.
async fn receive(
    mut replies: Streaming<TraceReply>,
    mut session: UnixStream,
    (failure, notices): (Failure, Notices),
    first: oneshot::Sender<()>,
) {
    let (mut first, mut told) = (Some(first), 0);
    loop {
        let part = match replies.message().await {
            Ok(Some(TraceReply { part })) => part,
            Ok(None) => return failure.set("the connection ended".to_owned()),
            Err(status) => return failure.set(in_words(&status)),
        };
        match Taken::of(part) {
            Taken::Session(bytes) => {
                if session.write_all(&bytes).await.is_err() {
                    return;
                }
                // Its receiver may have given up.
                let _ = first.take().map(|first| first.send(()));
            }
            Taken::End(why) => {
                if !why.is_empty() {
                    failure.set(why);
                }
                return;
            }
            Taken::Notice(words) if told < NOTICES_MAX => {
                told += 1;
                let mut notices = notices.0.lock().unwrap_or_else(PoisonError::into_inner);
                notices.push(words);
            }
            Taken::Notice(_) | Taken::Nothing => {}
        }
    }
}
