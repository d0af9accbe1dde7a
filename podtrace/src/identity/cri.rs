//! The container runtime of a node, asked over the Container Runtime Interface.
#[doc(hidden)]
pub mod answers;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod info;
mod netns;
mod pods;
mod sandbox;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::Future,
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, future, stream, stream::FuturesOrdered};
use hyper_util::rt::TokioIo;
use k8s_cri::v1::{
    ListContainersRequest, ListPodSandboxRequest, PodSandboxStatusRequest,
    PodSandboxStatusResponse, VersionRequest, runtime_service_client::RuntimeServiceClient,
};
use tokio::{
    net::UnixStream,
    time::{Instant, timeout, timeout_at},
};
use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint},
};

pub use self::{error::CriError, pods::PodList};
use self::{error::printable, pods::Answer, sandbox::Sandbox};
use crate::text::escape::shown;

/// Where runtimes listen, in the order in which they are tried.
pub const SOCKETS: &[&str] = &[
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    // k3s and rke2.
    "/run/k3s/containerd/containerd.sock",
    // k0s.
    "/run/k0s/containerd.sock",
    // microk8s.
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/cri-dockerd.sock",
];

/// Timeout of a connection and the first answer. A runtime on the same machine takes
/// milliseconds, and a hanging one must not delay the trace for long.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of one call. A busy runtime with hundreds of pods needs some hundred
/// milliseconds for its longest answer.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout for the details of all sandboxes of one list; the next list asks for the rest.
const DETAILS_TIMEOUT: Duration = Duration::from_secs(10);
/// How many sandboxes it asks for at the same time.
const DETAILS_AT_ONCE: usize = 8;
/// Upper bound of an answer: the kubelet's own limit.
const MAX_MESSAGE: usize = 16 << 20;

/// The identity of a runtime. Its strings are safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Name, as `containerd`.
    pub name: String,
    /// Version of the runtime.
    pub version: String,
    /// The socket of the connection.
    pub socket: PathBuf,
    /// The process that listens on the socket, in podtrace's pid namespace; none if it is
    /// not visible there. With socket activation it is the process that made the socket.
    pub peer_pid: Option<u32>,
    /// Inode of that process' network namespace: the node's.
    pub netns_inode: Option<u64>,
}

impl About {
    /// Which of the nodes with these network namespaces (inodes) it serves.
    #[must_use]
    pub fn node_among(&self, inodes: &[u64]) -> Option<usize> {
        match self.netns_inode {
            Some(inode) => inodes.iter().position(|node| *node == inode),
            // If its process is invisible, the only node is the likely one.
            None => (inodes.len() == 1).then_some(0),
        }
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let socket = shown(&self.socket);
        write!(f, "{} {} at {socket}", self.name, self.version)
    }
}

/// A connection to a container runtime. It does not reconnect.
#[derive(Debug)]
pub struct Runtime {
    about: About,
    channel: Channel,
    client: RuntimeServiceClient<Channel>,
    known: HashMap<String, Sandbox>,
    in_transition: bool,
}

impl Runtime {
    /// Connects to the first of the known sockets that exists and answers.
    ///
    /// # Errors
    /// When none exists; otherwise why the first that exists does not answer.
    pub async fn find() -> Result<Self, CriError> {
        Self::find_among(SOCKETS.iter().map(Path::new)).await
    }

    async fn find_among(sockets: impl Iterator<Item = &Path> + Clone) -> Result<Self, CriError> {
        // All at once, so that a hanging one costs no more than its own timeout.
        let mut attempts: FuturesOrdered<_> = sockets.clone().map(Self::connect).collect();
        let mut first = None;
        while let Some(attempt) = attempts.next().await {
            match attempt {
                Ok(runtime) => return Ok(runtime),
                Err(CriError::NoSocket { .. }) => {}
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| {
            let tried: Vec<_> = sockets.map(shown).collect();
            CriError::NoRuntime {
                tried: tried.join(", "),
            }
        }))
    }

    /// Connects to the runtime at a socket and asks for its version, in at
    /// most [`CONNECT_TIMEOUT`].
    ///
    /// # Errors
    /// Why there is no runtime that speaks CRI, and what to do.
    pub async fn connect(socket: &Path) -> Result<Self, CriError> {
        timeout(CONNECT_TIMEOUT, Self::try_connect(socket))
            .await
            .unwrap_or_else(|_| {
                Err(CriError::Silent {
                    socket: socket.to_owned(),
                    call: "Version",
                    waited: CONNECT_TIMEOUT,
                })
            })
    }

    async fn try_connect(socket: &Path) -> Result<Self, CriError> {
        let stream = open(socket).await?;
        // 0 stands for a process outside podtrace's pid namespace.
        let peer_pid = stream
            .peer_cred()
            .ok()
            .and_then(|peer| u32::try_from(peer.pid()?).ok())
            .filter(|&pid| pid != 0);
        let channel = channel(stream).await.map_err(|error| CriError::NotCri {
            socket: socket.to_owned(),
            detail: printable(&error),
        })?;
        let mut client =
            RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let request = VersionRequest {
            version: "v1".to_owned(),
        };
        let version = client
            .version(request)
            .await
            .map_err(|status| CriError::from_first_status(socket, "Version", &status))?
            .into_inner();
        Ok(Self {
            about: About {
                name: printable(version.runtime_name),
                version: printable(version.runtime_version),
                socket: socket.to_owned(),
                peer_pid,
                netns_inode: peer_pid.and_then(netns_inode),
            },
            channel,
            client,
            known: HashMap::new(),
            in_transition: false,
        })
    }

