//! Reports of losses to the user, at most one a second.
use std::cmp::Reverse;

use podtrace_ebpf::record::Direction;

use super::OTHERS;
use crate::{
    map::Map,
    model::{
        loss::{Loss, TapLoss},
        tap::TapCounts,
    },
    order::Order as _,
};

/// Time between two reports, in nanoseconds.
const REPORT_NS: u64 = 1_000_000_000;

/// Losses already reported to the user.
#[derive(Default)]
pub(super) struct LossReports {
    /// Lost in the ring and undecodable, by tap.
    reported: Map<(u32, Direction), (u64, u64)>,
    reported_ns: Option<u64>,
    total: u64,
}

impl LossReports {
    /// Moves the reported losses of an interface to [`OTHERS`].
    pub(super) fn retire(&mut self, number: u32) {
        for direction in Direction::ALL {
            if let Some((lost_ring, undecodable)) = self.reported.remove(&(number, direction)) {
                let others = self.reported.entry((OTHERS, direction)).or_default();
                others.0 += lost_ring;
                others.1 += undecodable;
            }
        }
    }

    /// The losses since the last report, if that was a second ago.
    pub(super) fn take_due(&mut self, now_ns: u64, taps: &TapCounts) -> Option<Loss> {
        let is_early = |reported_ns: u64| now_ns.saturating_sub(reported_ns) < REPORT_NS;
        if self.reported_ns.is_some_and(is_early) {
            return None;
        }
        let mut lost: Vec<_> = taps
            .iter()
            .filter(|(_, count)| count.lost_ring > 0 || count.undecodable > 0)
            .filter_map(|(tap, count)| {
                let now = (count.lost_ring, count.undecodable);
                let before = self.reported.insert(*tap, now).unwrap_or_default();
                (now != before).then(|| TapLoss {
                    interface: tap.0,
                    direction: tap.1,
                    lost_ring: now.0.saturating_sub(before.0),
                    undecodable: now.1.saturating_sub(before.1),
                })
            })
            .collect();
        if lost.is_empty() {
            return None;
        }
        lost.order_by_key(|tap| Reverse(tap.lost()));
        self.reported_ns = Some(now_ns);
        self.total += lost.iter().map(TapLoss::lost).sum::<u64>();
        Some(Loss {
            ts_ns: now_ns,
            total: self.total,
            taps: lost,
        })
    }
}

#[cfg(test)]
mod tests {
    use podtrace_ebpf::record::Direction::{Egress, Ingress};

    use super::*;

    #[test]
    fn each_loss_is_reported_once_and_not_more_often_than_each_second() {
        let mut reports = LossReports::default();
        let mut taps = TapCounts::new();
        let mut lose = |tap, lost_ring, undecodable, now_ns| {
            let count = taps.entry(tap).or_default();
            count.lost_ring += lost_ring;
            count.undecodable += undecodable;
            let loss = reports.take_due(now_ns, &taps)?;
            let taps: Vec<_> = loss
                .taps
                .iter()
                .map(|tap| (tap.interface, tap.lost_ring, tap.undecodable))
                .collect();
            Some((taps, loss.total))
        };
        assert_eq!(lose((1, Ingress), 0, 0, 5), None);
        let first = Some((vec![(1, 3, 0)], 3));
        assert_eq!(lose((1, Ingress), 3, 0, 10), first);
        assert_eq!(lose((1, Ingress), 1, 0, 11), None);
        assert_eq!(lose((2, Egress), 6, 1, REPORT_NS + 9), None);
        let second = Some((vec![(2, 6, 1), (1, 1, 0)], 11));
        assert_eq!(lose((1, Ingress), 0, 0, REPORT_NS + 10), second);
        assert_eq!(lose((1, Ingress), 0, 0, 9 * REPORT_NS), None);
    }
}
