//! A scripted runtime for the cases that a real one does not give.
use std::{
    future::Future,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use k8s_cri::v1::{
    runtime_service_server::{RuntimeService, RuntimeServiceServer},
    *,
};
use tokio::{
    net::UnixListener,
    runtime::{Builder, Runtime},
};
use tonic::{
    Request, Response, Status,
    service::Routes,
    transport::{Server, server::Router},
};

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

/// The answers of the fake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) sandboxes: Vec<PodSandbox>,
    pub(crate) containers: Vec<Container>,
    /// Answer of the verbose status; none for `NotFound`.
    pub(crate) status: Option<PodSandboxStatusResponse>,
    /// How often a status was asked for.
    pub(crate) statuses: usize,
    /// How often a list was asked for.
    pub(crate) lists: usize,
    /// Whether lists are never answered.
    pub(crate) hangs: bool,
    /// Container ids of the events sent before the stream ends; none for a
    /// runtime without events.
    pub(crate) events: Option<Vec<String>>,
    /// Refusal of lists.
    pub(crate) refusal: Option<Status>,
}

/// A fake that listens. Dropping it closes its connections.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) script: Arc<Mutex<Script>>,
    /// Its own tokio runtime, so that its connections end with it.
    runtime: Option<Runtime>,
}

impl Fake {
    /// Listens on a new socket.
    pub(crate) fn listen(socket: &Path, script: Script) -> Self {
        let script = Arc::new(Mutex::new(script));
        let service = RuntimeServiceServer::new(Service(Arc::clone(&script)));
        let server = Server::builder().add_service(service);
        Self::serve(socket, script, server)
    }

    /// Listens as a server without any service.
    pub(crate) fn listen_without_cri(socket: &Path) -> Self {
        let server = Server::builder().add_routes(Routes::default());
        Self::serve(socket, Arc::default(), server)
    }

    fn serve(socket: &Path, script: Arc<Mutex<Script>>, server: Router) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let listener = UnixListener::bind(socket).unwrap();
        drop(entered);
        let connections = stream::unfold(listener, |listener| async {
            let stream = listener.accept().await.map(|(stream, _)| stream);
            Some((stream, listener))
        });
        runtime.spawn(async move {
            server.serve_with_incoming(connections).await.unwrap();
        });
        Self {
            script,
            runtime: Some(runtime),
        }
    }

    /// The requests so far, and the answers.
    pub(crate) fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Service(Arc<Mutex<Script>>);

impl Service {
    fn list<T: Send + 'static>(&self, answer: impl FnOnce(&Script) -> T) -> Answer<'static, T> {
        let mut script = self.0.lock().unwrap();
        script.lists += 1;
        let result = match script.refusal.clone() {
            Some(refusal) => Err(refusal),
            None => Ok(Response::new(answer(&script))),
        };
        let hangs = script.hangs;
        Box::pin(async move {
            if hangs {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
            result
        })
    }
}

macro_rules! refused {
    ($($name:ident($request:ty) -> $answer:ty;)*) => {$(
        fn $name<'a, 'b>(&'a self, _: Request<$request>) -> Answer<'b, $answer>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(Status::unimplemented("not scripted")) })
        }
    )*};
}

impl RuntimeService for Service {
    type GetContainerEventsStream = BoxStream<'static, Result<ContainerEventResponse, Status>>;

    fn version<'a, 'b>(&'a self, _: Request<VersionRequest>) -> Answer<'b, VersionResponse>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async {
            Ok(Response::new(VersionResponse {
                runtime_name: "fake\x1b[31m".to_owned(),
                runtime_version: "1".to_owned(),
                ..VersionResponse::default()
            }))
        })
    }

    fn list_pod_sandbox<'a, 'b>(
        &'a self,
        _: Request<ListPodSandboxRequest>,
    ) -> Answer<'b, ListPodSandboxResponse>
    where
        'a: 'b,
        Self: 'b,
    {
        self.list(|script| ListPodSandboxResponse {
            items: script.sandboxes.clone(),
        })
    }

    fn list_containers<'a, 'b>(
        &'a self,
        _: Request<ListContainersRequest>,
    ) -> Answer<'b, ListContainersResponse>
    where
        'a: 'b,
        Self: 'b,
    {
        self.list(|script| ListContainersResponse {
            containers: script.containers.clone(),
        })
    }

    fn pod_sandbox_status<'a, 'b>(
        &'a self,
        _: Request<PodSandboxStatusRequest>,
    ) -> Answer<'b, PodSandboxStatusResponse>
    where
        'a: 'b,
        Self: 'b,
    {
        let mut script = self.0.lock().unwrap();
        script.statuses += 1;
        let answer = script.status.clone();
        Box::pin(async { answer.map(Response::new).ok_or(Status::not_found("gone")) })
    }

    fn get_container_events<'a, 'b>(
        &'a self,
        _: Request<GetEventsRequest>,
    ) -> Answer<'b, Self::GetContainerEventsStream>
    where
        'a: 'b,
        Self: 'b,
    {
        let events = self.0.lock().unwrap().events.clone();
        Box::pin(async {
            let ids = events.ok_or(Status::unimplemented("no events"))?;
            let events = stream::iter(ids).map(|container_id| {
                Ok(ContainerEventResponse {
                    container_id,
                    ..ContainerEventResponse::default()
                })
            });
            Ok(Response::new(events.boxed()))
        })
    }

    refused! {
        run_pod_sandbox(RunPodSandboxRequest) -> RunPodSandboxResponse;
        stop_pod_sandbox(StopPodSandboxRequest) -> StopPodSandboxResponse;
        remove_pod_sandbox(RemovePodSandboxRequest) -> RemovePodSandboxResponse;
        create_container(CreateContainerRequest) -> CreateContainerResponse;
        start_container(StartContainerRequest) -> StartContainerResponse;
        stop_container(StopContainerRequest) -> StopContainerResponse;
        remove_container(RemoveContainerRequest) -> RemoveContainerResponse;
        container_status(ContainerStatusRequest) -> ContainerStatusResponse;
        update_container_resources(UpdateContainerResourcesRequest) -> UpdateContainerResourcesResponse;
        reopen_container_log(ReopenContainerLogRequest) -> ReopenContainerLogResponse;
        exec_sync(ExecSyncRequest) -> ExecSyncResponse;
        exec(ExecRequest) -> ExecResponse;
        attach(AttachRequest) -> AttachResponse;
        port_forward(PortForwardRequest) -> PortForwardResponse;
        container_stats(ContainerStatsRequest) -> ContainerStatsResponse;
        list_container_stats(ListContainerStatsRequest) -> ListContainerStatsResponse;
        pod_sandbox_stats(PodSandboxStatsRequest) -> PodSandboxStatsResponse;
        list_pod_sandbox_stats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse;
        update_runtime_config(UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse;
        status(StatusRequest) -> StatusResponse;
        checkpoint_container(CheckpointContainerRequest) -> CheckpointContainerResponse;
        list_metric_descriptors(ListMetricDescriptorsRequest) -> ListMetricDescriptorsResponse;
        list_pod_sandbox_metrics(ListPodSandboxMetricsRequest) -> ListPodSandboxMetricsResponse;
        runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse;
    }
}
