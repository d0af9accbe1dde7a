//! Times of lost events: packets under way at such a time may lack hops.

/// How long a packet may have been under way before its first observed hop, in nanoseconds:
/// longer than it takes from one tap to the next.
pub const LEAD_NS: u64 = 20_000_000;
/// How long a loss is kept after the packets under way, in nanoseconds: longer than a path
/// waits to be shown.
const KEPT_NS: u64 = 1_000_000_000;
/// Upper bound of the separate stretches of time; beyond it the two oldest become one,
/// including the time between them.
const STRETCHES_MAX: usize = 1024;

/// The stretches of time in which events were lost.
#[derive(Debug, Default)]
pub struct Losses {
    /// First and last nanosecond of each, in order; none touches another.
    stretches: Vec<(u64, u64)>,
}

impl Losses {
    /// Records that some or all events of a span were lost, in nanoseconds on the clock of the
    /// events.
    pub fn record(&mut self, from_ns: u64, to_ns: u64) {
        let (mut from_ns, mut to_ns) = (from_ns, to_ns.max(from_ns));
        let begin = self.stretches.partition_point(|(_, to)| *to < from_ns);
        let end = self.stretches.partition_point(|(from, _)| *from <= to_ns);
        if let Some([(first, _), .., (_, last)] | [(first, last)]) = self.stretches.get(begin..end)
        {
            (from_ns, to_ns) = (from_ns.min(*first), to_ns.max(*last));
        }
        self.stretches.splice(begin..end, [(from_ns, to_ns)]);
        if let (true, [(_, oldest), (_, next), ..]) = (
            self.stretches.len() > STRETCHES_MAX,
            &mut self.stretches[..],
        ) {
            *oldest = *next;
            self.stretches.remove(1);
        }
    }

    /// Whether events of a packet may be among the lost ones, given that its first hop was
    /// seen at `first_ns` and that none could follow after `last_ns`.
    #[must_use]
    pub fn may_concern(&self, first_ns: u64, last_ns: u64) -> bool {
        self.overlap(first_ns.saturating_sub(LEAD_NS), last_ns)
    }

    /// Whether one of the stretches overlaps the span.
    #[must_use]
    pub fn overlap(&self, first_ns: u64, last_ns: u64) -> bool {
        let next = self.stretches.partition_point(|(_, to)| *to < first_ns);
        let next = self.stretches.get(next);
        next.is_some_and(|(from, _)| *from <= last_ns)
    }

    /// Forgets old losses: no packet that is under way, or ends later than `now_ns`, was
    /// seen before `oldest_ns`.
    pub(super) fn forget(&mut self, oldest_ns: u64, now_ns: u64) {
        let before_ns = oldest_ns.min(now_ns.saturating_sub(KEPT_NS));
        let before_ns = before_ns.saturating_sub(LEAD_NS);
        let old = self.stretches.partition_point(|(_, to)| *to < before_ns);
        self.stretches.drain(..old);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compares with a search through all recorded stretches.
        #[test]
        fn any_stretch_that_overlaps_concerns(
            noted in prop::collection::vec((0u64..200, 0u64..30), 0..30),
            first in 0u64..200,
            length in 0u64..50,
        ) {
            let (ms, mut losses) = (1_000_000, Losses::default());
            for (from, length) in &noted {
                losses.record(from * ms, (from + length) * ms);
            }
            let expected = noted.iter().any(|(from, lost)| {
                *from <= first + length && (from + lost) * ms >= (first * ms).saturating_sub(LEAD_NS)
            });
            prop_assert_eq!(losses.may_concern(first * ms, (first + length) * ms), expected);
            let touching = losses.stretches.windows(2).any(|pair| pair[0].1 >= pair[1].0);
            prop_assert!(!touching);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten() {
        let mut losses = Losses::default();
        for at in 0..10_000 {
            losses.record(at * 10, at * 10);
        }
        assert_eq!(losses.stretches.len(), STRETCHES_MAX);
        assert!(losses.may_concern(LEAD_NS + 5, LEAD_NS + 6));
        losses.forget(200_000_000_000, 200_000_000_000);
        assert!(losses.stretches.is_empty());
    }
}
