//! How large the rings are when nobody says.
use std::fs;

use super::rings::ring_count;

/// The rings take this part of the memory that is free.
const PART: u64 = 256;
/// The least and the most that they take together, in bytes.
const RINGS_MIN: u64 = 4 << 20;
const RINGS_MAX: u64 = 64 << 20;
/// What the ring of each CPU has at least, whatever they take together then: some
/// milliseconds of the most packets that a CPU can handle.
const RING_MIN: u64 = 256 << 10;

/// Bytes of all rings together, by the memory that the node and our cgroup have left:
/// the kernel takes all of it at once and charges it to us.
#[must_use]
pub fn default_rings() -> u32 {
    let cpus = u64::from(ring_count().unwrap_or(1));
    let node = read("/proc/meminfo").and_then(|text| available(&text));
    let cgroup = read("/proc/self/cgroup").and_then(|text| left_in_cgroup(&text));
    let free = [node, cgroup].into_iter().flatten().min();
    rings_for(free.unwrap_or(0), cpus)
}

fn rings_for(free: u64, cpus: u64) -> u32 {
    let rings = (free / PART).clamp(RINGS_MIN, RINGS_MAX);
    let rings = (1 << rings.ilog2()).max(cpus.saturating_mul(RING_MIN));
    u32::try_from(rings).unwrap_or(1 << 31)
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// `MemAvailable` of /proc/meminfo, in bytes.
fn available(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What a cgroup v2 may still take; none without a limit.
fn left_in_cgroup(text: &str) -> Option<u64> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let number = |file: &str| -> Option<u64> {
        let text = read(&format!("/sys/fs/cgroup{path}/{file}"))?;
        text.trim().parse().ok()
    };
    // `max` is no number.
    let limit = number("memory.max")?;
    Some(limit.saturating_sub(number("memory.current").unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_a_part_of_what_is_free() {
        assert_eq!(rings_for(0, 2), 4 << 20);
        assert_eq!(rings_for(2 << 30, 2), 8 << 20);
        assert_eq!(rings_for(3 << 30, 2), 8 << 20);
        assert_eq!(rings_for(24 << 30, 2), 64 << 20);
        assert_eq!(rings_for(u64::MAX, 2), 64 << 20);
        assert_eq!(rings_for(0, 96), 24 << 20);
        assert_eq!(rings_for(0, u64::MAX), 1 << 31);
        assert!(default_rings() >= 4 << 20);
    }

    #[test]
    fn available_memory_is_read() {
        let text = "MemTotal:  100 kB\nMemFree: 5 kB\nMemAvailable:      80 kB\n";
        assert_eq!(available(text), Some(81_920));
        assert_eq!(available("MemTotal: 3 kB\n"), None);
        assert_eq!(available("MemAvailable: x kB\n"), None);
        assert_eq!(left_in_cgroup("1:name=systemd:/\n"), None);
    }
}
