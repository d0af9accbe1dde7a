//! Clocks: events carry CLOCK_MONOTONIC, people read UTC.
pub mod nodes;

use std::{fs, io, sync::LazyLock, time::Duration};

/// CLOCK_MONOTONIC in nanoseconds, the clock of `bpf_ktime_get_ns`.
///
/// # Errors
/// When the clock cannot be read.
pub fn monotonic_ns() -> io::Result<u64> {
    static AHEAD_NS: LazyLock<i128> = LazyLock::new(|| {
        let offsets = fs::read_to_string("/proc/self/timens_offsets");
        ahead_ns(&offsets.unwrap_or_default())
    });
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    let ns = i128::from(now.tv_sec()) * 1_000_000_000 + i128::from(now.tv_nsec());
    u64::try_from(ns - *AHEAD_NS).map_err(io::Error::other)
}

/// By how much a time namespace is ahead of the clock by which the kernel times packets
/// (time_namespaces(7)).
fn ahead_ns(offsets: &str) -> i128 {
    let of = |line: &str| {
        let mut words = line.strip_prefix("monotonic")?.split_whitespace();
        let mut number = || words.next()?.parse::<i128>().ok();
        Some(number()? * 1_000_000_000 + number()?)
    };
    offsets.lines().find_map(of).unwrap_or_default()
}

/// UTC in nanoseconds since 1970.
///
/// # Errors
/// When the clock cannot be read.
pub fn utc_ns() -> io::Result<i64> {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).map_err(io::Error::other)
}

/// Converts a duration to nanoseconds; saturates after 584 years.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Number of attempts to read both clocks without an interruption.
const READINGS: u32 = 8;
/// Two readings at most this far apart, in nanoseconds, were not interrupted.
const CLOSE_NS: u64 = 500;

/// Reads CLOCK_MONOTONIC and UTC at the same instant, in nanoseconds.
///
/// An interruption between two readings would look like a difference of the clocks, so the
/// closest of several pairs is returned.
///
/// # Errors
/// When a clock cannot be read.
pub fn both_ns() -> io::Result<(u64, i64)> {
    let mut best = (u64::MAX, (0, 0));
    for _ in 0..READINGS {
        let (before, utc, after) = (monotonic_ns()?, utc_ns()?, monotonic_ns()?);
        let apart = after.saturating_sub(before);
        if apart < best.0 {
            best = (apart, (before + apart / 2, utc));
        }
        if apart <= CLOSE_NS {
            break;
        }
    }
    Ok(best.1)
}

/// UTC in nanoseconds when CLOCK_MONOTONIC was zero.
///
/// # Errors
/// When a clock cannot be read.
pub fn epoch_ns() -> io::Result<i128> {
    let (monotonic_ns, utc_ns) = both_ns()?;
    Ok(i128::from(utc_ns) - i128::from(monotonic_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_namespaces_are_taken_off() {
        for (offsets, ns) in [
            ("", 0),
            (
                "monotonic           0         0\nboottime            0         0\n",
                0,
            ),
            ("boottime 7 0\nmonotonic  18000  5\n", 18_000_000_000_005),
            ("monotonic  -3  500000000\n", -2_500_000_000),
            ("monotonic x\n", 0),
        ] {
            assert_eq!(ahead_ns(offsets), ns, "{offsets}");
        }
    }
}
