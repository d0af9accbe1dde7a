//! How long packets take from one hop to the next, by workload.
use std::num::NonZeroU8;

use crate::{model::tap_point::Role, projection::row::role_name};

/// Upper bounds of the buckets, in nanoseconds; behind them is one for all that is more.
pub(super) const BOUNDS_NS: [u64; 13] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];
/// Upper bound of the workloads with names of their own, that of no workload among them.
const WORKLOADS_MAX: usize = 64;
/// Upper bound of the histograms; one more has what is beyond.
const HISTOGRAMS_MAX: usize = 512;
const ROLES: usize = 8;
/// No histogram yet.
const NONE: u16 = u16::MAX;

/// A workload, by its number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Workload(NonZeroU8);

impl Workload {
    /// That of packets that pass no pod, or none of a known workload.
    pub(super) const NONE: Self = Self(NonZeroU8::MIN);
    /// That of all beyond the bound.
    const OTHER: Self = Self(NonZeroU8::new(WORKLOADS_MAX as u8 + 1).unwrap());

    fn index(self) -> usize {
        usize::from(self.0.get() - 1)
    }
}

/// Who is measured: namespace and name of the workload.
type Name = (Box<str>, Box<str>);

/// The counts of one histogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Histogram {
    /// By bucket, not cumulative.
    pub(super) buckets: [u64; BOUNDS_NS.len() + 1],
    /// All values together, in nanoseconds.
    pub(super) sum_ns: u64,
    /// None of what is beyond the bound.
    key: Option<(Workload, Role, Role)>,
}

/// All histograms.
#[derive(Clone, Debug)]
pub(super) struct Hops {
    names: Vec<Name>,
    all: Vec<Histogram>,
    /// The histogram of each workload, [`Workload::OTHER`] too, and pair of roles.
    slots: Vec<u16>,
}

/// What a histogram is of, by the values of its labels.
pub(super) struct Labels<'a> {
    pub(super) namespace: &'a str,
    pub(super) workload: &'a str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

/// The workload of all that is beyond a bound, between interfaces of any role.
const OTHER: &str = "other";
const ANY: &str = "any";

impl Default for Hops {
    fn default() -> Self {
        let mut slots = vec![NONE; WORKLOADS_MAX * ROLES * ROLES];
        slots.resize(slots.len() + ROLES * ROLES, 0);
        Self {
            names: vec![Name::default()],
            all: vec![Histogram::new(None)],
            slots,
        }
    }
}

impl Hops {
    /// The number of a workload.
    pub(super) fn workload(&mut self, namespace: &str, name: &str) -> Workload {
        let is_it = |known: &Name| (&*known.0, &*known.1) == (namespace, name);
        let number = match self.names.iter().position(is_it) {
            Some(number) => number,
            None if self.names.len() >= WORKLOADS_MAX => return Workload::OTHER,
            None => {
                self.names.push((namespace.into(), name.into()));
                self.names.len() - 1
            }
        };
        let number = u8::try_from(number + 1).ok().and_then(NonZeroU8::new);
        number.map_or(Workload::OTHER, Workload)
    }

    /// Counts a hop.
    #[inline]
    pub(super) fn add(&mut self, workload: Workload, from: Role, to: Role, ns: u64) {
        let slot = self.slot(workload, from, to);
        if let Some(histogram) = self.all.get_mut(slot) {
            histogram.add(ns);
        }
    }

    #[inline]
    fn slot(&mut self, workload: Workload, from: Role, to: Role) -> usize {
        let at = (workload.index() * ROLES + index(from)) * ROLES + index(to);
        match self.slots.get(at) {
            Some(slot) if *slot != NONE => usize::from(*slot),
            _ => self.new_slot(at, workload, from, to),
        }
    }

