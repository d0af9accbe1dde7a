//! The topologies that sessions recorded.
use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::topology::RecordedTopology;

/// The last topology of each session, and its time.
#[derive(Default)]
pub(super) struct Topologies(BTreeMap<usize, (i64, Value)>);

impl Topologies {
    /// Takes what a session says of its nodes.
    pub(super) fn add(&mut self, session: usize, topology: &RecordedTopology) {
        let known = self.0.get(&session);
        let is_new = known.is_none_or(|(utc_ns, _)| *utc_ns <= topology.utc_ns);
        if is_new && topology.json.is_object() {
            let kept = (topology.utc_ns, topology.json.clone());
            self.0.insert(session, kept);
        }
    }

    /// The documents of all sessions.
    pub(super) fn documents(&self) -> impl Iterator<Item = &Value> + Clone {
        self.0.values().map(|(_, json)| json)
    }
}
