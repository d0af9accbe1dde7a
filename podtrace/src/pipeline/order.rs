//! Paths in the order in which they began.
//!
//! A path ends when its packet arrives, so a later packet's path may end first.
//! It waits for the older ones, but not for long: a packet that has died takes
//! its whole hop timeout to be missed.
use std::collections::BTreeMap;

use crate::path::Path;

/// How long a path waits for older ones, in nanoseconds: long enough for those
/// that wait for a socket or for the copies of a broadcast.
const WAIT_NS: u64 = 100_000_000;
/// Paths that wait at most; beyond it the oldest goes.
const WAITING_MAX: usize = 16_384;

/// Paths that have ended and wait for older ones.
#[derive(Default)]
pub(super) struct Order {
    /// By id, hence by age; with the time of their end.
    ended: BTreeMap<u64, (Path, u64)>,
}

impl Order {
    pub(super) fn is_empty(&self) -> bool {
        self.ended.is_empty()
    }

    /// Adds a path that has ended.
    pub(super) fn push(&mut self, path: Path, now_ns: u64) {
        self.ended.insert(path.id, (path, now_ns));
    }

    /// Takes, in order, the paths that need not wait any more. `oldest_open`:
    /// id of the oldest path that has not ended.
    pub(super) fn release(&mut self, oldest_open: Option<u64>, now_ns: u64) -> Vec<Path> {
        let mut free = Vec::new();
        let mut waiting = self.ended.len();
        while let Some(first) = self.ended.first_entry() {
            let is_next = oldest_open.is_none_or(|open| *first.key() < open);
            let in_time = now_ns.saturating_sub(first.get().1) < WAIT_NS;
            if !is_next && in_time && waiting <= WAITING_MAX {
                break;
            }
            free.push(first.remove().0);
            waiting -= 1;
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::builder::tests::path;

    fn ids(paths: &[Path]) -> Vec<u64> {
        paths.iter().map(|path| path.id).collect()
    }

    #[test]
    fn later_path_waits_for_an_older_one_but_not_for_ever() {
        let mut order = Order::default();
        order.push(path(2), 10);
        order.push(path(4), 10);
        assert!(order.release(Some(1), 20).is_empty());
        order.push(path(1), 30);
        assert_eq!(ids(&order.release(Some(3), 30)), [1, 2]);
        assert_eq!(ids(&order.release(Some(3), 10 + WAIT_NS)), [4]);
        order.push(path(6), 40);
        assert_eq!(ids(&order.release(None, 40)), [6]);
        assert!(order.is_empty());
    }
}
