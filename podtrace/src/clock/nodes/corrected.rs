//! Clocks of files whose times are corrected already.
use serde::{Deserialize, Serialize};

use super::{
    affine::Affine,
    line::{Bounds, Line},
};
use crate::text::sanitize::sanitize;

/// How many parts of the time between the first and the last packet a file tells apart.
const PARTS: u64 = 32;

/// How the times of nodes were corrected before a file was made of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CorrectedClock {
    /// Numbers of the nodes in the file.
    pub nodes: Vec<usize>,
    /// The clock and its basis in words.
    pub words: String,
    /// From the first packet of the file to the last one, in order of time.
    pub at: Vec<Correction>,
}

/// How far a clock was ahead of the reference at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Correction {
    /// The time, by the reference clock.
    pub ts_ns: u64,
    /// By how much it was ahead, in nanoseconds.
    pub offset_ns: i64,
    /// The greatest possible error of that; none if the clock is not known.
    pub uncertainty_ns: Option<u64>,
}

impl CorrectedClock {
    /// The clock of these nodes between two times of the reference clock.
    #[must_use]
    pub fn of(line: &Line, nodes: Vec<usize>, words: String, [first, last]: [u64; 2]) -> Self {
        let span = u128::from(last.saturating_sub(first));
        let at = (0..=PARTS).map(|part| {
            let after = span * u128::from(part) / u128::from(PARTS);
            first + u64::try_from(after).unwrap_or_default()
        });
        let correction = |ts_ns| {
            let own_ns = line.to_own(ts_ns);
            let offset_ns = line.offset_ns(own_ns);
            Correction {
                ts_ns,
                offset_ns: i64::try_from(offset_ns).unwrap_or(if offset_ns > 0 {
                    i64::MAX
                } else {
                    i64::MIN
                }),
                uncertainty_ns: line.uncertainty_ns(own_ns),
            }
        };
        Self {
            nodes,
            words,
            at: at.map(correction).collect(),
        }
    }

    /// The clock and its basis, in words for a terminal.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!("corrected {}", sanitize(&self.words))
    }

    /// The clock, as far as the file states it. A file can hold any numbers.
    #[must_use]
    pub fn line(&self) -> Line {
        let own_ns = |at: &Correction| at.ts_ns.saturating_add_signed(at.offset_ns);
        let end = |at: &Correction| (own_ns(at), at.offset_ns.saturating_neg());
        let ends = self.at.first().zip(self.at.last());
        let ends = ends.map(|(first, last)| [end(first), end(last)]);
        let bounds = self.at.iter();
        let bounds = bounds.map(|at| Some((own_ns(at), at.uncertainty_ns?)));
        let bounds = bounds.collect::<Option<Vec<_>>>();
        Line::new(
            Affine::through(ends.unwrap_or_default()),
            bounds
                .filter(|stated| !stated.is_empty())
                .map_or(Bounds::Unknown, Bounds::Stated),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEGIN_NS: u64 = 1_790_000_000_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    proptest! {
        #[test]
        fn stated_clock_is_the_measured_one(
            offset in -5_000_000_000_i64..5_000_000_000,
            drift in -500_000_i64..500_000,
            seconds in 1_u64..100_000,
            share in 0_u64..=100,
        ) {
            let own = |second: u64| BEGIN_NS.saturating_add_signed(offset) + second * SECOND;
            let ends = [
                (own(0), -offset),
                (own(seconds), -offset - drift * i64::try_from(seconds).unwrap()),
            ];
            let bounds = Bounds::Stated(vec![(ends[0].0, 500), (ends[1].0, 1_500)]);
            let line = Line::new(Affine::through(ends), bounds);
            let between = ends.map(|(own_ns, _)| line.to_reference(own_ns));
            let stated = CorrectedClock::of(&line, vec![1], String::new(), between).line();
            let ts_ns = between[0] + (between[1] - between[0]) / 100 * share;
            let own_ns = line.to_own(ts_ns);
            prop_assert!(own_ns.abs_diff(stated.to_own(ts_ns)) <= 2);
            prop_assert!((line.offset_ns(own_ns) - stated.offset_ns(own_ns)).abs() <= 2);
            let uncertainty = stated.uncertainty_ns(own_ns).unwrap();
            prop_assert!(uncertainty.abs_diff(500 + 10 * share) <= 2, "{uncertainty}");
        }

        #[test]
        fn any_numbers_are_a_line(
            stated in prop::collection::vec(any::<(u64, i64, Option<u64>)>(), 0..5),
            ts_ns in any::<u64>(),
        ) {
            let at = stated.into_iter().map(|(ts_ns, offset_ns, uncertainty_ns)| Correction {
                ts_ns,
                offset_ns,
                uncertainty_ns,
            });
            let at: Vec<_> = at.collect();
            let is_known = !at.is_empty() && at.iter().all(|at| at.uncertainty_ns.is_some());
            let line = CorrectedClock { at, ..CorrectedClock::default() }.line();
            let own_ns = line.to_own(ts_ns);
            let _ = (line.to_reference(own_ns), line.offset_ns(own_ns));
            prop_assert_eq!(line.uncertainty_ns(own_ns).is_some(), is_known);
            prop_assert_eq!(line.drift_uncertainty_ppm().is_some(), is_known);
        }
    }
}
