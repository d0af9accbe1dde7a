//! The clocks: events carry CLOCK_MONOTONIC, people read UTC.
pub mod nodes;

use std::{io, time::Duration};

/// CLOCK_MONOTONIC in nanoseconds, the clock of `bpf_ktime_get_ns`.
///
/// # Errors
/// When the clock cannot be read.
pub fn monotonic_ns() -> io::Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    let ns = i128::from(now.tv_sec()) * 1_000_000_000 + i128::from(now.tv_nsec());
    u64::try_from(ns).map_err(io::Error::other)
}

/// UTC in nanoseconds since 1970.
///
/// # Errors
/// When the clock cannot be read.
pub fn utc_ns() -> io::Result<i64> {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).map_err(io::Error::other)
}

/// A length of time in nanoseconds; one of centuries is cut.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How often both clocks are read until one reading is as good as it gets.
const READINGS: u32 = 8;
/// Two readings that are no further apart were not interrupted, in nanoseconds.
const CLOSE_NS: u64 = 500;

/// CLOCK_MONOTONIC and UTC at the same time, in nanoseconds: whoever is interrupted
/// between two readings would take the time that took for a difference of the clocks.
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

/// UTC nanoseconds at CLOCK_MONOTONIC zero.
///
/// # Errors
/// When a clock cannot be read.
pub fn epoch_ns() -> io::Result<i128> {
    let (monotonic_ns, utc_ns) = both_ns()?;
    Ok(i128::from(utc_ns) - i128::from(monotonic_ns))
}
