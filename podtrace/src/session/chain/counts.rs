//! What the sections of a session counted.
use crate::model::tap::TapCounts;

/// Counts, by number of the tap point in the session.
#[derive(Default)]
pub(super) struct SectionCounts {
    /// Those of the sections that have ended.
    pub(super) whole: TapCounts,
    /// Those of the section being read.
    pub(super) current: TapCounts,
}

impl SectionCounts {
    /// Ends the section being read.
    pub(super) fn close(&mut self) {
        for (tap, count) in std::mem::take(&mut self.current) {
            self.whole.entry(tap).or_default().add(&count);
        }
    }
}
