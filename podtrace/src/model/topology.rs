//! A topology, as a recording keeps it.
use serde::{Deserialize, Serialize};

/// What `podtrace topology` showed while a session was recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedTopology {
    /// When that was, nanoseconds since 1970 (UTC).
    pub utc_ns: i64,
    /// As `-o json` has it.
    pub json: serde_json::Value,
    /// As text for people.
    pub text: String,
}
