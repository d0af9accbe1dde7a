//! Pods created by CRI.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_cri::v1::{
    ContainerConfig, CreateContainerRequest, ExecSyncRequest, PodSandboxConfig,
    PodSandboxStatusRequest, PodSandboxStatusResponse, RemovePodSandboxRequest,
    RunPodSandboxRequest, StartContainerRequest, StopPodSandboxRequest,
};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use podtrace::netns::NetNs;
use serde_json::Value;

use super::client::Cri;
use super::images::PEER;
use super::kubelet;

/// The default deadline of a program in a container.
const EXEC_DEADLINE: Duration = Duration::from_secs(20);
/// The additional time of an exec's call.
const EXEC_SLACK: Duration = Duration::from_secs(5);

/// The pod to run.
#[derive(Debug, Clone, Copy)]
pub struct PodSpec<'a> {
    /// Kubernetes namespace.
    pub namespace: &'a str,
    /// Name within the namespace.
    pub name: &'a str,
    /// Labels of the pod object.
    pub labels: &'a [(&'a str, &'a str)],
    /// Names of the containers, started in this order.
    pub containers: &'a [&'a str],
    /// Whether it lives in the node's network namespace.
    pub host_network: bool,
    /// UID of the pod object; a fresh one by default.
    pub uid: Option<&'a str>,
    /// The command of every container; by default it waits for ever.
    pub command: Option<&'a [&'a str]>,
}

impl Default for PodSpec<'_> {
    /// The exercise's pod: `default/my-pod` with container1 and container2.
    fn default() -> Self {
        Self {
            namespace: "default",
            name: "my-pod",
            labels: &[],
            containers: &["container1", "container2"],
            host_network: false,
            uid: None,
            command: None,
        }
    }
}

/// A running pod. It is removed with the lab at the latest.
#[derive(Debug, Clone)]
pub struct CriPod {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name within the namespace.
    pub name: String,
    /// UID of the pod object.
    pub uid: String,
    /// The runtime's id of the sandbox.
    pub sandbox_id: String,
    /// Addresses as reported by the runtime; none with the node's network.
    pub addresses: Vec<IpAddr>,
    /// Ids of the containers, by name.
    pub containers: BTreeMap<String, String>,
    /// The pod's cgroup below the node's, in the kubelet's spelling.
    pub cgroup_parent: String,
    /// Path of its network namespace in the node; none with the node's network.
    pub netns_path: Option<String>,
    /// Id of its network namespace; none with the node's network.
    pub netns_id: Option<u64>,
    /// Inode of its network namespace; none with the node's network.
    pub netns_inode: Option<u64>,
    node_pid: u32,
    cri: Arc<Cri>,
}

