//! The share of the packets that is traced: `--sample` and `--max-rate`.

/// Shortest time over which a rate is measured, in nanoseconds.
const WINDOW_NS: u64 = 100_000_000;
/// How long the rate must stay low before the share grows, in nanoseconds.
const PATIENCE_NS: u64 = 2_000_000_000;
/// Below this part of the limit, in percent, the share can double with room to spare.
const LOW_PERCENT: u64 = 40;
/// How far below the limit a new share aims, in percent.
const AIM_PERCENT: u64 = 80;

/// The share, and the rate that controls it.
#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    /// The share is one in this many.
    share: u32,
    /// The largest share that the user allows: one in this many.
    chosen: u32,
    /// Upper bound of the events a second.
    max_rate: Option<u64>,
    /// When the rate was last measured, and how much had been taken by then.
    measured: Option<(u64, u64)>,
    /// Since when the rate is low.
    low_since_ns: Option<u64>,
}

impl Default for Sampling {
    /// Traces everything.
    fn default() -> Self {
        Self::new(1, None)
    }
}

impl Sampling {
    /// `share`: one in this many packets; `max_rate`: above this many events a second, the
    /// share shrinks.
    pub(crate) fn new(share: u32, max_rate: Option<u64>) -> Self {
        Self {
            share,
            chosen: share,
            max_rate,
            measured: None,
            low_since_ns: None,
        }
    }

    /// Whether the rate controls the share.
    pub(crate) fn has_limit(&self) -> bool {
        self.max_rate.is_some()
    }

    /// One in this many packets is traced now.
    pub(crate) fn share(&self) -> u32 {
        self.share
    }

    /// The largest digest of the share; a smaller share is a subset of a larger one.
    pub(crate) fn digest_max(&self) -> u32 {
        u32::MAX / self.share.max(1)
    }

    /// Adapts the share to the rate: shrinks it at once, and grows it after the rate was
    /// low for some time. `taken`: events since the beginning. Returns whether the share
    /// has changed.
    pub(crate) fn adjust(&mut self, taken: u64, now_ns: u64) -> bool {
        let Some(max) = self.max_rate else {
            return false;
        };
        let (since_ns, before) = *self.measured.get_or_insert((now_ns, taken));
        let passed_ns = now_ns.saturating_sub(since_ns);
        if passed_ns < WINDOW_NS {
            return false;
        }
        self.measured = Some((now_ns, taken));
        let events = u128::from(taken.saturating_sub(before));
        let rate = events * 1_000_000_000 / u128::from(passed_ns);
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        let next = self.next(rate, max, now_ns);
        std::mem::replace(&mut self.share, next) != next
    }

    fn next(&mut self, rate: u64, max: u64, now_ns: u64) -> u32 {
        if rate > max {
            self.low_since_ns = None;
            let aim = u128::from(max) * u128::from(AIM_PERCENT);
            let share = u128::from(self.share) * u128::from(rate) * 100;
            let next = share.div_ceil(aim.max(1));
            return u32::try_from(next).unwrap_or(u32::MAX);
        }
        if u128::from(rate) * 100 >= u128::from(max) * u128::from(LOW_PERCENT) {
            self.low_since_ns = None;
            return self.share;
        }
        let since_ns = *self.low_since_ns.get_or_insert(now_ns);
        if now_ns.saturating_sub(since_ns) < PATIENCE_NS {
            return self.share;
        }
        self.low_since_ns = Some(now_ns);
        (self.share / 2).max(self.chosen)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TICK_NS: u64 = 50_000_000;

    /// Runs for the given seconds; `offered`: events a second if all were taken. Returns
    /// the rates of all windows of 100 ms.
    fn run(sampling: &mut Sampling, now_ns: &mut u64, seconds: u64, offered: u64) -> Vec<u64> {
        let mut taken = 0;
        let mut rates = Vec::new();
        sampling.measured = None;
        for _ in 0..seconds * 1_000_000_000 / TICK_NS {
            let rate = offered / u64::from(sampling.share);
            taken += rate * TICK_NS / 1_000_000_000;
            *now_ns += TICK_NS;
            sampling.adjust(taken, *now_ns);
            rates.push(rate);
        }
        rates
    }

    proptest! {
        #[test]
        fn rate_comes_below_the_limit_and_the_share_back(
            chosen in 1u32..20, offered in 1_000u64..5_000_000, max in 1_000u64..500_000,
        ) {
            let mut sampling = Sampling::new(chosen, Some(max));
            let mut now_ns = 1;
            let rates = run(&mut sampling, &mut now_ns, 20, offered);
            let settled = &rates[rates.len() / 2..];
            prop_assert!(settled.iter().all(|rate| *rate <= max), "{settled:?}");
            prop_assert!(sampling.share >= chosen);
            run(&mut sampling, &mut now_ns, 60, 0);
            prop_assert_eq!(sampling.share, chosen);
        }
    }

    #[test]
    fn share_is_fixed_without_a_limit() {
        let mut sampling = Sampling::new(10, None);
        assert!(!sampling.adjust(u64::MAX, u64::MAX));
        assert_eq!(sampling.share(), 10);
        assert_eq!(Sampling::new(1, None).digest_max(), u32::MAX);
    }
}
