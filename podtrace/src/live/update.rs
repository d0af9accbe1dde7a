//! What sources tell a session.
use std::sync::Arc;

use crate::{
    identity::{cri::PodList, kubernetes::ClusterUpdate, runtime::RuntimeState},
    session::format::RecordedTopology,
};

/// Something new.
pub(super) enum Update {
    /// The pods that a runtime has, by its number.
    Pods(usize, Arc<PodList>),
    /// A runtime is there, or not any more.
    Runtime {
        /// Its number.
        runtime: usize,
        /// The node that it serves.
        node: usize,
        /// How it is.
        state: RuntimeState,
    },
    /// What the Kubernetes API tells.
    Cluster(ClusterUpdate),
    /// Something the user should know.
    Notice(String),
    /// What `podtrace topology` shows, for a recording.
    Topology(Box<RecordedTopology>),
}
