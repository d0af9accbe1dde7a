//! What a session traces.
use serde::{Deserialize, Serialize};

/// What a session traces, for the first line of output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The nodes' names.
    pub nodes: Vec<String>,
    /// Tapped interfaces.
    pub interfaces: usize,
    /// Number of interfaces that are still to be tapped; none if all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attaching: Option<usize>,
    /// Pods among their owners.
    pub pods: usize,
    /// Network namespaces among their owners.
    pub namespaces: usize,
    /// How programs are attached, `tcx` or `clsact`; none if none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<String>,
    /// Description of what is replayed; none live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When its taps began to take packets, all at once, in nanoseconds on the clock of the
    /// events; none if it traces nothing itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_ns: Option<u64>,
    /// Number of agents whose sessions are followed; none if it traces itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<usize>,
}
