//! Latencies of one kind, in bounded memory.
use hdrhistogram::Histogram;

use super::Latency;

/// Up to this many values are kept exactly.
const EXACT_MAX: usize = 64;
/// Longer values count as this long, in nanoseconds; the maximum is exact.
const LONGEST_NS: u64 = 100_000_000_000;
/// Significant digits beyond [`EXACT_MAX`] values.
const DIGITS: u8 = 2;
/// The number of values that the 90th percentile requires.
const P90_MIN: u64 = 10;
const P99_MIN: u64 = 100;

/// Values in nanoseconds.
#[derive(Default)]
pub(super) struct Latencies {
    count: u64,
    max_ns: u64,
    values: Values,
}

enum Values {
    Exact(Vec<u64>),
    /// Sized for its largest value.
    Many(Box<Histogram<u32>>),
}

impl Default for Values {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl Extend<u64> for Latencies {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, values: I) {
        for ns in values {
            self.count += 1;
            self.max_ns = self.max_ns.max(ns);
            self.values.add(ns);
        }
    }
}

impl Values {
    fn add(&mut self, ns: u64) {
        let ns = ns.min(LONGEST_NS);
        match self {
            Self::Exact(values) if values.len() < EXACT_MAX => values.push(ns),
            Self::Exact(values) => {
                let longest = values.iter().fold(ns, |longest, ns| longest.max(*ns));
                if let Some(mut histogram) = histogram_to(longest) {
                    for ns in values.iter().chain([&ns]) {
                        histogram.saturating_record(*ns);
                    }
                    *self = Self::Many(histogram);
                }
            }
            Self::Many(histogram) => {
                if ns > histogram.high() {
                    grow(histogram, ns);
                }
                histogram.saturating_record(ns);
            }
        }
    }
}

/// Replaces the histogram by a larger one. A histogram that resizes itself may take twice the
/// memory.
fn grow(histogram: &mut Box<Histogram<u32>>, longest: u64) {
    if let Some(mut larger) = histogram_to(longest)
        && larger.add(&**histogram).is_ok()
    {
        *histogram = larger;
    }
}

/// A histogram with room for values up to `longest`, and little more. It is always created, as
/// the bounds are in order and the digits are valid.
fn histogram_to(longest: u64) -> Option<Box<Histogram<u32>>> {
    let high = longest.max(2).next_power_of_two();
    Histogram::new_with_bounds(1, high, DIGITS)
        .ok()
        .map(Box::new)
}

impl Latencies {
    /// The percentiles so far; none without values.
    pub(super) fn summary(&self) -> Option<Latency> {
        let (count, max_ns) = (self.count, self.max_ns);
        let [p50_ns, p90_ns, p99_ns] = match &self.values {
            Values::Exact(values) => {
                let mut values = values.clone();
                values.sort_unstable();
                [50, 90, 99].map(|percent| nearest_rank(&values, percent))
            }
            Values::Many(histogram) => [0.5, 0.9, 0.99]
                .map(|quantile| Some(histogram.value_at_quantile(quantile).min(max_ns))),
        };
        Some(Latency {
            count,
            p50_ns: p50_ns?,
            p90_ns: p90_ns.filter(|_| count >= P90_MIN),
            p99_ns: p99_ns.filter(|_| count >= P99_MIN),
            max_ns,
        })
    }
}

/// The smallest value that at least `percent` of the values do not exceed.
fn nearest_rank(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Option<Latency> {
        let mut latencies = Latencies::default();
        latencies.extend(values);
        latencies.summary()
    }

    #[test]
    fn few_values_are_exact() {
        assert_eq!(of([]), None);
        let latency = of(1..=50).unwrap();
        let expected = Latency {
            count: 50,
            p50_ns: 25,
            p90_ns: Some(45),
            p99_ns: None,
            max_ns: 50,
        };
        assert_eq!(latency, expected);
    }

    #[test]
    fn percentiles_take_enough_values() {
        let has = |count| {
            let latency = of(1..=count).unwrap();
            (latency.p90_ns.is_some(), latency.p99_ns.is_some())
        };
        assert_eq!([1, 9].map(has), [(false, false); 2]);
        assert_eq!([10, 99].map(has), [(true, false); 2]);
        assert_eq!(has(100), (true, true));
    }

    #[test]
    fn the_longest_is_exact_and_counted() {
        let latency = of(std::iter::repeat_n(u64::MAX, 100)).unwrap();
        assert_eq!((latency.count, latency.max_ns), (100, u64::MAX));
        assert!(latency.p50_ns >= LONGEST_NS);
        let latency = of(std::iter::repeat_n(u64::MAX, 10)).unwrap();
        assert_eq!((latency.p50_ns, latency.max_ns), (LONGEST_NS, u64::MAX));
    }

    proptest! {
        #[test]
        fn many_values_are_right_to_two_digits(
            values in prop::collection::vec(1..10_000_000_000_u64, 100..300),
        ) {
            let latency = of(values.iter().copied()).unwrap();
            let mut sorted = values;
            sorted.sort_unstable();
            prop_assert_eq!(Some(&latency.max_ns), sorted.last());
            let shown = [Some(latency.p50_ns), latency.p90_ns, latency.p99_ns].map(Option::unwrap);
            for (percent, shown) in [50, 90, 99].into_iter().zip(shown) {
                let exact = nearest_rank(&sorted, percent).unwrap();
                prop_assert!(shown.abs_diff(exact) <= exact / 100 + 1, "{shown} {exact}");
            }
            prop_assert!(latency.p99_ns.unwrap() <= latency.max_ns);
        }
    }
}
