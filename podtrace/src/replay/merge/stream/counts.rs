//! How many packets each tap of a session has seen.
use std::collections::BTreeSet;

use podtrace_ebpf::record::Direction;

use super::Stream;
use crate::{
    model::tap::TapCount,
    pipeline::{OTHERS, Pipeline},
};

impl Stream {
    /// Adds the session's own counts to those of its items, so that the counts of each tap add
    /// up.
    pub(in crate::replay::merge) fn count(&mut self, pipeline: &mut Pipeline) {
        let is_whole = self.chain.is_whole();
        let (taps, tap_points) = pipeline.taps_mut();
        let shown = |number: u32| tap_points.get(number).map_or(OTHERS, |_| number);
        let is_counted = !self.chain.counts().is_empty();
        let all: BTreeSet<_> = self.numbers.tap_points().map(shown).collect();
        for (tap, count) in self.chain.counts() {
            if let Some(number) = self.numbers.point(tap.0) {
                let sum = taps.entry((shown(number), tap.1)).or_default();
                sum.add(&TapCount {
                    emitted: 0,
                    ..*count
                });
            }
        }
        for (tap, count) in &self.filtered {
            let sum = taps.entry((shown(tap.0), tap.1)).or_default();
            sum.filtered = sum.filtered.saturating_add(count.filtered);
        }
        for number in all {
            // Taps without packets have no counts of their own.
            for direction in Direction::ALL.into_iter().filter(|_| is_counted) {
                taps.entry((number, direction)).or_default();
            }
            for (_, sum) in
                taps.range_mut((number, Direction::Ingress)..=(number, Direction::Unknown))
            {
                let accounted = sum.accounted();
                if is_counted && is_whole {
                    self.surplus += accounted.saturating_sub(sum.seen);
                }
                // An interrupted session has counted too little, and a damaged file lacks some
                // of the counts.
                sum.seen = sum.seen.max(accounted);
                let missing = sum.seen - accounted;
                sum.unrecorded = sum.unrecorded.saturating_add(missing);
            }
        }
    }
}
