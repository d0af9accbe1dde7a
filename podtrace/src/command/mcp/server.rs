//! The protocol: requests in on standard input, answers out on standard output.
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt as _,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::{RequestContext, ServerInitializeError},
    transport::async_rw::AsyncRwTransport,
};
use tokio::{
    io::{stdin, stdout},
    sync::Semaphore,
    task::{JoinError, JoinHandle},
    time::{sleep, timeout},
};

use super::{params::Given, play::Request, tool::Tool};
use crate::{
    command::failure::in_words,
    signals::{Signals, Stop},
    text::escape::escape,
};

/// Upper bound of a request, in bytes.
const LINE_MAX: usize = 1 << 20;
/// Upper bound of the requests that wait while one is answered.
const WAITING_MAX: usize = 8;
/// How long an answer may still take once it was asked to end.
const GRACE: Duration = Duration::from_secs(5);

/// Answers about recordings.
pub(super) struct Server {
    files: Arc<[PathBuf]>,
    timeout: Duration,
    /// What a model is told at the beginning.
    instructions: String,
    /// One answer at a time reads the files.
    turn: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Server {
    pub(super) fn new(files: &[PathBuf], timeout: Duration, instructions: String) -> Self {
        Self {
            files: files.into(),
            timeout,
            instructions,
            turn: Arc::new(Semaphore::new(1)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Answers until standard input ends, or a signal comes.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start the runtime")?;
        let ended = runtime.block_on(async {
            let mut signals = Signals::listen()?;
            tokio::select! {
                ended = self.session() => ended,
                () = signals.next() => Ok(()),
            }
        });
        // A thread may still wait for input, or read files: the end of the process ends it.
        runtime.shutdown_background();
        ended
    }

    async fn session(self) -> anyhow::Result<()> {
        let transport = AsyncRwTransport::new_server(stdin(), stdout());
        match self.serve(transport.with_max_line_length(LINE_MAX)).await {
            Ok(running) => running.waiting().await.map(drop).map_err(failed),
            Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(error) => Err(anyhow!("no session of MCP was begun: {error}")),
        }
    }

    /// The result of a call; an error only where the call is none.
    async fn call(
        &self,
        tool: Tool,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> anyhow::Result<String> {
        let arguments = request.arguments.unwrap_or_default();
        let given = Given::new(&tool.params(), &arguments)?;
        let waiting = Waiting::begin(&self.waiting)?;
        let cancelled = context.ct.cancelled_owned();
        tokio::pin!(cancelled);
        let turn = tokio::select! {
            turn = Arc::clone(&self.turn).acquire_owned() => turn?,
            () = &mut cancelled => return Err(anyhow!("cancelled")),
        };
        drop(waiting);
        let stop = Stop::new().context("failed to prepare for its end")?;
        let request = Request {
            files: Arc::clone(&self.files),
            given,
            stop: stop.clone(),
            timeout: self.timeout,
        };
        let mut work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            tool.answer(&request)
        });
        tokio::select! {
            answer = &mut work => return answer.map_err(failed)?,
            () = sleep(self.timeout) => {}
            () = cancelled => {}
        }
        stop.set();
        self.last(work).await
    }

    /// The answer of what was asked to end.
    async fn last(&self, work: JoinHandle<anyhow::Result<String>>) -> anyhow::Result<String> {
        match timeout(GRACE, work).await {
            Ok(answer) => answer.map_err(failed)?,
            Err(_) => Err(anyhow!(
                "no answer within {:?}, the limit of time\n\
                 hint: ask for less, or restart podtrace mcp with fewer files or a longer \
                 --timeout; host names in an expression are looked up, addresses are not",
                self.timeout
            )),
        }
    }
}

fn failed(error: JoinError) -> anyhow::Error {
    anyhow!("podtrace failed: {error}")
}

/// A request that waits for its turn.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> anyhow::Result<Self> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let begun = Self(waiting);
        match before < WAITING_MAX {
            true => Ok(begun),
            false => Err(anyhow!(
                "{WAITING_MAX} requests wait already, and podtrace answers one at a time\n\
                 hint: ask again once one of them is answered"
            )),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let own = Implementation::new("podtrace", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(own)
            .with_instructions(&self.instructions)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = Tool::ALL.map(Tool::description);
        Ok(ListToolsResult::with_all_items(tools.into()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = Tool::named(&request.name) else {
            let words = format!("unknown tool: {}", escape(&request.name));
            return Err(ErrorData::invalid_params(words, None));
        };
        let result = match self.call(tool, request, context).await {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Err(error) => CallToolResult::error(vec![ContentBlock::text(in_words(&error))]),
        };
        Ok(result.into())
    }
}
