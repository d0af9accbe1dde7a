//! Packets that were lost one after the other, in the order in which they were sent.
//!
//! A path of a packet that was lost ends later than those of packets that were sent behind it and
//! arrived. So the newest packets are kept, each with its fate, and what comes late is put where it
//! belongs.
use std::collections::VecDeque;

/// Upper bound of the packets that are kept.
const NEWEST_MAX: usize = 32;
/// Bytes that they take.
#[cfg(test)]
pub(super) const BYTES_MAX: usize = NEWEST_MAX * size_of::<Sent>();

/// When a packet was sent, in nanoseconds but for the lowest bit, which is set if it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent(u64);

impl Sent {
    fn new(ts_ns: u64, is_lost: bool) -> Self {
        Self(ts_ns & !1 | u64::from(is_lost))
    }

    fn ts_ns(self) -> u64 {
        self.0 & !1
    }

    fn is_lost(self) -> bool {
        self.0 & 1 == 1
    }
}

/// The runs of packets that were lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// The newest packets, in the order in which they were sent.
    newest: VecDeque<Sent>,
    /// How many were lost in a row before them, up to them.
    before: u64,
    /// The longest run before that.
    longest: u64,
    /// Those that were lost, and came too late to be put in their place: the last of them, and how
    /// many of them may be one run.
    stray_ns: u64,
    strays: u64,
}

impl Runs {
    /// Adds a packet whose fate is known.
    pub(super) fn add(&mut self, ts_ns: u64, is_lost: bool) {
        let sent = Sent::new(ts_ns, is_lost);
        let at = self.newest.partition_point(|one| one.0 <= sent.0);
        if at == 0 && self.newest.len() >= NEWEST_MAX {
            if is_lost {
                self.add_stray(ts_ns);
            }
            return;
        }
        if self.newest.len() >= NEWEST_MAX {
            self.settle_oldest();
            self.newest.insert(at - 1, sent);
        } else {
            self.newest.insert(at, sent);
        }
    }

    fn settle_oldest(&mut self) {
        match self.newest.pop_front() {
            Some(oldest) if oldest.is_lost() => self.before += 1,
            Some(_) => {
                self.longest = self.longest.max(self.before);
                self.before = 0;
            }
            None => {}
        }
    }

    /// Whether any arrived between it and the last of its kind is not known any more: it may be one
    /// run if they were sent as close together as others are.
    fn add_stray(&mut self, ts_ns: u64) {
        let ends = self.newest.front().zip(self.newest.back());
        let span = ends.map_or(0, |(first, last)| last.ts_ns() - first.ts_ns());
        let between = span / NEWEST_MAX as u64;
        let is_near = ts_ns.abs_diff(self.stray_ns) <= 2 * between;
        self.strays = if is_near { self.strays + 1 } else { 1 };
        self.stray_ns = ts_ns;
        self.longest = self.longest.max(self.strays);
    }

    /// A packet that was lost was not.
    pub(super) fn take_back(&mut self, ts_ns: u64) {
        let sent = Sent::new(ts_ns, true);
        match self.newest.iter().position(|one| *one == sent) {
            Some(at) => drop(self.newest.remove(at)),
            // It may have been any of that run.
            None => self.before = 0,
        }
    }

    /// How many of those that were sent last are lost.
    pub(super) fn last(&self) -> u64 {
        let lost = self.newest.iter().rev().take_while(|one| one.is_lost());
        let lost = lost.count();
        match lost == self.newest.len() {
            true => self.before + lost as u64,
            false => lost as u64,
        }
    }

    /// The longest run of packets that were lost before others arrived.
    pub(super) fn longest_before(&self) -> u64 {
        let (mut longest, mut run) = (self.longest, self.before);
        for one in &self.newest {
            if one.is_lost() {
                run += 1;
            } else {
                longest = longest.max(run);
                run = 0;
            }
        }
        longest
    }

    /// Whether nothing arrives from a point on: so many are lost at the end, and far more than ever
    /// in a row before.
    pub(super) fn has_died(&self) -> bool {
        /// How many have to be lost in a row before a direction that worked has died.
        const DEAD: u64 = 3;
        /// A network that loses packets in bursts has some that are longer than others.
        const FACTOR: u64 = 3;
        self.last() >= DEAD.max(FACTOR * self.longest_before())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet that is lost is known to be so half a second later.
    const LATE_NS: u64 = 500_000_000;

    /// The fates of packets that are sent at intervals, in the order in which they become known.
    fn runs(lost: &[bool], interval_ns: u64) -> Runs {
        let mut known: Vec<_> = (1..)
            .zip(lost)
            .map(|(number, is_lost)| {
                let ts_ns = number * interval_ns;
                let at_ns = ts_ns + if *is_lost { LATE_NS } else { 1000 };
                (at_ns, ts_ns, *is_lost)
            })
            .collect();
        known.sort_unstable();
        let mut runs = Runs::default();
        for (_, ts_ns, is_lost) in known {
            runs.add(ts_ns, is_lost);
        }
        runs
    }

    /// The last run, and the longest before it.
    fn expected(lost: &[bool]) -> (u64, u64) {
        let mut runs: Vec<_> = lost.split(|is_lost| !is_lost).map(<[bool]>::len).collect();
        let last = runs.pop().unwrap_or_default();
        (
            last as u64,
            runs.into_iter().max().unwrap_or_default() as u64,
        )
    }

    proptest! {
        /// As long as what is known late is not too late.
        #[test]
        fn order_is_that_of_sending(
            lost in prop::collection::vec(prop::bool::weighted(0.4), 0..200),
            interval_ms in 20..2000_u64,
        ) {
            let runs = runs(&lost, interval_ms * 1_000_000);
            prop_assert_eq!((runs.last(), runs.longest_before()), expected(&lost));
        }

        /// Many a second: what arrives is forgotten before the losses among it are known, and no
        /// burst of them is taken for the end.
        #[test]
        fn bursts_at_high_rates_are_not_the_end(
            bursts in prop::collection::vec((1..200_usize, 1..6_usize), 1..40),
            interval_us in 20..2000_u64,
        ) {
            let burst = |(good, bad): &(usize, usize)| [vec![false; *good], vec![true; *bad]].concat();
            let mut lost = vec![false, true, true, true, true, true, false];
            lost.extend(bursts.iter().flat_map(burst));
            let runs = runs(&lost, interval_us * 1000);
            prop_assert!(!runs.has_died(), "{:?} {:?}", runs, expected(&lost));
            prop_assert!(runs.newest.len() <= NEWEST_MAX);
        }
    }

    #[test]
    fn end_is_told_from_bursts() {
        let died = |bursts: &[usize]| {
            let (last, before) = bursts.split_last().unwrap();
            let mut lost = vec![false; 5];
            for burst in before {
                lost.extend([vec![true; *burst], vec![false; 9]].concat());
            }
            lost.extend(vec![true; *last]);
            runs(&lost, 1_000_000_000).has_died()
        };
        assert!(died(&[3]) && !died(&[2]));
        assert!(!died(&[1, 2, 4, 3]) && !died(&[4, 11]) && died(&[4, 12]));
        assert!(died(&[100]) && !died(&[34, 100]));
    }

    #[test]
    fn loss_that_is_taken_back_is_none() {
        let mut runs = runs(&[false, true, true, true], 1_000_000_000);
        assert!(runs.has_died());
        runs.take_back(3_000_000_000);
        assert_eq!(runs.last(), 2);
        runs.add(3_000_000_000, false);
        assert_eq!((runs.last(), runs.longest_before()), (1, 1));
    }
}
