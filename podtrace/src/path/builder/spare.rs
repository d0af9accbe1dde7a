//! Memory of paths that were shown, for paths that begin.
use std::mem;

use crate::path::{Hop, Path};

/// Upper bound of the paths whose memory waits, and of the hops that each has room for.
const PATHS_MAX: usize = 96;
const HOPS_MAX: usize = 16;
/// Initial room for hops in a path: from pod to socket on one node.
const HOPS: usize = 5;
/// Upper bound of its bytes.
#[cfg(test)]
pub(crate) const BYTES: usize =
    PATHS_MAX * (size_of::<Box<Path>>() + size_of::<Path>() + HOPS_MAX * size_of::<Hop>());

/// Paths without hops, whose memory waits.
#[derive(Default)]
pub(super) struct Spare(
    #[expect(clippy::vec_box, reason = "their memory is what counts")] Vec<Box<Path>>,
);

impl Spare {
    /// Takes a path that nobody needs any more.
    #[inline]
    pub(super) fn put(&mut self, mut path: Box<Path>) {
        if self.0.len() < PATHS_MAX && path.hops.capacity() <= HOPS_MAX {
            path.hops.clear();
            (path.frame, path.payload) = (None, None);
            self.0.push(path);
        }
    }

    /// A path. `make`: makes it of room for its hops.
    #[inline]
    pub(super) fn take(&mut self, make: impl FnOnce(Vec<Hop>) -> Path) -> Box<Path> {
        match self.0.pop() {
            Some(mut path) => {
                let hops = mem::take(&mut path.hops);
                *path = make(hops);
                path
            }
            None => Box::new(make(Vec::with_capacity(HOPS))),
        }
    }
}
