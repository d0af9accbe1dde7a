//! How large the ring buffer is when nobody says.
use std::fs;

/// The ring takes this part of the memory that is free.
const PART: u64 = 256;
/// Smallest and largest ring, in bytes.
const RING_MIN: u64 = 4 << 20;
const RING_MAX: u64 = 64 << 20;

/// A ring size in bytes, by the memory that the node and our cgroup have left:
/// the kernel takes all of it at once and charges it to us.
#[must_use]
pub fn default_ring() -> u32 {
    let node = read("/proc/meminfo").and_then(|text| available(&text));
    let cgroup = read("/proc/self/cgroup").and_then(|text| left_in_cgroup(&text));
    let free = [node, cgroup].into_iter().flatten().min();
    ring_for(free.unwrap_or(0))
}

fn ring_for(free: u64) -> u32 {
    let ring = (free / PART).clamp(RING_MIN, RING_MAX);
    1 << ring.ilog2()
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
    fn ring_is_a_part_of_what_is_free() {
        assert_eq!(ring_for(0), 4 << 20);
        assert_eq!(ring_for(2 << 30), 8 << 20);
        assert_eq!(ring_for(3 << 30), 8 << 20);
        assert_eq!(ring_for(24 << 30), 64 << 20);
        assert_eq!(ring_for(u64::MAX), 64 << 20);
        let ring = default_ring();
        assert!(ring.is_power_of_two() && ring >= 4 << 20);
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
