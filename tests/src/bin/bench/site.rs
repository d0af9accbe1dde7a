//! The place of most measurements: a lab of two nodes with two pods each.
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use podtrace::lab::{Lab, LabNode, LabPod, LabSpec};
use tempfile::TempDir;

/// The lab, the measured podtrace, and a directory for files.
pub(crate) struct Site {
    pub(crate) podtrace: PathBuf,
    pub(crate) lab: Lab,
    directory: TempDir,
}

/// Two pods, and the route between them.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    pub(crate) name: &'static str,
    pub(crate) from: &'a LabPod,
    pub(crate) to: &'a LabPod,
    /// The node of the sender, where the measured tool runs.
    pub(crate) node: &'a LabNode,
}

impl Site {
    pub(crate) fn new(podtrace: PathBuf) -> Result<Self> {
        Ok(Self {
            podtrace,
            lab: Lab::new(LabSpec {
                nodes: 2,
                pods_per_node: 2,
                ipv6: false,
            })?,
            directory: tempfile::tempdir()?,
        })
    }

    /// A file of the benchmark, which is removed with the site.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// From pod to pod on one node, and across the overlay.
    pub(crate) fn routes(&self) -> Result<[Route<'_>; 2]> {
        let pod = |node: usize, pod: usize| self.lab.nodes.get(node)?.pods.get(pod);
        let (Some(node), Some(from), Some(beside), Some(far)) =
            (self.lab.nodes.first(), pod(0, 0), pod(0, 1), pod(1, 0))
        else {
            return Err(anyhow::anyhow!("the lab lacks pods"));
        };
        let route = |name, to| Route {
            name,
            from,
            to,
            node,
        };
        Ok([route("one node", beside), route("across nodes", far)])
    }

    /// The route across nodes.
    pub(crate) fn across(&self) -> Result<Route<'_>> {
        let [_, across] = self.routes()?;
        Ok(across)
    }

    /// The lab's pods by namespace, as a file for `--pods`.
    pub(crate) fn pod_table(&self, lab: &Lab) -> Result<PathBuf> {
        let table = self.file("pods");
        std::fs::write(&table, lab.pod_table()).context("cannot write the pod table")?;
        Ok(table)
    }
}
