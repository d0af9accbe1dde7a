//! What is counted of paths.
use std::collections::BTreeMap;

use super::hops::Hops;
use crate::{
    model::tap::TapCount,
    path::{Outcome, Path},
};

/// The counts of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Paths without a cause by outcome, in the order of [`Outcome::NAMES`].
    pub(super) paths: [u64; Outcome::NAMES.len()],
    /// Paths by outcome and cause.
    pub(super) caused: BTreeMap<(usize, &'static str), u64>,
    /// Paths that turned out to have another outcome, by the first.
    pub(super) corrected: [u64; Outcome::NAMES.len()],
    pub(super) incomplete: u64,
    pub(super) hops: Hops,
    /// The pipeline's own.
    pub(super) taps: TapCount,
}

impl Counts {
    /// Counts a path. `cause`: why it did not arrive.
    pub(super) fn add(&mut self, path: &Path, cause: Option<&'static str>) {
        let outcome = path.outcome.index();
        match cause {
            Some(cause) => *self.caused.entry((outcome, cause)).or_default() += 1,
            None => self.paths[outcome] += 1,
        }
        self.incomplete += u64::from(path.incomplete && path.late_of.is_none());
        if let Some(before) = path.late_of {
            self.corrected[before.outcome.index()] += 1;
        }
    }
}
