//! The CRI lab: one or two nodes of a cluster on one machine, each with its own containerd,
//! runc, the CNI bridge plugin and flannel.1. Pods are created by CRI, from images built
//! locally.
//!
//! A node is a process tree in its own namespaces (network, mount, pid, cgroup, ipc, uts)
//! below `lab-node`, its PID 1. It ends with the lab and with the process that created the
//! lab, for whatever reason; the next lab sweeps the files that a killed process leaves
//! behind.

pub mod cgroup;
mod client;
mod home;
mod images;
mod init;
mod kubelet;
mod node;
mod pod;

use std::thread;

use anyhow::{Context as _, Result, ensure};

pub use home::sweep;
pub use node::CriNode;
pub use pod::{CriPod, Output, PodSpec};

use home::Home;

/// The size of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CriLabSpec {
    /// Number of nodes, 1 or 2. A single node has no uplink and no flannel.1.
    pub nodes: u8,
    /// Whether pods have an IPv6 address in addition to the IPv4 one.
    pub ipv6: bool,
}

/// A running lab. Dropping it ends the nodes and removes everything.
#[derive(Debug)]
pub struct CriLab {
    /// `podtrace-cri-<pid>-<counter>`: the name of its directory and cgroups.
    pub id: String,
    /// The nodes; dropped before their environment.
    pub nodes: Vec<CriNode>,
    _home: Home,
}

impl CriLab {
    /// Sweeps leftovers and starts a lab, as root. When it returns, every node's CRI answers
    /// and has the images. An error includes the output of the node's programs.
    pub fn new(spec: CriLabSpec) -> Result<Self> {
        ensure!(
            (1..=2).contains(&spec.nodes),
            "a CRI lab has 1 or 2 nodes, not {}",
            spec.nodes
        );
        sweep().context("sweep what earlier labs left")?;
        let home = Home::create()?;
        // A separate variable: if a later step fails, the nodes are dropped first.
        let mut nodes = Vec::new();
        for node in 1..=spec.nodes {
            nodes.push(CriNode::spawn(&home, node, spec.ipv6)?);
        }
        let images = home.dir.join("images.tar");
        images::write(&images)?;
        let namespaces: Vec<_> = nodes.iter().map(|node| node.netns.clone()).collect();
        podtrace::lab::join_nodes(&namespaces, spec.ipv6)?;
        thread::scope(|scope| {
            let imports: Vec<_> = nodes
                .iter()
                .map(|node| scope.spawn(|| node.import(&images)))
                .collect();
            imports.into_iter().try_for_each(join)
        })?;
        Ok(Self {
            id: home.id.clone(),
            nodes,
            _home: home,
        })
    }
}

impl Drop for CriLab {
    /// All nodes begin to end before any is waited for.
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.hang_up();
        }
    }
}

/// The thread's result; propagates its panic.
fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    match thread.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
