//! The holders of addresses over time.
//!
//! Addresses are reused: a pod that starts a second after another one died may receive its
//! address. So an address belongs to a namespace for an interval of time, as exact as the
//! snapshots of the node that show it.
use std::{collections::HashSet, net::IpAddr, ops::Range};

use crate::{
    map::Map,
    model::snapshot::{Holder, SnapshotTime},
};

/// How late the kernel may report a change, in nanoseconds: on a busy node its message
/// waits for its reader.
const REPORT_DELAY_NS: u64 = 500_000_000;
/// How long an ended claim is remembered for late events, in nanoseconds.
const REMEMBER_NS: u64 = 60_000_000_000;

/// An address held for a time; times are nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Debug)]
struct Claim {
    holder: Holder,
    /// Held since this time: the first snapshot that shows it.
    since_ns: u64,
    /// Held at least until this time: the last snapshot that shows it, or shortly before
    /// the first change after it.
    until_ns: u64,
    /// When a snapshot no longer showed it.
    removed_ns: Option<u64>,
}

impl Claim {
    /// `is_steady`: nothing has changed since the last snapshot.
    fn holds_at(&self, ts_ns: u64, is_steady: bool) -> bool {
        // A node keeps its addresses: they do not move to another node.
        let is_open = self.removed_ns.is_none() && (is_steady || self.holder.netns.is_none());
        self.since_ns <= ts_ns && (is_open || ts_ns <= self.until_ns)
    }
}

/// The addresses of the traced nodes and their pods, over time.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    claims: Map<IpAddr, Vec<Claim>>,
}

impl Addresses {
    /// Applies a snapshot of these nodes: all their addresses, by holder.
    pub fn apply_snapshot(
        &mut self,
        nodes: &Range<usize>,
        shown: &HashSet<(IpAddr, Holder)>,
        time: SnapshotTime,
    ) {
        let is_seen =
            |claim: &&mut Claim| claim.removed_ns.is_none() && nodes.contains(&claim.holder.node);
        for (address, claims) in &mut self.claims {
            for claim in claims.iter_mut().filter(is_seen) {
                if shown.contains(&(*address, claim.holder)) {
                    claim.until_ns = time.began_ns;
                } else {
                    let steady_ns = time.steady_until_ns.saturating_sub(REPORT_DELAY_NS);
                    claim.until_ns = claim.until_ns.max(steady_ns);
                    claim.removed_ns = Some(time.ended_ns);
                }
            }
        }
        for (address, holder) in shown {
            let claims = self.claims.entry(*address).or_default();
            let is_held = |claim: &Claim| claim.holder == *holder && claim.removed_ns.is_none();
            if !claims.iter().any(is_held) {
                claims.push(Claim {
                    holder: *holder,
                    since_ns: time.ended_ns,
                    until_ns: time.ended_ns,
                    removed_ns: None,
                });
            }
        }
        self.forget(time.ended_ns);
    }

    /// Records that an address has been held for longer than the snapshots show.
    pub fn is_held_since(&mut self, address: IpAddr, holder: Holder, since_ns: u64) {
        let claims = self.claims.entry(address).or_default().iter_mut();
        for claim in claims.filter(|claim| claim.holder == holder && claim.removed_ns.is_none()) {
            claim.since_ns = claim.since_ns.min(since_ns);
        }
    }

    /// The addresses that are held now, and since when.
    pub fn claimed(&self) -> impl Iterator<Item = (IpAddr, Holder, u64)> {
        self.claims.iter().flat_map(|(address, claims)| {
            let open = claims.iter().filter(|claim| claim.removed_ns.is_none());
            open.map(|claim| (*address, claim.holder, claim.since_ns))
        })
    }

    fn forget(&mut self, now_ns: u64) {
        self.claims.retain(|_, claims| {
            claims.retain(|claim| {
                claim
                    .removed_ns
                    .is_none_or(|removed_ns| now_ns.saturating_sub(removed_ns) < REMEMBER_NS)
            });
            !claims.is_empty()
        });
    }

    /// The holder of the address at a time; none if nobody held it or if that is uncertain:
    /// two held it, or, unless all `is_steady`, it may have moved since the last snapshot.
    #[must_use]
    pub fn holder_at(&self, address: IpAddr, ts_ns: u64, is_steady: bool) -> Option<Holder> {
        let claims = self.claims.get(&address)?.iter();
        let mut holders = claims
            .filter(|claim| claim.holds_at(ts_ns, is_steady))
            .map(|claim| claim.holder);
        let holder = holders.next()?;
        holders.all(|other| other == holder).then_some(holder)
    }

