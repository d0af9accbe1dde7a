//! The default size of the rings.
use std::fs;

use super::rings::ring_count;
use crate::cgroup::memory::left_in_cgroups;

/// The rings take one in this many parts of the free memory.
const PART: u64 = 256;
/// Lower and upper bound of all rings together, in bytes.
const RINGS_MIN: u64 = 4 << 20;
const RINGS_MAX: u64 = 64 << 20;
/// Lower bound of each CPU's ring, whatever the sum: some milliseconds of the highest packet
/// rate of a CPU.
const RING_MIN: u64 = 256 << 10;

/// The rings take at most one in this many parts of the memory that a cgroup has left.
const PART_OF_CGROUP: u64 = 4;

/// Bytes of all rings together, by the memory left to the node and to our cgroups: the kernel
/// allocates all of it at once and charges it to us.
#[must_use]
pub fn default_rings() -> u32 {
    let cpus = u64::from(ring_count().unwrap_or(1));
    let node = fs::read_to_string("/proc/meminfo").ok();
    let node = node.and_then(|text| available(&text)).unwrap_or(0);
    rings_for(node, left_in_cgroups().unwrap_or(u64::MAX), cpus)
}

fn rings_for(node: u64, cgroups: u64, cpus: u64) -> u32 {
    let rings = (node.min(cgroups) / PART).clamp(RINGS_MIN, RINGS_MAX);
    let rings = (1 << rings.ilog2()).max(cpus.saturating_mul(RING_MIN));
    let fits = cgroups / PART_OF_CGROUP;
    let rings = if rings > fits {
        1 << fits.max(1).ilog2()
    } else {
        rings
    };
    u32::try_from(rings).unwrap_or(1 << 31)
}

/// `MemAvailable` of /proc/meminfo, in bytes.
fn available(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_a_part_of_what_is_free() {
        let rings = |free, cpus| rings_for(free, u64::MAX, cpus);
        assert_eq!(rings(0, 2), 4 << 20);
        assert_eq!(rings(2 << 30, 2), 8 << 20);
        assert_eq!(rings(3 << 30, 2), 8 << 20);
        assert_eq!(rings(24 << 30, 2), 64 << 20);
        assert_eq!(rings(u64::MAX, 2), 64 << 20);
        assert_eq!(rings(0, 96), 24 << 20);
        assert_eq!(rings(0, u64::MAX), 1 << 31);
    }

    #[test]
    fn rings_fit_into_the_limit_of_a_cgroup() {
        let (node, mib) = (64 << 30, 1 << 20);
        assert_eq!(rings_for(node, 64 * mib, 2), 4 << 20);
        assert_eq!(rings_for(node, 40 * mib, 128), 8 << 20);
        assert_eq!(rings_for(node, 5 * mib, 2), 1 << 20);
        assert_eq!(rings_for(node, 0, 2), 1);
        assert_eq!(rings_for(node, 8 << 30, 2), 32 << 20);
    }

    #[test]
    fn available_memory_is_read() {
        let text = "MemTotal:  100 kB\nMemFree: 5 kB\nMemAvailable:      80 kB\n";
        assert_eq!(available(text), Some(81_920));
        assert_eq!(available("MemTotal: 3 kB\n"), None);
        assert_eq!(available("MemAvailable: x kB\n"), None);
    }
}
