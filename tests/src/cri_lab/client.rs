//! CRI for tests: each call blocks, and has a deadline.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use hyper_util::rt::TokioIo;
use k8s_cri::v1::StatusRequest;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Response, Status};

/// Upper bound of a call's time, in addition to its own waits.
const CALL_DEADLINE: Duration = Duration::from_secs(20);
const READY_DEADLINE: Duration = Duration::from_secs(20);
const READY_POLL: Duration = Duration::from_millis(10);
/// Upper bound of an exec's output that containerd returns.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A connection to a node's runtime. It is opened on use, and reopened after an outage of the
/// runtime.
#[derive(Debug)]
pub(super) struct Cri {
    runtime: Runtime,
    client: RuntimeServiceClient<Channel>,
    node: String,
}

impl Cri {
    pub(super) fn new(node: &str, socket: &Path) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cri")
            .enable_all()
            .build()
            .context("start the CRI client's runtime")?;
        let socket = socket.to_owned();
        let connector = tower::service_fn(move |_: Uri| connect(socket.clone()));
        let entered = runtime.enter();
        // The address is required but not used.
        let channel =
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
        drop(entered);
        let client = RuntimeServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        Ok(Self {
            runtime,
            client,
            node: node.to_owned(),
        })
    }

    /// Makes a call, named `what` in errors.
    pub(super) fn call<T, F>(
        &self,
        what: &str,
        call: impl FnOnce(RuntimeServiceClient<Channel>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_within(CALL_DEADLINE, what, call)
    }

    /// Makes a call that may take longer.
    pub(super) fn call_within<T, F>(
        &self,
        deadline: Duration,
        what: &str,
        call: impl FnOnce(RuntimeServiceClient<Channel>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let client = self.client.clone();
        let answer = self
            .runtime
            .block_on(async { tokio::time::timeout(deadline, call(client)).await });
        let answer = answer
            .with_context(|| format!("{what} on {}: no answer in {deadline:?}", self.node))?;
        answer
            .map(Response::into_inner)
            .map_err(|status| anyhow!("{what} on {}: {}", self.node, status.message()))
    }

    /// Waits until the runtime and its network are ready for pods.
    pub(super) fn wait_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_DEADLINE;
        loop {
            match self.is_ready() {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() >= deadline => {
                    return Err(anyhow!("the runtime of {} does not get ready", self.node));
                }
                Err(error) if Instant::now() >= deadline => return Err(error),
                Ok(false) | Err(_) => thread::sleep(READY_POLL),
            }
        }
    }

    fn is_ready(&self) -> Result<bool> {
        let status = self.call("Status", async |mut client| {
            client.status(StatusRequest { verbose: false }).await
        })?;
        let conditions = status.status.unwrap_or_default().conditions;
        Ok(!conditions.is_empty() && conditions.iter().all(|condition| condition.status))
    }
}

async fn connect(socket: PathBuf) -> io::Result<TokioIo<UnixStream>> {
    UnixStream::connect(socket).await.map(TokioIo::new)
}
