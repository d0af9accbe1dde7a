//! A topology, as a recording keeps it.
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::facts::NodeFacts;

/// The nodes while a session ran: what `podtrace topology` showed, for a recording, and what
/// decides the way of packets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedTopology {
    /// When that was, nanoseconds since 1970 (UTC).
    pub utc_ns: i64,
    /// As `-o json` has it.
    pub json: serde_json::Value,
    /// As text for people.
    pub text: String,
    /// What decides the way of packets, for each node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Arc<NodeFacts>>,
}
