//! A node: its namespaces, its containerd, its pods.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use podtrace::lab::plan;
use podtrace::netns::NetNs;
use serde_json::{Value, json};

use super::cgroup;
use super::client::Cri;
use super::home::Home;
use super::images::PAUSE;
use super::init::{Init, program};
use super::pod::{CriPod, PodSpec};

/// The directory of the distribution's CNI plugins.
const CNI_PLUGINS: &str = "/usr/lib/cni";

/// The name of the pods' network in CNI.
const NETWORK: &str = "cbr0";

/// A node of the lab, ended when dropped.
#[derive(Debug)]
pub struct CriNode {
    init: Init,
    number: u8,
    /// `node1`, `node2`; its hostname too.
    pub name: String,
    /// The node's own network namespace. Its name is a path that can be opened from outside
    /// the node.
    pub netns: NetNs,
    /// Its address on the underlay, the VXLAN endpoint.
    pub underlay: Ipv4Addr,
    /// Containerd's socket, of CRI and of its own API; usable from anywhere.
    pub socket: PathBuf,
    /// The node's PID 1, as the test sees it: it gives access to its namespaces.
    pub pid: u32,
    /// The node's group in the cgroup v2 hierarchy, as the test sees it: the node sees it as
    /// the root. Pods are in `kubepods` below.
    pub cgroup: PathBuf,
    /// The node's group below the test's own, in every hierarchy.
    group: PathBuf,
    cri: Arc<Cri>,
}

impl CriNode {
    /// Starts a node and its containerd, which need not answer yet.
    pub(super) fn spawn(home: &Home, number: u8, ipv6: bool) -> Result<Self> {
        let name = format!("node{number}");
        let dir = home.dir.join(&name);
        configure(&dir, number, ipv6).context("configure a node")?;
        let group = Path::new(&home.id).join(&name);
        let init = Init::start(&name, &dir, &group)?;
        init.request("start", "started")?;
        let unified = cgroup::hierarchies()?
            .into_iter()
            .find(|found| found.is_v2());
        let unified = unified.context("no cgroup v2 hierarchy is mounted")?;
        let socket = dir.join("containerd.sock");
        Ok(Self {
            netns: NetNs::open(format!("/proc/{}/ns/net", init.pid))?,
            underlay: plan::underlay4(number),
            pid: init.pid,
            cgroup: unified.own.join(&group),
            group,
            cri: Arc::new(Cri::new(&name, &socket)?),
            socket,
            name,
            number,
            init,
        })
    }

    /// Waits for containerd and gives it the images.
    pub(super) fn import(&self, images: &Path) -> Result<()> {
        self.wait_ready()?;
        let output = Command::new("ctr")
            .arg("--address")
            .arg(&self.socket)
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(images)
            .output()
            .context("run ctr")?;
        ensure!(
            output.status.success(),
            "images cannot be imported on {}: {}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn wait_ready(&self) -> Result<()> {
        self.cri
            .wait_ready()
            .map_err(|error| self.init.explain(error))
    }

    /// Starts a pod with all its containers, as the kubelet would.
    pub fn run_pod(&self, spec: &PodSpec<'_>) -> Result<CriPod> {
        CriPod::run(&self.cri, self.pid, spec)
            .with_context(|| format!("run pod {}/{} on {}", spec.namespace, spec.name, self.name))
            .map_err(|error| self.init.explain(error))
    }

    /// Limits the node's pods to the IPv4 addresses up to the one that ends in `last`: the
    /// next pod reuses a free one.
    pub fn limit_addresses(&self, last: u8) -> Result<()> {
        let dir = self
            .socket
            .parent()
            .context("the socket has no directory")?;
        let taken = dir.join("ipam").join(NETWORK);
        fs::create_dir_all(&taken)?;
        for end in last + 1..255 {
            let address = plan::overlay4(self.number, end);
            fs::write(taken.join(address.to_string()), "nobody\neth0")?;
        }
        Ok(())
    }

    /// Kills only containerd: pods live on. Returns when it has ended.
    pub fn kill_containerd(&self) -> Result<()> {
        self.init.request("kill", "killed")
    }

    /// Starts containerd after a kill, with its former state. Returns when its CRI answers.
    pub fn start_containerd(&self) -> Result<()> {
        self.init.request("start", "started")?;
        self.wait_ready()
    }

    /// Containerd's process id, as the test sees it.
    pub fn containerd_pid(&self) -> Result<u32> {
        let stream = UnixStream::connect(&self.socket).context("connect to containerd")?;
        let peer = getsockopt(&stream, PeerCredentials)?;
        Ok(u32::try_from(peer.pid())?)
    }

    /// A command that runs a program as a process of the node: in all its namespaces and
    /// cgroups, in the same working directory. It forwards SIGINT and SIGTERM to the program.
    pub fn command(&self, name: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        let mut command = Command::new(program("PODTRACE_LAB_NODE", "lab-node")?);
        command.arg("enter").arg(self.pid.to_string());
        command.arg(&self.group).arg(name);
        Ok(command)
    }

    pub(super) fn hang_up(&mut self) {
        self.init.hang_up();
    }
}

/// Writes the configuration of a node's programs.
fn configure(dir: &Path, number: u8, ipv6: bool) -> Result<()> {
    let cni = dir.join("cni");
    fs::create_dir_all(&cni)?;
    fs::write(dir.join("config.toml"), containerd_config(dir))?;
    let network = serde_json::to_vec_pretty(&cni_network(dir, number, ipv6))?;
    Ok(fs::write(cni.join("10-flannel.conflist"), network)?)
}

/// Everything else has the distribution's defaults. AppArmor and adjusting the score of the
/// out-of-memory killer require more than a lab may have.
fn containerd_config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        r#"version = 2
root = "{dir}/root"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "{dir}/containerd.sock"
[ttrpc]
  address = "{dir}/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{dir}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{dir}/cni"
"#
    )
}

/// As flannel's CNI plugin delegates.
fn cni_network(dir: &Path, number: u8, ipv6: bool) -> Value {
    let mut ranges = vec![json!([{ "subnet": format!("{}/24", plan::overlay4(number, 0)) }])];
    if ipv6 {
        ranges.push(json!([{ "subnet": format!("{}/64", plan::overlay6(number, 0)) }]));
    }
    json!({
        "cniVersion": "0.3.1",
        "name": NETWORK,
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "isDefaultGateway": true,
            "hairpinMode": true,
            "ipMasq": false,
            "mtu": plan::OVERLAY_MTU,
            "ipam": {
                "type": "host-local",
                "dataDir": dir.join("ipam"),
                "ranges": ranges,
                "routes": [{ "dst": "10.244.0.0/16" }],
            },
        }],
    })
}
