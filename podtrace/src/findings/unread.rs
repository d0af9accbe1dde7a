//! Datagrams whose socket had no room for them.
use crate::path::Path;

/// The kernel's reason.
const REASON: &str = "SOCKET_RCVBUFF";

/// What a direction shows of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unread {
    /// How many the kernel says that it has dropped.
    pub(super) told: u64,
    /// How many more it may have dropped, without telling of them.
    pub(super) untold: u64,
}

impl Unread {
    /// Adds a path.
    pub(super) fn add(&mut self, path: &Path) {
        let drop = path.dropped.as_deref().map(|dropped| &dropped.by);
        let is_full = drop.is_some_and(|drop| {
            drop.reason.as_deref() == Some(REASON) && drop.is_by_receiver(&path.packet)
        });
        self.told += u64::from(is_full);
        self.untold += u64::from(path.is_untold);
    }
}