/// The result of a program in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl CriPod {
    pub(super) fn run(cri: &Arc<Cri>, node_pid: u32, spec: &PodSpec<'_>) -> Result<Self> {
        let config = kubelet::sandbox(spec);
        let request = RunPodSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: String::new(),
        };
        let sandbox = cri.call("RunPodSandbox", async |mut client| {
            client.run_pod_sandbox(request).await
        })?;
        let mut pod = Self {
            namespace: spec.namespace.to_owned(),
            name: spec.name.to_owned(),
            uid: config.metadata.clone().unwrap_or_default().uid,
            sandbox_id: sandbox.pod_sandbox_id,
            addresses: Vec::new(),
            containers: BTreeMap::new(),
            cgroup_parent: config.linux.clone().unwrap_or_default().cgroup_parent,
            netns_path: None,
            netns_id: None,
            netns_inode: None,
            node_pid,
            cri: Arc::clone(cri),
        };
        pod.learn()?;
        for name in spec.containers {
            let id = pod.start_container(&config, kubelet::container(spec, &config, name))?;
            pod.containers.insert((*name).to_owned(), id);
        }
        Ok(pod)
    }

    /// Sets the fields that only the runtime knows.
    fn learn(&mut self) -> Result<()> {
        let request = PodSandboxStatusRequest {
            pod_sandbox_id: self.sandbox_id.clone(),
            verbose: true,
        };
        let answer = self.cri.call("PodSandboxStatus", async |mut client| {
            client.pod_sandbox_status(request).await
        })?;
        self.netns_path = netns_path(&answer)?;
        let network = answer.status.and_then(|status| status.network);
        let network = network.unwrap_or_default();
        let more = network.additional_ips.into_iter().map(|ip| ip.ip);
        let addresses = [network.ip].into_iter().chain(more);
        self.addresses = addresses
            .filter(|address| !address.is_empty())
            .map(|address| {
                address
                    .parse()
                    .with_context(|| format!("address {address}"))
            })
            .collect::<Result<_>>()?;
        if self.netns_path.is_some() {
            let netns = self.netns()?;
            self.netns_id = Some(netns.id);
            self.netns_inode = Some(netns.inode);
        }
        Ok(())
    }

    fn start_container(
        &self,
        sandbox: &PodSandboxConfig,
        container: ContainerConfig,
    ) -> Result<String> {
        let request = CreateContainerRequest {
            pod_sandbox_id: self.sandbox_id.clone(),
            config: Some(container),
            sandbox_config: Some(sandbox.clone()),
        };
        let created = self.cri.call("CreateContainer", async |mut client| {
            client.create_container(request).await
        })?;
        let request = StartContainerRequest {
            container_id: created.container_id.clone(),
        };
        self.cri.call("StartContainer", async |mut client| {
            client.start_container(request).await
        })?;
        Ok(created.container_id)
    }

    /// Opens the pod's network namespace, which keeps it alive.
    pub fn netns(&self) -> Result<NetNs> {
        let root = File::open(format!("/proc/{}/root", self.node_pid))?;
        let path = self.netns_path.as_deref();
        let path = path.context("a pod with the node's network has none of its own")?;
        // The path and its links belong to the node's mount namespace.
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT);
        let file = openat2(root, path, how).with_context(|| format!("open {path}"))?;
        let mut netns = NetNs::open(PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())))?;
        netns.name = self.full_name();
        Ok(netns)
    }

    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The pod's IPv4 address.
    pub fn ipv4(&self) -> Result<Ipv4Addr> {
        let found = self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        found.with_context(|| format!("{} has no IPv4 address", self.full_name()))
    }

    /// The pod's IPv6 address.
    pub fn ipv6(&self) -> Result<Ipv6Addr> {
        let found = self.addresses.iter().find_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        });
        found.with_context(|| format!("{} has no IPv6 address", self.full_name()))
    }

    /// Runs a program in a container to its end, for at most 20 s. Threads may run several at
    /// once.
    pub fn exec(&self, container: &str, command: &[&str]) -> Result<Output> {
        self.exec_within(container, command, EXEC_DEADLINE)
    }

    /// Runs a program in a container to its end, for at most this time (in whole seconds):
    /// then it is killed, which is an error.
    pub fn exec_within(
        &self,
        container: &str,
        command: &[&str],
        deadline: Duration,
    ) -> Result<Output> {
        let id = self.containers.get(container);
        let id = id.with_context(|| format!("{} has no {container}", self.full_name()))?;
        let request = ExecSyncRequest {
            container_id: id.clone(),
            cmd: kubelet::strings(command),
            timeout: i64::try_from(deadline.as_secs())?,
        };
        let what = format!("{} in {}[{container}]", command.join(" "), self.full_name());
        let answer = self
            .cri
            .call_within(deadline + EXEC_SLACK, &what, async |mut client| {
                client.exec_sync(request).await
            })?;
        Ok(Output {
            code: answer.exit_code,
            stdout: String::from_utf8_lossy(&answer.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&answer.stderr).into_owned(),
        })
    }

    /// Starts a TCP echo service on all addresses of the pod; it listens when this returns,
    /// and lives as long as the container.
    pub fn serve_tcp(&self, container: &str, port: u16) -> Result<()> {
        self.serve(container, "tcp-start", port)
    }

    /// Starts a UDP echo service like [`CriPod::serve_tcp`].
    pub fn serve_udp(&self, container: &str, port: u16) -> Result<()> {
        self.serve(container, "udp-start", port)
    }

    fn serve(&self, container: &str, service: &str, port: u16) -> Result<()> {
        let started = self.exec(container, &[PEER, service, &port.to_string()])?;
        ensure!(started.code == 0, "{service} {port}: {}", started.stderr);
        Ok(())
    }

    /// Stops the pod and all its containers, and removes them.
    pub fn stop_and_remove(self) -> Result<()> {
        self.stop()?;
        let request = RemovePodSandboxRequest {
            pod_sandbox_id: self.sandbox_id.clone(),
        };
        self.cri.call("RemovePodSandbox", async |mut client| {
            client.remove_pod_sandbox(request).await
        })?;
        Ok(())
    }

    /// Stops the pod; the runtime still knows it.
    pub fn stop(&self) -> Result<()> {
        let request = StopPodSandboxRequest {
            pod_sandbox_id: self.sandbox_id.clone(),
        };
        self.cri.call("StopPodSandbox", async |mut client| {
            client.stop_pod_sandbox(request).await
        })?;
        Ok(())
    }
}

/// The path of the sandbox's network namespace, by its OCI specification.
fn netns_path(answer: &PodSandboxStatusResponse) -> Result<Option<String>> {
    let info = answer.info.get("info").context("no verbose information")?;
    let info: Value = serde_json::from_str(info).context("verbose information is not JSON")?;
    let namespaces = info["runtimeSpec"]["linux"]["namespaces"].as_array();
    let network = namespaces.and_then(|all| all.iter().find(|found| found["type"] == "network"));
    let path = network.and_then(|network| network["path"].as_str());
    Ok(path.map(str::to_owned).filter(|path| !path.is_empty()))
}
