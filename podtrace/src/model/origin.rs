//! The origin of an update, among several sessions.
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The session and nodes that an update comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Number of the session; 0 live.
    pub session: usize,
    /// The numbers of its nodes.
    pub nodes: Range<usize>,
}

/// Where the number of the session begins in an id of [`Origin::global_id`].
const SESSION_SHIFT: u32 = 48;

impl Origin {
    /// The id of a namespace or a cgroup, made unique among sessions. Each kernel counts
    /// both from 1, so the upper bits are free. The ids of session 0 stay as they are, and
    /// so does 0, which means none.
    #[must_use]
    pub fn global_id(&self, id: u64) -> u64 {
        match id {
            0 => 0,
            _ => id.wrapping_add((self.session as u64) << SESSION_SHIFT),
        }
    }
}

/// The session of an id of [`Origin::global_id`], and the id there.
#[must_use]
pub fn split_id(id: u64) -> (usize, u64) {
    let session = usize::try_from(id >> SESSION_SHIFT).unwrap_or(usize::MAX);
    (session, id & ((1 << SESSION_SHIFT) - 1))
}
