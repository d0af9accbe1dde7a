//! Puts finished paths in the order in which they began.
//!
//! A path ends when its packet arrives, so a later packet's path may end first. It then
//! waits for the older paths, and until all losses and drops during its packet's way are known.
//! Neither wait is long: a packet that died is missed only after its whole hop timeout.
use std::collections::BTreeMap;

use crate::path::Path;

/// How long a path waits for older ones, in nanoseconds: long enough for those that wait
/// for a socket or for the copies of a broadcast, and for the losses of other sessions of a
/// merge; a live session knows its losses sooner.
const WAIT_NS: u64 = 100_000_000;
/// Upper bound of the bytes of waiting paths; beyond it the oldest path is released.
pub(super) const ORDER_BYTES: usize = 4 << 20;

/// Paths that have ended and wait.
#[derive(Default)]
pub(super) struct Order {
    /// By id, hence by age.
    finished: BTreeMap<u64, Finished>,
    bytes: usize,
}

struct Finished {
    path: Box<Path>,
    /// When its packet was last seen.
    last_ns: u64,
    /// When it ended.
    at_ns: u64,
    bytes: usize,
}

/// The state that decides which paths are released.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Id of the oldest path that has not ended.
    pub(super) oldest_open: Option<u64>,
    /// All losses and drops until this time are known.
    pub(super) settled_ns: u64,
    pub(super) now_ns: u64,
}

impl Known {
    fn is_next(self, id: u64) -> bool {
        self.oldest_open.is_none_or(|open| id < open)
    }
}

impl Order {
    pub(super) fn is_empty(&self) -> bool {
        self.finished.is_empty()
    }

    /// Bytes of all waiting paths.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a path that just ended can be released at once, as most can.
    pub(super) fn may_pass(&self, path: &Path, known: Known) -> bool {
        let first = self.finished.first_key_value();
        first.is_none_or(|(first, _)| path.id < *first)
            && known.is_next(path.id)
            && path.last_ns() <= known.settled_ns
    }

    /// Adds a path that has ended.
    pub(super) fn push(&mut self, path: Box<Path>, now_ns: u64) {
        let bytes = size_of::<(u64, Finished)>() + path.bytes();
        self.bytes += bytes;
        let id = path.id;
        let finished = Finished {
            last_ns: path.last_ns(),
            path,
            at_ns: now_ns,
            bytes,
        };
        self.finished.insert(id, finished);
    }

    /// Takes a path of this number that waits.
    pub(super) fn take(&mut self, id: u64) -> Option<Box<Path>> {
        let Finished { path, bytes, .. } = self.finished.remove(&id)?;
        self.bytes -= bytes;
        Some(path)
    }

    /// Takes the oldest path if it need not wait any longer.
    pub(super) fn pop(&mut self, known: Known) -> Option<Box<Path>> {
        let first = self.finished.first_entry()?;
        let Finished { last_ns, at_ns, .. } = first.get();
        let is_next = known.is_next(*first.key());
        let is_settled = *last_ns <= known.settled_ns;
        let is_late = known.now_ns.saturating_sub(*at_ns) >= WAIT_NS;
        if !(is_next && is_settled || is_late || self.bytes > ORDER_BYTES) {
            return None;
        }
        let Finished { path, bytes, .. } = first.remove();
        self.bytes -= bytes;
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::builder::tests::path;

    fn push(order: &mut Order, id: u64, now_ns: u64) {
        order.push(Box::new(path(id)), now_ns);
    }

    fn ids(order: &mut Order, oldest_open: Option<u64>, settled_ns: u64, now_ns: u64) -> Vec<u64> {
        let known = Known {
            oldest_open,
            settled_ns,
            now_ns,
        };
        let paths = std::iter::from_fn(|| order.pop(known));
        paths.map(|path| path.id).collect()
    }

    #[test]
    fn later_path_waits_for_an_older_one_but_not_for_ever() {
        let (mut order, settled_ns) = (Order::default(), u64::MAX);
        push(&mut order, 2, 10);
        push(&mut order, 4, 10);
        assert!(ids(&mut order, Some(1), settled_ns, 20).is_empty());
        push(&mut order, 1, 30);
        assert_eq!(ids(&mut order, Some(3), settled_ns, 30), [1, 2]);
        assert_eq!(ids(&mut order, Some(3), settled_ns, 10 + WAIT_NS), [4]);
        push(&mut order, 6, 40);
        assert_eq!(ids(&mut order, None, settled_ns, 40), [6]);
        assert!(order.is_empty());
    }

    #[test]
    fn path_waits_until_it_is_known_what_was_lost_but_not_for_ever() {
        let mut order = Order::default();
        let ends_ns = path(1).hops.last().unwrap().ts_ns;
        push(&mut order, 1, ends_ns);
        push(&mut order, 2, ends_ns);
        assert!(ids(&mut order, None, ends_ns - 1, ends_ns).is_empty());
        assert_eq!(ids(&mut order, Some(2), ends_ns, ends_ns), [1]);
        assert_eq!(ids(&mut order, None, 0, ends_ns + WAIT_NS), [2]);
        assert_eq!(order.bytes, 0);
    }

    #[test]
    fn path_passes_that_has_nothing_to_wait_for() {
        let mut order = Order::default();
        let ends_ns = path(1).hops.last().unwrap().ts_ns;
        push(&mut order, 4, ends_ns);
        for (id, settled_ns, oldest_open, passes) in [
            (3, ends_ns, Some(7), true),
            (3, ends_ns, None, true),
            (3, ends_ns, Some(2), false),
            (3, ends_ns - 1, Some(7), false),
            (5, ends_ns, Some(7), false),
        ] {
            let known = Known {
                oldest_open,
                settled_ns,
                now_ns: ends_ns,
            };
            assert_eq!(order.may_pass(&path(id), known), passes, "{known:?}");
        }
    }

    #[test]
    fn waiting_items_are_bounded_in_bytes() {
        let mut order = Order::default();
        let mut left = 0;
        for id in 1..100_000 {
            push(&mut order, id, 0);
            left += ids(&mut order, Some(0), 0, 0).len();
            assert!(order.bytes <= ORDER_BYTES);
        }
        assert!(left > 0);
    }
}