    /// The identity of the runtime.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The connection, for the runtime's other services.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Whether the last list showed a change in progress.
    pub(crate) fn is_in_transition(&self) -> bool {
        self.in_transition
    }

    /// Lists the pods. Asks only once for what never changes in a sandbox.
    ///
    /// # Errors
    /// When the runtime has ended, hangs or refuses.
    pub async fn list(&mut self) -> Result<PodList, CriError> {
        let (mut pods, mut containers) = (self.client.clone(), self.client.clone());
        let (pods, containers) = future::try_join(
            self.call(
                "ListPodSandbox",
                pods.list_pod_sandbox(ListPodSandboxRequest::default()),
            ),
            self.call(
                "ListContainers",
                containers.list_containers(ListContainersRequest::default()),
            ),
        )
        .await?;
        let answer = Answer::new(pods.items, containers.containers);
        let vanished = self.learn(&answer).await;
        self.in_transition = answer.is_in_transition() || self.known.values().any(Sandbox::is_due);
        Ok(answer.into_list(&self.known, &vanished))
    }

    /// Asks for the details of the sandboxes that are new or changed. Returns
    /// those that have vanished meanwhile.
    async fn learn(&mut self, answer: &Answer) -> HashSet<String> {
        let listed: HashMap<_, _> = answer.sandboxes().collect();
        self.known.retain(|id, _| listed.contains_key(id.as_str()));
        let mut due = Vec::new();
        for (id, state) in listed {
            let sandbox = self.known.entry(id.to_owned()).or_default();
            if sandbox.turn(state) {
                due.push(id.to_owned());
            }
        }
        let client = self.client.clone();
        let mut answers = stream::iter(due)
            .map(|id| status(client.clone(), id))
            .buffer_unordered(DETAILS_AT_ONCE);
        let deadline = Instant::now() + DETAILS_TIMEOUT;
        let mut vanished = HashSet::new();
        while let Ok(Some((id, answer))) = timeout_at(deadline, answers.next()).await {
            match answer {
                Ok(answer) => self.learn_one(id, answer).await,
                Err(status) if status.code() == Code::NotFound => {
                    self.known.remove(&id);
                    vanished.insert(id);
                }
                // Its details stay as they are until the next attempt.
                Err(_) => {}
            }
        }
        vanished
    }

    /// Entering a namespace needs a thread outside the executor.
    async fn learn_one(&mut self, id: String, answer: PodSandboxStatusResponse) {
        let Some(mut sandbox) = self.known.remove(&id) else {
            return;
        };
        let (runtime, node) = (self.about.peer_pid, self.about.netns_inode);
        let learned = tokio::task::spawn_blocking(move || {
            sandbox.learn(&answer, runtime, node);
            sandbox
        });
        // It fails only if it panics or the executor ends.
        if let Ok(sandbox) = learned.await {
            self.known.insert(id, sandbox);
        }
    }

    async fn call<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CriError> {
        let socket = &self.about.socket;
        match timeout(CALL_TIMEOUT, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(CriError::from_status(socket, call, &status)),
            Err(_) => Err(CriError::Silent {
                socket: socket.clone(),
                call,
                waited: CALL_TIMEOUT,
            }),
        }
    }
}

/// Asks for all details of one sandbox.
async fn status(
    mut client: RuntimeServiceClient<Channel>,
    id: String,
) -> (String, Result<PodSandboxStatusResponse, Status>) {
    let request = PodSandboxStatusRequest {
        pod_sandbox_id: id.clone(),
        verbose: true,
    };
    let answer = timeout(CALL_TIMEOUT, client.pod_sandbox_status(request))
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
    (id, answer.map(Response::into_inner))
}

/// Fails unless there is a socket at the path.
///
/// # Errors
/// When there is none, or something else.
pub fn check_socket(socket: &Path) -> Result<(), CriError> {
    let metadata = socket.metadata();
    let metadata = metadata.map_err(|source| CriError::from_io(socket, source))?;
    if metadata.file_type().is_socket() {
        return Ok(());
    }
    Err(CriError::NotASocket {
        socket: socket.to_owned(),
    })
}

async fn open(socket: &Path) -> Result<UnixStream, CriError> {
    check_socket(socket)?;
    let stream = UnixStream::connect(socket).await;
    stream.map_err(|source| CriError::from_io(socket, source))
}

/// A channel over this stream only. It never reconnects, as another process may listen on
/// the socket by then.
async fn channel(stream: UnixStream) -> Result<Channel, tonic::transport::Error> {
    let stream = Arc::new(Mutex::new(Some(stream)));
    let connector = tower::service_fn(move |_| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        future::ready(match stream {
            Some(stream) => Ok(TokioIo::new(stream)),
            None => Err(io::Error::from(io::ErrorKind::NotConnected)),
        })
    });
    // The address is not used, but HTTP/2 wants an authority.
    Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await
}

/// Inode of the network namespace of a process.
fn netns_inode(pid: u32) -> Option<u64> {
    let metadata = std::fs::metadata(format!("/proc/{pid}/ns/net")).ok()?;
    Some(metadata.ino())
}
