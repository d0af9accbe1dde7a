//! Address translations as a node's connection tracking has them.
use serde::{Deserialize, Serialize};

use crate::packet::Ends;

/// A flow that a node translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TranslatedFlow {
    /// IP protocol number.
    pub protocol: u8,
    /// The ends that its packets come with.
    pub before: Ends,
    /// The ends that they leave with.
    pub after: Ends,
}

/// Changes of a node's translated flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowChanges {
    /// Flows that are tracked from now on.
    pub new: Vec<TranslatedFlow>,
    /// Flows that are no longer tracked.
    pub gone: Vec<TranslatedFlow>,
}

impl FlowChanges {
    /// Number of changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.new.len() + self.gone.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