    /// Whether this holder has the address at a time, others or not; false if that is
    /// uncertain.
    #[must_use]
    pub fn is_held(&self, address: IpAddr, holder: Holder, ts_ns: u64, is_steady: bool) -> bool {
        let mut claims = self.claims.get(&address).into_iter().flatten();
        claims.any(|claim| claim.holder == holder && claim.holds_at(ts_ns, is_steady))
    }

    /// Whether anything on the traced nodes has, or had, the address.
    #[must_use]
    pub fn is_known(&self, address: IpAddr) -> bool {
        self.claims.contains_key(&address)
    }

    /// Whether the holder has, or had, the address.
    #[must_use]
    pub fn is_of(&self, address: IpAddr, holder: Holder) -> bool {
        let claims = self.claims.get(&address);
        claims.is_some_and(|claims| claims.iter().any(|claim| claim.holder == holder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn address() -> IpAddr {
        "10.244.1.2".parse().unwrap()
    }

    fn holder(netns: u64) -> Holder {
        Holder {
            node: 0,
            netns: Some(netns),
        }
    }

    fn time(second: u64) -> SnapshotTime {
        SnapshotTime {
            began_ns: second * SECOND,
            ended_ns: second * SECOND + SECOND / 100,
            // Changes happen half a second before.
            steady_until_ns: second * SECOND - SECOND / 2,
            changes: 0,
        }
    }

    /// Applies snapshots at these seconds, each with the holders of the address.
    fn snapshots(snapshots: &[(u64, &[u64])]) -> Addresses {
        let mut addresses = Addresses::default();
        for (second, netns) in snapshots {
            let shown = netns.iter().map(|n| (address(), holder(*n))).collect();
            addresses.apply_snapshot(&(0..1), &shown, time(*second));
        }
        addresses
    }

    #[track_caller]
    fn check(addresses: &Addresses, tenths: u64, expected: Option<u64>) {
        let at = addresses.holder_at(address(), tenths * SECOND / 10, true);
        assert_eq!(at, expected.map(holder), "at {tenths} tenths");
    }

    #[test]
    fn holder_has_it_from_the_first_snapshot_that_shows_it() {
        let addresses = snapshots(&[(1, &[]), (10, &[7]), (11, &[7])]);
        for (tenths, expected) in [(50, None), (95, None), (105, Some(7)), (300, Some(7))] {
            check(&addresses, tenths, expected);
        }
    }

    #[test]
    fn reused_address_changes_hands_and_is_nobodys_between() {
        let addresses = snapshots(&[(1, &[7]), (4, &[]), (5, &[8]), (6, &[8])]);
        for (tenths, expected) in [
            (15, Some(7)),
            (29, Some(7)),
            (31, None),
            (45, None),
            (55, Some(8)),
        ] {
            check(&addresses, tenths, expected);
        }
    }

    #[test]
    fn two_holders_at_once_name_neither() {
        check(&snapshots(&[(1, &[7, 8]), (2, &[7, 8])]), 15, None);
    }

    #[test]
    fn change_after_the_last_snapshot_puts_a_pods_address_in_doubt() {
        let mut addresses = snapshots(&[(1, &[7]), (2, &[7])]);
        let at = |addresses: &Addresses, tenths: u64| {
            addresses.holder_at(address(), tenths * SECOND / 10, false)
        };
        assert_eq!(at(&addresses, 15), Some(holder(7)));
        assert_eq!(at(&addresses, 25), None);
        let node = Holder {
            node: 0,
            netns: None,
        };
        addresses.apply_snapshot(&(0..1), &HashSet::from([(address(), node)]), time(3));
        assert_eq!(at(&addresses, 35), Some(node));
    }

    #[test]
    fn ended_claims_are_forgotten_in_time() {
        let mut addresses = snapshots(&[(1, &[7]), (2, &[7]), (3, &[]), (30, &[])]);
        check(&addresses, 15, Some(7));
        addresses.apply_snapshot(&(0..1), &HashSet::new(), time(64));
        check(&addresses, 15, None);
        assert!(addresses.claims.is_empty());
    }
}
