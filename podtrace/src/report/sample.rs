//! Which paths a page holds, where there are more than it has room for: losses first, then refusals,
//! and of each kind an even sample.
use std::{collections::HashMap, mem};

use super::entry::Entry;
use crate::{order::Order as _, output::text::Tone};

/// The kinds, those first of which most are kept.
const KINDS: [Tone; 4] = [Tone::Lost, Tone::Refused, Tone::Arrived, Tone::Open];

/// Upper bound of the bytes that the entries of a kind take, however long they are.
const BYTES_MAX: usize = 64 << 20;

/// Entries of all kinds.
pub(super) struct Samples {
    max: usize,
    kinds: [Sample; KINDS.len()],
}

/// Entries of one kind: every one whose number is divisible by the stride.
#[derive(Default)]
struct Sample {
    count: u64,
    stride: u64,
    /// The size of those kept.
    bytes: usize,
    /// By the packet's number, with the entry's own.
    kept: HashMap<u64, (u64, Entry)>,
}

/// What a page holds.
pub(super) struct Sampled {
    /// In order of time.
    pub(super) entries: Vec<Entry>,
    /// Of each kind: how many it holds, of how many.
    pub(super) counts: [(u64, u64); KINDS.len()],
}

impl Samples {
    /// Keeps `max` entries.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            kinds: Default::default(),
        }
    }

    /// Adds an entry, which is made only if it is kept.
    pub(super) fn add(&mut self, id: u64, tone: Tone, make: impl FnOnce() -> Option<Entry>) {
        // Twice as many: what is left of them by the end is never less than there is room for.
        let max = self.max.saturating_mul(2);
        self.kinds[tone as usize].add(id, max, make);
    }

    /// Removes what a later path corrects.
    pub(super) fn remove(&mut self, id: u64, tone: Tone) {
        let kind = &mut self.kinds[tone as usize];
        kind.count = kind.count.saturating_sub(1);
        if let Some((_, entry)) = kind.kept.remove(&id) {
            kind.bytes -= entry.bytes();
        }
    }

    /// The entries that the page holds.
    pub(super) fn finish(self) -> Sampled {
        let (mut entries, mut counts) = (Vec::new(), [(0, 0); KINDS.len()]);
        for (kind, count) in self.kinds.into_iter().zip(&mut counts) {
            let of = kind.count;
            let taken = kind.take(self.max - entries.len());
            *count = (taken.len() as u64, of);
            entries.extend(taken);
        }
        entries.order_by_key(|entry| (entry.first_ns, entry.id));
        Sampled { entries, counts }
    }
}

impl Sample {
    fn add(&mut self, id: u64, max: usize, make: impl FnOnce() -> Option<Entry>) {
        let number = self.count;
        self.count += 1;
        self.stride = self.stride.max(1);
        if !number.is_multiple_of(self.stride) {
            return;
        }
        if self.kept.len() >= max || self.bytes >= BYTES_MAX {
            self.thin();
            if !number.is_multiple_of(self.stride) {
                return;
            }
        }
        if let Some(entry) = make() {
            self.bytes += entry.bytes();
            let before = self.kept.insert(id, (number, entry));
            self.bytes -= before.map_or(0, |(_, entry)| entry.bytes());
        }
    }

    /// Keeps every other entry.
    fn thin(&mut self) {
        self.stride = self.stride.saturating_mul(2);
        self.kept
            .retain(|_, (number, _)| number.is_multiple_of(self.stride));
        let entries = self.kept.values();
        self.bytes = entries.map(|(_, entry)| entry.bytes()).sum();
    }

    /// At most `max` of them, evenly.
    fn take(mut self, max: usize) -> Vec<Entry> {
        let mut all: Vec<_> = mem::take(&mut self.kept).into_values().collect();
        all.order_by_key(|(number, _)| *number);
        let count = all.len();
        let is_taken = |at: usize| count <= max || at * max / count != (at + 1) * max / count;
        let all = all.into_iter().enumerate();
        let taken = all.filter(|(at, _)| is_taken(*at));
        taken.map(|(_, (_, entry))| entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sampled(max: usize, paths: impl IntoIterator<Item = (u64, Tone)>) -> Sampled {
        let mut samples = Samples::new(max);
        for (id, tone) in paths {
            samples.add(id, tone, || Some(Entry::of_time(id, id)));
        }
        samples.finish()
    }

    #[test]
    fn losses_come_before_refusals_and_those_before_others() {
        let tone = |id: u64| match id % 10 {
            0 => Tone::Lost,
            1 => Tone::Refused,
            _ => Tone::Arrived,
        };
        let paths = || (0..1000).map(|id| (id, tone(id)));
        let counts = |max| sampled(max, paths()).counts;
        assert_eq!(counts(50), [(50, 100), (0, 100), (0, 800), (0, 0)]);
        assert_eq!(counts(150), [(100, 100), (50, 100), (0, 800), (0, 0)]);
        assert_eq!(counts(600), [(100, 100), (100, 100), (400, 800), (0, 0)]);
        assert_eq!(counts(2000), [(100, 100), (100, 100), (800, 800), (0, 0)]);
    }

    #[test]
    fn corrected_is_replaced() {
        let mut samples = Samples::new(10);
        samples.add(1, Tone::Lost, || Some(Entry::of_time(1, 1)));
        samples.remove(1, Tone::Lost);
        samples.add(1, Tone::Arrived, || Some(Entry::of_time(1, 1)));
        let sampled = samples.finish();
        assert_eq!(sampled.counts, [(0, 0), (0, 0), (1, 1), (0, 0)]);
        assert_eq!(sampled.entries.len(), 1);
    }

    proptest! {
        /// It is full, and no stretch of time lacks in it.
        #[test]
        fn sample_is_full_and_even(max in 1..200_usize, count in 0..3000_u64) {
            let Sampled { entries, counts } = sampled(max, (0..count).map(|id| (id, Tone::Arrived)));
            let expected = max.min(usize::try_from(count).unwrap());
            prop_assert_eq!(entries.len(), expected);
            prop_assert_eq!(counts[Tone::Arrived as usize], (expected as u64, count));
            let gap = 4 * (count / max as u64 + 1);
            for pair in entries.windows(2) {
                prop_assert!(pair[1].id - pair[0].id <= gap, "{} {}", pair[0].id, pair[1].id);
            }
        }
    }
}
