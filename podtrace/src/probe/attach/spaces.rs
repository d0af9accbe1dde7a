//! Network namespaces in which something is attached, found again: an open handle would
//! keep them alive.
use std::collections::HashMap;

use crate::netns::{NetNs, candidates::candidates};

/// A namespace's inode and id.
pub(super) type Space = (u64, u64);

/// Does something with what there is of each namespace. One that cannot be entered is
/// gone.
pub(super) fn in_namespaces<T>(mut by_netns: HashMap<Space, T>, mut work: impl FnMut(&NetNs, T)) {
    if by_netns.is_empty() {
        return;
    }
    for candidate in candidates() {
        if !by_netns.keys().any(|(inode, _)| *inode == candidate.inode) {
            continue;
        }
        let Ok(netns) = NetNs::open(&candidate.path) else {
            continue;
        };
        if let Some(there) = by_netns.remove(&(netns.inode, netns.id)) {
            work(&netns, there);
        }
        if by_netns.is_empty() {
            return;
        }
    }
}