    #[cold]
    fn new_slot(&mut self, at: usize, workload: Workload, from: Role, to: Role) -> usize {
        let number = match self.all.len() {
            full if full > HISTOGRAMS_MAX => 0,
            number => {
                self.all.push(Histogram::new(Some((workload, from, to))));
                number
            }
        };
        if let (Some(slot), Ok(number)) = (self.slots.get_mut(at), u16::try_from(number)) {
            *slot = number;
        }
        number
    }

    /// The histograms that have counts.
    pub(super) fn each(&self) -> impl Iterator<Item = (Labels<'_>, &Histogram)> {
        let used = self.all.iter().filter(|histogram| histogram.count() > 0);
        used.map(|histogram| (self.labels(histogram), histogram))
    }

    fn labels(&self, histogram: &Histogram) -> Labels<'_> {
        let known = histogram.key.and_then(|(workload, from, to)| {
            let (namespace, workload) = self.names.get(workload.index())?;
            Some(Labels {
                namespace,
                workload,
                from: role_name(from),
                to: role_name(to),
            })
        });
        known.unwrap_or(Labels {
            namespace: OTHER,
            workload: OTHER,
            from: ANY,
            to: ANY,
        })
    }
}

impl Histogram {
    fn new(key: Option<(Workload, Role, Role)>) -> Self {
        Self {
            buckets: [0; BOUNDS_NS.len() + 1],
            sum_ns: 0,
            key,
        }
    }

    #[inline]
    fn add(&mut self, ns: u64) {
        // Most are in one of the first.
        let bucket = BOUNDS_NS.iter().position(|bound| ns <= *bound);
        if let Some(count) = self.buckets.get_mut(bucket.unwrap_or(BOUNDS_NS.len())) {
            *count += 1;
        }
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// How many values it has.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

fn index(role: Role) -> usize {
    match role {
        Role::Pod => 0,
        Role::Loopback => 1,
        Role::Veth => 2,
        Role::Bridge => 3,
        Role::Vxlan => 4,
        Role::Uplink => 5,
        Role::Other => 6,
        Role::Capture => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Role; ROLES] = [
        Role::Pod,
        Role::Loopback,
        Role::Veth,
        Role::Bridge,
        Role::Vxlan,
        Role::Uplink,
        Role::Other,
        Role::Capture,
    ];

    #[test]
    fn bounds_belong_to_their_buckets() {
        let mut hops = Hops::default();
        for ns in [0, 1_000, 1_001, 1_000_000_000, 2_000_000_000] {
            hops.add(Workload::NONE, Role::Pod, Role::Veth, ns);
        }
        let (labels, histogram) = hops.each().next().unwrap();
        assert_eq!((labels.namespace, labels.workload), ("", ""));
        assert_eq!((labels.from, labels.to), ("pod", "veth"));
        let buckets = histogram.buckets;
        assert_eq!(
            (buckets[0], buckets[1], buckets[12], buckets[13]),
            (2, 1, 1, 1)
        );
        assert_eq!(histogram.sum_ns, 3_000_002_001);
    }

    /// Whatever comes, there are so many histograms, and each value is in one.
    #[test]
    fn series_are_bounded() {
        let (mut hops, mut added) = (Hops::default(), 0);
        for number in 0..200 {
            let workload = hops.workload("shop", &format!("w{number}"));
            assert_eq!(workload == Workload::OTHER, number + 1 >= WORKLOADS_MAX);
            for (from, to) in ALL.iter().flat_map(|from| ALL.map(|to| (*from, to))) {
                hops.add(workload, from, to, 5);
                added += 1;
            }
        }
        assert_eq!(hops.each().count(), HISTOGRAMS_MAX + 1);
        let counted = hops.each().map(|(_, histogram)| histogram.count());
        assert_eq!(counted.sum::<u64>(), added);
        let (labels, beyond) = hops.each().next().unwrap();
        assert_eq!((labels.namespace, labels.from), (OTHER, ANY));
        assert_eq!(beyond.count(), added - HISTOGRAMS_MAX as u64);
    }
}
