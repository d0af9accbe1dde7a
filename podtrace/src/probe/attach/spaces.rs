//! Finds the network namespaces with attachments again: an open handle would keep them alive.
use std::collections::HashMap;

use crate::netns::{NetNs, candidates::candidates};

/// A namespace's inode and id.
pub(super) type Space = (u64, u64);

/// Runs a function in each namespace with the items that belong to it. A namespace that cannot
/// be entered was removed, or is tried the next time.
pub(super) fn in_namespaces<T: Send>(
    all: impl IntoIterator<Item = (Space, T)>,
    mut work: impl FnMut(&NetNs, Vec<T>) + Send,
) {
    let mut by_netns: HashMap<Space, Vec<T>> = HashMap::new();
    for (space, one) in all {
        by_netns.entry(space).or_default().push(one);
    }
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
            let _ = netns.run(|| work(&netns, there));
        }
        if by_netns.is_empty() {
            return;
        }
    }
}
