//! Packets that the filter cannot accept, which are counted instead of read.
use podtrace_ebpf::record::Direction;

/// Upper bound of the time of packets that are counted together, in nanoseconds: so late they pass
/// the time on.
const SPAN_NS: u64 = 10_000_000;
/// Upper bound of their taps.
const TAPS_MAX: usize = 64;

/// A tap: the number of its interface, and its direction.
pub(super) type Tap = (u32, Direction);

/// Packets in a row that were passed over.
#[derive(Clone, Debug)]
pub struct PassedOver {
    /// The time of the oldest, in nanoseconds.
    pub from_ns: u64,
    /// The time of the newest.
    pub until_ns: u64,
    /// How many they are at each tap.
    pub taps: Vec<((u32, Direction), u64)>,
}

impl PassedOver {
    pub(super) fn new(ts_ns: u64, tap: Tap) -> Self {
        Self {
            from_ns: ts_ns,
            until_ns: ts_ns,
            taps: vec![(tap, 1)],
        }
    }

    /// Counts one more, unless it is to be counted apart.
    pub(super) fn add(&mut self, ts_ns: u64, tap: Tap) -> bool {
        let (from_ns, until_ns) = (self.from_ns.min(ts_ns), self.until_ns.max(ts_ns));
        if until_ns - from_ns > SPAN_NS {
            return false;
        }
        match self.taps.iter().position(|(known, _)| *known == tap) {
            Some(at) => self.taps[at].1 += 1,
            None if self.taps.len() < TAPS_MAX => self.taps.push((tap, 1)),
            None => return false,
        }
        (self.from_ns, self.until_ns) = (from_ns, until_ns);
        true
    }

    /// How many they are.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.taps.iter().map(|(_, packets)| packets).sum()
    }
}
