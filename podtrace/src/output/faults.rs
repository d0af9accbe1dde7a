//! Tells what is missing, and nothing else: for a reader that takes any word for an error.
use std::fmt::Write as _;

use crate::{
    model::loss::Loss,
    output::render::Render,
    path::summary::{NotShown, Summary},
    sink::has_no_reader,
    world::World,
};

/// A line at the end if events are missing.
pub(crate) struct Faults;

impl Render for Faults {
    fn notice(&mut self, _: &mut String, _: &str) {}

    fn loss(&mut self, _: &mut String, _: &Loss, _: &World) {}

    fn summary(&mut self, out: &mut String, summary: &Summary, _: &NotShown, _: &World) {
        let total = summary.total();
        // What came after the reader had left is no loss.
        let not_recorded = match has_no_reader() {
            true => 0,
            false => summary.not_recorded,
        };
        let missing = total.lost().saturating_add(not_recorded);
        if missing > 0 {
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "podtrace: {missing} of {} events are not in the capture: packets came too fast",
                total.seen
            );
        }
    }
}
