//! The protocol: requests in on standard input, answers out on standard output.
use std::{
    sync::{
        Arc, Mutex, PoisonError,
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

use super::{
    params::Given,
    play::Request,
    source::{Recorded, Source},
    tool::Tool,
};
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
    source: Arc<Source>,
    timeout: Duration,
    /// What a model is told at the beginning.
    instructions: String,
    /// One answer at a time reads the files.
    turn: Arc<Semaphore>,
    /// Ends the answer that is being made.
    current: Arc<Mutex<Stop>>,
    waiting: AtomicUsize,
}

impl Server {
    pub(super) fn new(source: Source, timeout: Duration, instructions: String) -> Self {
        Self {
            source: Arc::new(source),
            timeout,
            instructions,
            turn: Arc::new(Semaphore::new(1)),
            current: Arc::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Answers until standard input ends, or a signal comes.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start the runtime")?;
        let (turn, current) = (Arc::clone(&self.turn), Arc::clone(&self.current));
        let ended = runtime.block_on(async {
            let mut signals = Signals::listen()?;
            let ended = tokio::select! {
                ended = self.session() => ended,
                () = signals.next() => Ok(()),
            };
            // What is run for an answer ends before.
            current.lock().unwrap_or_else(PoisonError::into_inner).set();
            let _ = timeout(GRACE, turn.acquire()).await;
            ended
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
        let given = Given::new(&tool.params(&self.source), &arguments)?;
        let waiting = Waiting::begin(&self.waiting)?;
        let cancelled = context.ct.cancelled_owned();
        tokio::pin!(cancelled);
        let turn = tokio::select! {
            turn = Arc::clone(&self.turn).acquire_owned() => turn?,
            () = &mut cancelled => return Err(anyhow!("cancelled")),
        };
        drop(waiting);
        let stop = Stop::new().context("failed to prepare for its end")?;
        stop.clone_into(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner));
        let recorded = match &*self.source {
            Source::Live(_) => Duration::from_secs(given.seconds()),
            Source::Files(_) | Source::Lake(_) => Duration::ZERO,
        };
        let mut work = tokio::task::spawn_blocking({
            let (source, stop, timeout) = (Arc::clone(&self.source), stop.clone(), self.timeout);
            move || {
                let _turn = turn;
                answer(tool, source, given, stop, timeout)
            }
        });
        tokio::select! {
            answer = &mut work => return answer.map_err(failed)?,
            () = sleep(self.timeout + recorded) => {}
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

/// Answers a call; nodes are recorded before.
fn answer(
    tool: Tool,
    source: Arc<Source>,
    given: Given,
    stop: Stop,
    timeout: Duration,
) -> anyhow::Result<String> {
    // A probe has its own recording.
    let recorded = match given.probes() {
        true => Recorded::default(),
        false => source.recorded(&given, &stop)?,
    };
    tool.answer(&Request {
        source,
        files: Arc::clone(&recorded.files),
        said: recorded.notices.clone(),
        given,
        stop,
        timeout,
    })
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
        let tools = Tool::about_source(&self.source).iter();
        let tools = tools.map(|tool| tool.description(&self.source));
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let mut tools = Tool::about_source(&self.source).iter().copied();
        let Some(tool) = tools.find(|tool| tool.name() == request.name) else {
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
