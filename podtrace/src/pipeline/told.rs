//! Losses, told once a second.
use std::cmp::Reverse;

use podtrace_ebpf::record::Direction;

use super::OTHERS;
use crate::{
    map::Map,
    model::{
        loss::{Loss, TapLoss},
        tap::Taps,
    },
};

/// How often losses are told, in nanoseconds.
const TELL_NS: u64 = 1_000_000_000;

/// What of the losses was told.
#[derive(Default)]
pub(super) struct Told {
    /// Lost in the ring and undecodable, by tap.
    told: Map<(u32, Direction), (u64, u64)>,
    told_ns: Option<u64>,
    total: u64,
}

impl Told {
    /// What was told of an interface is counted among the others' from now on.
    pub(super) fn retire(&mut self, number: u32) {
        for direction in Direction::ALL {
            if let Some((lost_ring, undecodable)) = self.told.remove(&(number, direction)) {
                let others = self.told.entry((OTHERS, direction)).or_default();
                others.0 += lost_ring;
                others.1 += undecodable;
            }
        }
    }

    /// What was lost since it was last told, if that is a second ago.
    pub(super) fn take_due(&mut self, now_ns: u64, taps: &Taps) -> Option<Loss> {
        let is_early = |told_ns: u64| now_ns.saturating_sub(told_ns) < TELL_NS;
        if self.told_ns.is_some_and(is_early) {
            return None;
        }
        let mut lost: Vec<_> = taps
            .iter()
            .filter(|(_, count)| count.lost_ring > 0 || count.undecodable > 0)
            .filter_map(|(tap, count)| {
                let now = (count.lost_ring, count.undecodable);
                let before = self.told.insert(*tap, now).unwrap_or_default();
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
        lost.sort_by_key(|tap| Reverse(tap.lost()));
        self.told_ns = Some(now_ns);
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
    fn each_loss_is_told_once_and_not_more_often_than_each_second() {
        let mut told = Told::default();
        let mut taps = Taps::new();
        let mut lose = |tap, lost_ring, undecodable, now_ns| {
            let count = taps.entry(tap).or_default();
            count.lost_ring += lost_ring;
            count.undecodable += undecodable;
            let loss = told.take_due(now_ns, &taps)?;
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
        assert_eq!(lose((2, Egress), 6, 1, TELL_NS + 9), None);
        let second = Some((vec![(2, 6, 1), (1, 1, 0)], 11));
        assert_eq!(lose((1, Ingress), 0, 0, TELL_NS + 10), second);
        assert_eq!(lose((1, Ingress), 0, 0, 9 * TELL_NS), None);
    }
}
